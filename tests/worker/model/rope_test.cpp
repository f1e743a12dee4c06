// Rotary tables against what transformers computes for published configs (tests/reference/rope.json).
#include "worker/model/rope.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "tests/common/model_files/parsed_card.h"
#include "worker/model/families/registry.h"

namespace caudal {
namespace {

boost::json::array reference() {
  std::ifstream file(CAUDAL_TEST_DATA "/reference/rope.json");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return boost::json::parse(text).as_array();
}

ModelConfig config_of(const boost::json::object& entry) {
  boost::json::object config = {{"architectures", {"LlamaForCausalLM"}},
                                {"hidden_size", 512},
                                {"intermediate_size", 64},
                                {"num_hidden_layers", 1},
                                {"num_attention_heads", 4},
                                {"vocab_size", 8},
                                {"rms_norm_eps", 1e-5}};
  for (const char* field : {"head_dim", "rope_theta", "max_position_embeddings", "rope_scaling"})
    config[field] = entry.at(field);
  return read_model_spec(parse_model_card(boost::json::serialize(config)).value(), known_families()).value().config;
}

TEST(Rope, EveryPublishedScaling) {
  const boost::json::array entries = reference();
  ASSERT_GE(entries.size(), 10U);
  for (const boost::json::value& value : entries) {
    const boost::json::object& entry = value.as_object();
    SCOPED_TRACE(boost::json::serialize(entry.at("name")));
    const ModelConfig config = config_of(entry);
    const std::int64_t head_dim = config.layers.front().head_dim;
    const auto context = entry.at("context").to_number<std::int64_t>();
    const auto position = entry.at("position").to_number<std::size_t>();
    const std::vector<double> frequencies = rope_frequencies(config.rope, head_dim, context);
    // Only dynamic scaling depends on the context; the others need no long table to be tested.
    const bool dynamic = config.rope.scaling == RopeScaling::kDynamic;
    const auto rows = dynamic ? context : static_cast<std::int64_t>(position) + 1;
    const std::vector<float> table = rope_table(config.rope, head_dim, rows);
    const auto pairs = frequencies.size();
    ASSERT_EQ(table.size(), static_cast<std::size_t>(rows) * 2 * pairs);
    for (std::size_t i = 0; i < pairs; ++i) {
      const double expected = entry.at("frequencies").at(i).to_number<double>();
      EXPECT_NEAR(frequencies[i], expected, 1e-6 * expected);  // the reference is f32
      EXPECT_NEAR(table[position * 2 * pairs + i], entry.at("cos").at(i).to_number<double>(), 2e-5);
      EXPECT_NEAR(table[(position * 2 + 1) * pairs + i], entry.at("sin").at(i).to_number<double>(), 2e-5);
    }
  }
}

}  // namespace
}  // namespace caudal
