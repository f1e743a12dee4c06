// config.json of every family as structural fields, and refusals that name the field.
#include "worker/model/model_config.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/common/model_files/parsed_card.h"
#include "worker/model/families/registry.h"

namespace caudal {
namespace {

// A whole config of one family; tests change single fields of it.
boost::json::object base_config(const std::string& architecture) {
  return boost::json::parse(R"({"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 4,
    "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 1000, "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-06, "head_dim": 64, "architectures": [")" +
                            architecture + R"("]})")
      .as_object();
}

Result<ModelSpec> read_text(std::string_view text) {
  const Result<ModelCard> card = parse_model_card(text);
  if (!card) return card.error();
  return read_model_spec(card.value(), known_families());
}

ModelConfig parsed(const boost::json::object& config) {
  Result<ModelSpec> result = read_text(boost::json::serialize(config));
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? std::move(result).value().config : ModelConfig{};
}

Error refused(const boost::json::object& config) {
  const Result<ModelSpec> result = read_text(boost::json::serialize(config));
  EXPECT_FALSE(result.ok());
  return result.ok() ? Error{} : result.error();
}

std::vector<std::int32_t> windows(const ModelConfig& config) {
  std::vector<std::int32_t> windows;
  for (const LayerConfig& layer : config.layers) windows.push_back(layer.sliding_window);
  return windows;
}

TEST(ModelConfig, FamiliesDifferOnlyInStructure) {
  const ModelConfig llama = parsed(base_config("LlamaForCausalLM"));
  EXPECT_EQ(llama.layers.front().num_heads, 14);
  EXPECT_EQ(llama.layers.front().num_kv_heads, 2);
  EXPECT_EQ(llama.layers.front().head_dim, 64);
  EXPECT_FALSE(llama.qkv_bias || llama.output_bias || llama.mlp_bias || llama.qk_norm || llama.tied_embeddings);
  const ModelConfig qwen2 = parsed(base_config("Qwen2ForCausalLM"));
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.output_bias);
  EXPECT_TRUE(parsed(base_config("Qwen3ForCausalLM")).qk_norm);
  EXPECT_EQ(windows(parsed(base_config("MistralForCausalLM"))), std::vector<std::int32_t>(4, 4096));
}

TEST(ModelConfig, OptionalFields) {
  boost::json::object config = base_config("LlamaForCausalLM");
  config["attention_bias"] = true;
  config["mlp_bias"] = true;
  config["tie_word_embeddings"] = true;
  config["head_dim"] = nullptr;
  config.erase("num_key_value_heads");
  config["torch_dtype"] = "bfloat16";
  const ModelConfig llama = parsed(config);
  EXPECT_TRUE(llama.qkv_bias && llama.output_bias && llama.mlp_bias && llama.tied_embeddings);
  EXPECT_EQ(llama.layers.front().head_dim, 64);
  EXPECT_EQ(llama.layers.front().num_kv_heads, 14);
  EXPECT_EQ(llama.dtype, DType::kBF16);
}

TEST(ModelConfig, SlidingWindows) {
  boost::json::object mistral = base_config("MistralForCausalLM");
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(windows(parsed(mistral)), std::vector<std::int32_t>(4, 0));
  boost::json::object qwen = base_config("Qwen2ForCausalLM");
  qwen["sliding_window"] = 128;
  qwen["max_window_layers"] = 3;
  EXPECT_EQ(windows(parsed(qwen)), std::vector<std::int32_t>(4, 0));
  qwen["use_sliding_window"] = true;
  EXPECT_EQ(windows(parsed(qwen)), (std::vector<std::int32_t>{0, 0, 0, 128}));
  qwen["layer_types"] = {"full_attention", "sliding_attention", "full_attention", "sliding_attention"};
  EXPECT_EQ(windows(parsed(qwen)), (std::vector<std::int32_t>{0, 128, 0, 128}));
  qwen["layer_types"] = {"full_attention", "linear_attention", "full_attention", "full_attention"};
  EXPECT_EQ(refused(qwen).field, "layer_types");
  qwen["layer_types"] = boost::json::array{"full_attention"};
  EXPECT_EQ(refused(qwen).field, "layer_types");
}

TEST(ModelConfig, RopeInBothPublishedLayouts) {
  boost::json::object older = base_config("LlamaForCausalLM");
  older["rope_theta"] = 500000.0;
  older["rope_scaling"] = {{"type", "linear"}, {"factor", 4}};
  boost::json::object newer = base_config("LlamaForCausalLM");
  newer["rope_parameters"] = {{"rope_theta", 500000.0}, {"rope_type", "linear"}, {"factor", 4.0}};
  for (const boost::json::object& config : {older, newer}) {
    const ModelConfig model = parsed(config);
    EXPECT_EQ(model.rope.scaling, RopeScaling::kLinear);
    EXPECT_EQ(model.rope.theta, 500000.0);
    EXPECT_EQ(model.rope.factor, 4.0);
    EXPECT_EQ(model.rope.default_context(), 32768);
    EXPECT_EQ(model.rope.longest_context(), 131072);
  }
}

TEST(ModelConfig, YarnReachesItsStretchedLength) {
  boost::json::object config = base_config("Qwen2ForCausalLM");
  config["rope_scaling"] = {{"type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}};
  EXPECT_EQ(parsed(config).rope.default_context(), 131072);
}

TEST(ModelConfig, EveryNeededFieldIsNamedWhenMissing) {
  for (const char* architecture : {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"}) {
    for (const char* field : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                              "vocab_size", "max_position_embeddings", "rms_norm_eps", "architectures"}) {
      boost::json::object config = base_config(architecture);
      config.erase(field);
      const Error error = refused(config);
      EXPECT_EQ(error.field, field);
      EXPECT_NE(error.message.find("config.json"), std::string::npos);
    }
  }
  boost::json::object qwen3 = base_config("Qwen3ForCausalLM");
  qwen3.erase("head_dim");
  EXPECT_EQ(refused(qwen3).field, "head_dim");
}

TEST(ModelConfig, WrongValuesAreRefused) {
  const std::vector<std::pair<std::string, boost::json::value>> wrong = {
      {"hidden_size", "896"},
      {"hidden_size", 0},
      {"hidden_size", -1},
      {"vocab_size", 1.5},
      {"num_hidden_layers", 1e9},
      {"num_key_value_heads", 3},
      {"head_dim", 40},
      {"head_dim", 512},
      {"rms_norm_eps", 0},
      {"rms_norm_eps", "x"},
      {"hidden_act", "gelu"},
      {"tie_word_embeddings", 1},
      {"rope_scaling", 3},
      {"num_hidden_layers", 100000},
      {"quantization_config", boost::json::object{}}};
  for (const auto& [field, value] : wrong) {
    boost::json::object config = base_config("LlamaForCausalLM");
    config[field] = value;
    EXPECT_EQ(refused(config).field, field) << boost::json::serialize(value);
  }
  const std::vector<std::pair<std::string, boost::json::object>> scalings = {
      {"factor", {{"type", "linear"}}},
      {"factor", {{"type", "linear"}, {"factor", "4"}}},
      {"factor", {{"rope_type", "dynamic"}, {"factor", 0}}},
      {"factor", {{"rope_type", "yarn"}, {"factor", 1e30}}},
      {"low_freq_factor", {{"rope_type", "llama3"}, {"factor", 8.0}}},
      {"rope_type", {{"rope_type", "longrope"}, {"factor", 8.0}}}};
  for (const auto& [field, scaling] : scalings) {
    for (const std::string section : {"rope_scaling", "rope_parameters"}) {
      boost::json::object config = base_config("LlamaForCausalLM");
      config[section] = scaling;
      const Error error = refused(config);
      EXPECT_EQ(error.field, section + "." + field);
      EXPECT_TRUE(error.message.starts_with("config.json: " + error.field + " ")) << error.message;
    }
  }
  boost::json::object longrope = base_config("LlamaForCausalLM");
  longrope["rope_scaling"] = {{"type", "longrope"}, {"factor", 4.0}};
  EXPECT_NE(refused(longrope).message.find("yarn"), std::string::npos);
  for (const char* text : {"", "[]", "{", "nonsense", "{\"a\": NaN}"}) EXPECT_FALSE(read_text(text).ok());
}

TEST(ModelConfig, UnknownArchitectureListsTheKnown) {
  const Error error = refused(base_config("GPT2LMHeadModel"));
  EXPECT_EQ(error.field, "architectures");
  for (const char* known : {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"})
    EXPECT_NE(error.message.find(known), std::string::npos) << known;
}

TEST(ModelConfig, DigestTellsConfigsApart) {
  boost::json::object config = base_config("LlamaForCausalLM");
  const std::string digest = parsed(config).digest;
  EXPECT_EQ(digest.size(), 66U);  // weights are not known
  EXPECT_EQ(parsed(config).digest, digest);
  config["vocab_size"] = 1001;
  EXPECT_NE(parsed(config).digest, digest);
}

}  // namespace
}  // namespace caudal
