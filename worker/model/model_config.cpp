// Reading config.json: one small function per group of fields.
#include "worker/model/model_config.h"

#include <fmt/core.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace caudal {
namespace {

constexpr std::int64_t kUnstatedWindow = 4096;  // what an absent "sliding_window" means

// Far past every published model; it keeps a damaged file from asking for absurd memory.
constexpr std::int64_t kMaxLayers = 1024;

// Before any layer has heads of its own.
LayerConfig read_heads(const JsonNode& root, const ShapeRules& rules, const ModelConfig& config) {
  LayerConfig layer;
  layer.num_heads = root.count("num_attention_heads");
  layer.num_kv_heads =
      rules.needs_kv_heads ? root.count("num_key_value_heads") : root.count("num_key_value_heads", layer.num_heads);
  if (!rules.needs_head_dim && !root.has("head_dim")) {
    if (config.hidden_size % layer.num_heads != 0)
      root.fail_at("num_attention_heads", fmt::format("must divide hidden_size ({})", config.hidden_size));
    layer.head_dim = config.hidden_size / layer.num_heads;
  } else {
    layer.head_dim = root.count("head_dim");
  }
  check_heads(root, layer, config.rope);
  return layer;
}

void read_shape(const JsonNode& root, const ShapeRules& rules, ModelConfig& config) {
  config.hidden_size = root.count("hidden_size");
  config.intermediate_size = root.count("intermediate_size");
  const std::int64_t num_layers = root.count("num_hidden_layers");
  if (num_layers > kMaxLayers) root.fail_at("num_hidden_layers", fmt::format("must be at most {}", kMaxLayers));
  config.layers.assign(num_layers, read_heads(root, rules, config));
  config.norm_eps = static_cast<float>(root.positive("rms_norm_eps"));
}

// Structure that the blocks do not have.
void check_structure(const JsonNode& root) {
  if (root.text("hidden_act", "silu") != "silu") root.fail_at("hidden_act", "must be \"silu\"");
  if (root.positive("partial_rotary_factor", 1.0) != 1.0) root.fail_at("partial_rotary_factor", "must be 1");
  if (root.has("quantization_config"))
    root.fail_at("quantization_config", "is not supported; use bf16, f16 or f32 weights");
}

void read_dtype(const JsonNode& root, ModelConfig& config) {
  const std::string_view name = root.text(root.has("dtype") ? "dtype" : "torch_dtype", "");
  if (name == "bfloat16") config.dtype = DType::kBF16;
  if (name == "float16") config.dtype = DType::kF16;
  if (name == "float32") config.dtype = DType::kF32;
}

}  // namespace

ModelConfig read_decoder_config(const ModelCard& card, const ShapeRules& rules) {
  const JsonNode root = card.config();
  ModelConfig config;
  config.vocab_size = card.vocab_size;
  config.rope = card.rope;
  config.digest = card.digest;
  read_shape(root, rules, config);
  check_structure(root);
  config.tied_embeddings = root.flag("tie_word_embeddings", false);
  read_dtype(root, config);
  return config;
}

void check_heads(const JsonNode& root, const LayerConfig& layer, const RopeConfig& rope) {
  if (layer.num_heads % layer.num_kv_heads != 0)
    root.fail_at("num_key_value_heads", fmt::format("must divide num_attention_heads ({})", layer.num_heads));
  if (layer.head_dim % 16 != 0 || layer.head_dim > 256)
    root.fail_at("head_dim", fmt::format("must be a multiple of 16 and at most 256, not {}", layer.head_dim));
  if (rope.scaling == RopeScaling::kFactors && std::ssize(rope.factors) != layer.head_dim / 2)
    root.fail_at("rope_scaling", fmt::format("must have {} factors", layer.head_dim / 2));
}

void read_windows(const JsonNode& root, std::int64_t first_layer, ModelConfig& config) {
  const bool stated_as_null = root.object().contains("sliding_window") && !root.has("sliding_window");
  if (stated_as_null) return;
  const auto window = static_cast<std::int32_t>(root.count("sliding_window", kUnstatedWindow));
  const std::optional<JsonNode> types = root.find("layer_types");
  if (types && types->size() != config.layers.size()) types->fail("must have an entry per layer");
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const bool windowed = types ? types->array()[i] == boost::json::value("sliding_attention")
                                : static_cast<std::int64_t>(i) >= first_layer;
    if (types && !windowed && types->array()[i] != boost::json::value("full_attention"))
      types->fail("may hold \"full_attention\" and \"sliding_attention\"");
    if (windowed) config.layers[i].sliding_window = window;
  }
}

}  // namespace caudal
