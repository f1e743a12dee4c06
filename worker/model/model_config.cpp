// Reading config.json: one small function per group of fields.
#include "worker/model/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <cmath>

#include "worker/model/config_fields.h"

namespace caudal {
namespace {

constexpr std::int64_t kUnstatedWindow = 4096;  // what an absent "sliding_window" means

// Far past every published model; they keep a damaged file from asking for absurd memory.
constexpr std::int64_t kMaxLayers = 1024;
constexpr double kMaxStretch = 1024.0;

void read_shape(ConfigFields& fields, const ShapeRules& rules, ModelConfig& config) {
  config.vocab_size = fields.count("vocab_size");
  config.hidden_size = fields.count("hidden_size");
  config.intermediate_size = fields.count("intermediate_size");
  config.num_layers = fields.count("num_hidden_layers");
  if (config.num_layers > kMaxLayers) fields.fail("num_hidden_layers", fmt::format("must be at most {}", kMaxLayers));
  config.num_heads = fields.count("num_attention_heads");
  config.num_kv_heads = rules.needs_kv_heads ? fields.count("num_key_value_heads")
                                             : fields.count_or("num_key_value_heads", config.num_heads);
  if (config.num_heads % config.num_kv_heads != 0)
    fields.fail("num_key_value_heads", fmt::format("must divide num_attention_heads ({})", config.num_heads));
  if (!rules.needs_head_dim && !fields.has("head_dim")) {
    if (config.hidden_size % config.num_heads != 0)
      fields.fail("num_attention_heads", fmt::format("must divide hidden_size ({})", config.hidden_size));
    config.head_dim = config.hidden_size / config.num_heads;
  } else {
    config.head_dim = fields.count("head_dim");
  }
  if (config.head_dim % 16 != 0 || config.head_dim > 256)
    fields.fail("head_dim", fmt::format("must be a multiple of 16 and at most 256, not {}", config.head_dim));
  config.max_position = fields.count("max_position_embeddings");
  config.norm_eps = static_cast<float>(fields.positive("rms_norm_eps"));
}

// Structure that the blocks do not have.
void check_structure(ConfigFields& fields) {
  if (fields.text_or("hidden_act", "silu") != "silu") fields.fail("hidden_act", "must be \"silu\"");
  if (fields.positive_or("partial_rotary_factor", 1.0) != 1.0) fields.fail("partial_rotary_factor", "must be 1");
  if (fields.has("quantization_config"))
    fields.fail("quantization_config", "is not supported; use bf16, f16 or f32 weights");
}

double yarn_mscale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

void read_yarn(ConfigFields& rope, RopeConfig& config) {
  config.beta_fast = rope.positive_or("beta_fast", 32.0);
  config.beta_slow = rope.positive_or("beta_slow", 1.0);
  config.truncate = rope.flag_or("truncate", true);
  const double unstated = rope.has("mscale") && rope.has("mscale_all_dim")
                              ? yarn_mscale(config.factor, rope.positive("mscale")) /
                                    yarn_mscale(config.factor, rope.positive("mscale_all_dim"))
                              : yarn_mscale(config.factor, 1.0);
  config.attention_factor = rope.positive_or("attention_factor", unstated);
}

// Published configs have "rope_theta" and "rope_scaling" side by side, or both inside "rope_parameters".
void read_rope(ConfigFields& fields, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.theta = fields.positive_or("rope_theta", 10000.0);
  rope.original_max_position = config.max_position;
  const char* section = fields.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  std::optional<ConfigFields> scaling = fields.inside(section);
  if (!scaling) return;
  rope.theta = scaling->positive_or("rope_theta", rope.theta);
  if (scaling->positive_or("partial_rotary_factor", 1.0) != 1.0) scaling->fail("partial_rotary_factor", "must be 1");
  const std::string type = scaling->text_or(scaling->has("rope_type") ? "rope_type" : "type", "default");
  if (type == "default") return;
  rope.original_max_position = scaling->count_or("original_max_position_embeddings", config.max_position);
  if (type == "yarn" && !scaling->has("factor")) {
    rope.factor = static_cast<double>(config.max_position) / static_cast<double>(rope.original_max_position);
  } else {
    rope.factor = scaling->positive("factor");
  }
  if (rope.factor > kMaxStretch) scaling->fail("factor", fmt::format("must be at most {}", kMaxStretch));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "dynamic") {
    rope.scaling = RopeScaling::kDynamic;
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
    rope.low_freq_factor = scaling->positive("low_freq_factor");
    rope.high_freq_factor = scaling->positive("high_freq_factor");
    if (rope.low_freq_factor >= rope.high_freq_factor)
      scaling->fail("high_freq_factor", "must be above low_freq_factor");
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    read_yarn(*scaling, rope);
  } else {
    scaling->fail("rope_type", "is unknown; known are default, linear, dynamic, llama3, yarn");
  }
}

void read_dtype(ConfigFields& fields, ModelConfig& config) {
  const std::string name = fields.text_or(fields.has("dtype") ? "dtype" : "torch_dtype", "");
  if (name == "bfloat16") config.dtype = DType::kBF16;
  if (name == "float16") config.dtype = DType::kF16;
  if (name == "float32") config.dtype = DType::kF32;
}

}  // namespace

std::int64_t ModelConfig::default_context() const {
  return rope.scaling == RopeScaling::kYarn ? longest_context() : max_position;
}

std::int64_t ModelConfig::longest_context() const {
  const auto stretched = [&](std::int64_t length) {
    return static_cast<std::int64_t>(static_cast<double>(length) * rope.factor);
  };
  switch (rope.scaling) {
    case RopeScaling::kLinear:
    case RopeScaling::kDynamic:
      return std::max(max_position, stretched(max_position));
    case RopeScaling::kYarn:
      return std::max(max_position, stretched(rope.original_max_position));
    case RopeScaling::kNone:
    case RopeScaling::kLlama3:
      break;
  }
  return max_position;
}

ModelConfig read_decoder_config(ConfigFields& fields, const ShapeRules& rules) {
  ModelConfig config;
  read_shape(fields, rules, config);
  check_structure(fields);
  config.tied_embeddings = fields.flag_or("tie_word_embeddings", false);
  if (!fields.failed()) config.sliding_window.assign(static_cast<std::size_t>(config.num_layers), 0);
  read_rope(fields, config);
  read_dtype(fields, config);
  return config;
}

void read_windows(ConfigFields& fields, std::int64_t first_layer, ModelConfig& config) {
  if (fields.failed() || fields.is_null("sliding_window")) return;
  const auto window = static_cast<std::int32_t>(fields.count_or("sliding_window", kUnstatedWindow));
  const boost::json::array* types = fields.array_or_null("layer_types");
  if (types != nullptr && types->size() != config.sliding_window.size())
    return fields.fail("layer_types", "must have an entry per layer");
  for (std::size_t i = 0; i < config.sliding_window.size(); ++i) {
    const bool windowed = types != nullptr ? types->at(i) == boost::json::value("sliding_attention")
                                           : static_cast<std::int64_t>(i) >= first_layer;
    if (types != nullptr && !windowed && types->at(i) != boost::json::value("full_attention"))
      return fields.fail("layer_types", "may hold \"full_attention\" and \"sliding_attention\"");
    if (windowed) config.sliding_window[i] = window;
  }
}

}  // namespace caudal
