#include "coordinator/gateway/chat/model_context.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fstream>
#include <iterator>
#include <limits>

#include "common/model_digest.h"
#include "coordinator/gateway/api/strict_json.h"

namespace caudal {
namespace {

namespace json = boost::json;

Result<std::string> read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{"The file cannot be read.", path.filename().string()};
  return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
}

Result<json::object> parse_object(const std::string& text, const std::string& name) {
  Result<json::value> value = parse_strict_json(text, "file");
  if (!value) {
    const Error& error = value.error();
    return Error{error.message, error.field.empty() ? name : fmt::format("{}: {}", name, error.field)};
  }
  if (!value.value().is_object()) return Error{"It must hold a JSON object.", name};
  return std::move(value).value().get_object();
}

Result<std::int32_t> positive_integer(const json::object& object, std::string_view name, const char* file) {
  const json::value* value = present(object, name);
  const bool valid = value != nullptr && value->is_int64() && value->get_int64() > 0 &&
                     value->get_int64() <= std::numeric_limits<std::int32_t>::max();
  if (!valid) return Error{"It must be a positive integer.", fmt::format("{}: {}", file, name)};
  return static_cast<std::int32_t>(value->get_int64());
}

// One id or a list of them.
Result<std::vector<TokenId>> token_ids(const json::object& object, std::string_view name, const char* file) {
  std::vector<TokenId> ids;
  const json::value* value = present(object, name);
  if (value == nullptr) return ids;
  const json::array list = value->is_array() ? value->get_array() : json::array{*value};
  for (const json::value& id : list) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > std::numeric_limits<TokenId>::max()) {
      return Error{"It must be a token id or a list of them.", fmt::format("{}: {}", file, name)};
    }
    ids.push_back(static_cast<TokenId>(id.get_int64()));
  }
  return ids;
}

// What a sampling default may be, both ends included.
struct Range {
  float least = 0.0F;
  float most = std::numeric_limits<float>::max();
};
constexpr float kAboveZero = std::numeric_limits<float>::min();

Result<void> read_number(const json::object& object, std::string_view name, Range range, float& target) {
  const json::value* value = present(object, name);
  if (value == nullptr) return {};
  const std::string field = fmt::format("generation_config.json: {}", name);
  if (!value->is_number()) return Error{"It must be a number.", field};
  const auto number = value->to_number<float>();
  if (!(number >= range.least && number <= range.most)) return Error{"It is out of range.", field};
  target = number;
  return {};
}

Result<void> read_sampling(const json::object& config, SamplingParams& sampling) {
  auto top_k = static_cast<float>(sampling.top_k);
  struct Default {
    std::string_view name;
    Range range;
    float& target;
  };
  const Default defaults[] = {{"temperature", {}, sampling.temperature},
                              {"top_p", {kAboveZero, 1.0F}, sampling.top_p},
                              {"min_p", {0.0F, 1.0F}, sampling.min_p},
                              {"repetition_penalty", {kAboveZero}, sampling.repetition_penalty},
                              {"top_k", {-1.0F, 1e9F}, top_k}};
  for (const Default& one : defaults) {
    if (const auto done = read_number(config, one.name, one.range, one.target); !done) return done.error();
  }
  sampling.top_k = static_cast<std::int32_t>(std::max(top_k, 0.0F));  // 0 and -1 turn it off
  return {};
}

}  // namespace

Result<void> load_model_defaults(const std::filesystem::path& model_dir, ModelContext& model) {
  const Result<std::string> config_text = read_text(model_dir / "config.json");
  if (!config_text) return config_text.error();
  model.digest = model_digest(config_text.value());
  const Result<json::object> config = parse_object(config_text.value(), "config.json");
  if (!config) return config.error();
  const Result<std::int32_t> vocab = positive_integer(config.value(), "vocab_size", "config.json");
  if (!vocab) return vocab.error();
  const Result<std::int32_t> context = positive_integer(config.value(), "max_position_embeddings", "config.json");
  if (!context) return context.error();
  model.vocab_size = vocab.value();
  model.max_context_tokens = context.value();
  Result<std::vector<TokenId>> eos = token_ids(config.value(), "eos_token_id", "config.json");
  if (!eos) return eos.error();
  model.eos_token_ids = std::move(eos).value();

  if (!std::filesystem::exists(model_dir / "generation_config.json")) return {};
  const Result<std::string> generation_text = read_text(model_dir / "generation_config.json");
  if (!generation_text) return generation_text.error();
  const Result<json::object> generation = parse_object(generation_text.value(), "generation_config.json");
  if (!generation) return generation.error();
  Result<std::vector<TokenId>> more = token_ids(generation.value(), "eos_token_id", "generation_config.json");
  if (!more) return more.error();
  if (!more.value().empty()) model.eos_token_ids = std::move(more).value();
  return read_sampling(generation.value(), model.default_sampling);
}

}  // namespace caudal
