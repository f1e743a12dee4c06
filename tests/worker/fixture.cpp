#include "tests/worker/fixture.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "worker/model/weights/safetensors.h"

namespace caudal {
namespace {

// Where the tests were built, unless a bundle of them says where it is (deploy/bundle.sh).
std::filesystem::path models() {
  const char* bundled = std::getenv("CAUDAL_TEST_DATA");
  return std::filesystem::path(bundled != nullptr ? bundled : CAUDAL_TEST_DATA) / "reference/models";
}

std::vector<float> floats(const StoredTensor& tensor) {
  std::vector<float> values(tensor.data.size() / sizeof(float));
  std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
  return values;
}

}  // namespace

std::vector<std::string> fixture_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(models()))
    if (std::filesystem::exists(entry.path() / "expected.json")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

Fixture load_fixture(const std::string& name) {
  Fixture fixture{name, models() / name, 0, {}};
  std::ifstream file(fixture.model_dir / "expected.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const boost::json::value root = boost::json::parse(text);
  fixture.context = boost::json::value_to<std::int32_t>(root.at("context"));
  const SafetensorsFile tensors = SafetensorsFile::open(fixture.model_dir / "expected.safetensors").value();
  for (const boost::json::value& entry : root.at("cases").as_array()) {
    FixtureCase c;
    c.prompt = boost::json::value_to<std::vector<TokenId>>(entry.at("prompt"));
    c.logit_positions = boost::json::value_to<std::vector<std::int64_t>>(entry.at("logit_positions"));
    c.greedy_f32 = boost::json::value_to<std::vector<TokenId>>(entry.at("greedy_f32"));
    c.greedy_bf16 = boost::json::value_to<std::vector<TokenId>>(entry.at("greedy_bf16"));
    c.logits = floats(tensors.tensors().at(fmt::format("logits.{}", fixture.cases.size())));
    fixture.cases.push_back(std::move(c));
  }
  return fixture;
}

}  // namespace caudal
