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

void read_shape(const JsonNode& root, const ShapeRules& rules, ModelConfig& config) {
  config.hidden_size = root.count("hidden_size");
  config.intermediate_size = root.count("intermediate_size");
  config.num_layers = root.count("num_hidden_layers");
  if (config.num_layers > kMaxLayers) root.fail_at("num_hidden_layers", fmt::format("must be at most {}", kMaxLayers));
  config.num_heads = root.count("num_attention_heads");
  config.num_kv_heads =
      rules.needs_kv_heads ? root.count("num_key_value_heads") : root.count("num_key_value_heads", config.num_heads);
  if (config.num_heads % config.num_kv_heads != 0)
    root.fail_at("num_key_value_heads", fmt::format("must divide num_attention_heads ({})", config.num_heads));
  if (!rules.needs_head_dim && !root.has("head_dim")) {
    if (config.hidden_size % config.num_heads != 0)
      root.fail_at("num_attention_heads", fmt::format("must divide hidden_size ({})", config.hidden_size));
    config.head_dim = config.hidden_size / config.num_heads;
  } else {
    config.head_dim = root.count("head_dim");
  }
  if (config.head_dim % 16 != 0 || config.head_dim > 256)
    root.fail_at("head_dim", fmt::format("must be a multiple of 16 and at most 256, not {}", config.head_dim));
  if (config.rope.scaling == RopeScaling::kFactors && std::ssize(config.rope.factors) != config.head_dim / 2)
    root.fail_at("rope_scaling", fmt::format("must have {} factors", config.head_dim / 2));
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
  config.sliding_window.assign(config.num_layers, 0);
  read_dtype(root, config);
  return config;
}

void read_windows(const JsonNode& root, std::int64_t first_layer, ModelConfig& config) {
  const bool stated_as_null = root.object().contains("sliding_window") && !root.has("sliding_window");
  if (stated_as_null) return;
  const auto window = static_cast<std::int32_t>(root.count("sliding_window", kUnstatedWindow));
  const std::optional<JsonNode> types = root.find("layer_types");
  if (types && types->size() != config.sliding_window.size()) types->fail("must have an entry per layer");
  for (std::size_t i = 0; i < config.sliding_window.size(); ++i) {
    const bool windowed = types ? types->array()[i] == boost::json::value("sliding_attention")
                                : static_cast<std::int64_t>(i) >= first_layer;
    if (types && !windowed && types->array()[i] != boost::json::value("full_attention"))
      types->fail("may hold \"full_attention\" and \"sliding_attention\"");
    if (windowed) config.sliding_window[i] = window;
  }
}

}  // namespace caudal
