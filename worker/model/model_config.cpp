// Reading config.json: the family table, then one small parser per group of fields.
#include "worker/model/model_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <fstream>
#include <iterator>

#include "common/model_digest.h"
#include "worker/model/config_fields.h"

namespace caudal {
namespace {

// What a family has that its config.json does not spell out. To add a family whose blocks have the
// structure of model/decoder.cpp is to add a line; another structure is another decoder.
enum class Window { kNever, kAllLayers, kOptIn };  // which families may have sliding-window layers
struct Family {
  std::string_view architecture;
  bool qkv_bias = false;              // q, k, v always have a bias
  bool reads_attention_bias = false;  // "attention_bias" gives q, k, v and the output projection one
  bool reads_mlp_bias = false;
  bool qk_norm = false;
  bool needs_head_dim = false;  // else hidden_size / num_attention_heads where absent
  bool needs_kv_heads = true;   // else absent means one per head
  Window window = Window::kNever;
};
constexpr std::array kFamilies = {
    Family{.architecture = "LlamaForCausalLM",
           .reads_attention_bias = true,
           .reads_mlp_bias = true,
           .needs_kv_heads = false},
    Family{.architecture = "MistralForCausalLM", .window = Window::kAllLayers},
    Family{.architecture = "Qwen2ForCausalLM", .qkv_bias = true, .window = Window::kOptIn},
    Family{.architecture = "Qwen3ForCausalLM",
           .reads_attention_bias = true,
           .qk_norm = true,
           .needs_head_dim = true,
           .window = Window::kOptIn},
};
constexpr std::int64_t kUnstatedMistralWindow = 4096;  // what an absent field means in that family

// Far past every published model; they keep a damaged file from asking for absurd memory.
constexpr std::int64_t kMostLayers = 1024;
constexpr double kMostStretch = 1024.0;

std::string known_architectures() {
  std::vector<std::string_view> names;
  for (const Family& family : kFamilies) names.push_back(family.architecture);
  return fmt::format("{}", fmt::join(names, ", "));
}

const Family* find_family(ConfigFields& fields, std::string& architecture) {
  const boost::json::array* names = fields.array_or_null("architectures");
  if (names == nullptr || names->size() != 1 || !names->front().is_string()) {
    fields.fail("architectures", fmt::format("must name one of {}", known_architectures()));
    return nullptr;
  }
  architecture = std::string(names->front().get_string());
  const auto* family =
      std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& f) { return f.architecture == architecture; });
  if (family != kFamilies.end()) return family;
  fields.fail("architectures", fmt::format("is not known; known are {}", known_architectures()));
  return nullptr;
}

void parse_shape(ConfigFields& fields, const Family& family, ModelConfig& config) {
  config.vocab_size = fields.count("vocab_size");
  config.hidden_size = fields.count("hidden_size");
  config.intermediate_size = fields.count("intermediate_size");
  config.num_layers = fields.count("num_hidden_layers");
  if (config.num_layers > kMostLayers) fields.fail("num_hidden_layers", fmt::format("must be at most {}", kMostLayers));
  config.num_heads = fields.count("num_attention_heads");
  config.num_kv_heads = family.needs_kv_heads ? fields.count("num_key_value_heads")
                                              : fields.count_or("num_key_value_heads", config.num_heads);
  if (config.num_heads % config.num_kv_heads != 0)
    fields.fail("num_key_value_heads", fmt::format("must divide num_attention_heads ({})", config.num_heads));
  if (!family.needs_head_dim && !fields.has("head_dim")) {
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

void parse_structure(ConfigFields& fields, const Family& family, ModelConfig& config) {
  const bool attention_bias = family.reads_attention_bias && fields.flag_or("attention_bias", false);
  config.qkv_bias = family.qkv_bias || attention_bias;
  config.output_bias = attention_bias;
  config.mlp_bias = family.reads_mlp_bias && fields.flag_or("mlp_bias", false);
  config.qk_norm = family.qk_norm;
  config.tied_embeddings = fields.flag_or("tie_word_embeddings", false);
  if (fields.text_or("hidden_act", "silu") != "silu") fields.fail("hidden_act", "must be \"silu\"");
  if (fields.positive_or("partial_rotary_factor", 1.0) != 1.0) fields.fail("partial_rotary_factor", "must be 1");
  if (fields.has("quantization_config"))
    fields.fail("quantization_config", "is not supported; use bf16, f16 or f32 weights");
}

// Layers with a window: all of them, or those from max_window_layers on, or as layer_types lists.
void parse_windows(ConfigFields& fields, const Family& family, const boost::json::object& root, ModelConfig& config) {
  config.sliding_window.assign(static_cast<std::size_t>(config.num_layers), 0);
  const bool on = family.window == Window::kAllLayers ||
                  (family.window == Window::kOptIn && fields.flag_or("use_sliding_window", false));
  const bool stated_as_null = root.contains("sliding_window") && !fields.has("sliding_window");
  if (!on || stated_as_null) return;
  const auto window = static_cast<std::int32_t>(fields.count_or("sliding_window", kUnstatedMistralWindow));
  const std::int64_t first = family.window == Window::kOptIn ? fields.count_or("max_window_layers", 28) : 0;
  const boost::json::array* types = fields.array_or_null("layer_types");
  if (types != nullptr && types->size() != config.sliding_window.size())
    return fields.fail("layer_types", "must have an entry per layer");
  for (std::size_t i = 0; i < config.sliding_window.size(); ++i) {
    const bool windowed = types != nullptr ? types->at(i) == boost::json::value("sliding_attention")
                                           : static_cast<std::int64_t>(i) >= first;
    if (types != nullptr && !windowed && types->at(i) != boost::json::value("full_attention"))
      return fields.fail("layer_types", "may hold \"full_attention\" and \"sliding_attention\"");
    if (windowed) config.sliding_window[i] = window;
  }
}

double yarn_mscale(double factor, double mscale) { return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

void parse_yarn(ConfigFields& rope, RopeConfig& config) {
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
void parse_rope(ConfigFields& fields, std::optional<Error>& error, ModelConfig& config) {
  RopeConfig& rope = config.rope;
  rope.theta = fields.positive_or("rope_theta", 10000.0);
  rope.original_max_position = config.max_position;
  const char* section = fields.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const boost::json::object* object = fields.object_or_null(section);
  if (object == nullptr) return;

  ConfigFields scaling(*object, error, section);
  rope.theta = scaling.positive_or("rope_theta", rope.theta);
  if (scaling.positive_or("partial_rotary_factor", 1.0) != 1.0) scaling.fail("partial_rotary_factor", "must be 1");
  const std::string type = scaling.text_or(scaling.has("rope_type") ? "rope_type" : "type", "default");
  if (type == "default") return;
  rope.original_max_position = scaling.count_or("original_max_position_embeddings", config.max_position);
  if (type == "yarn" && !scaling.has("factor")) {
    rope.factor = static_cast<double>(config.max_position) / static_cast<double>(rope.original_max_position);
  } else {
    rope.factor = scaling.positive("factor");
  }
  if (rope.factor > kMostStretch) scaling.fail("factor", fmt::format("must be at most {}", kMostStretch));
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
  } else if (type == "dynamic") {
    rope.scaling = RopeScaling::kDynamic;
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
    rope.low_freq_factor = scaling.positive("low_freq_factor");
    rope.high_freq_factor = scaling.positive("high_freq_factor");
    if (rope.low_freq_factor >= rope.high_freq_factor)
      scaling.fail("high_freq_factor", "must be above low_freq_factor");
  } else if (type == "yarn") {
    rope.scaling = RopeScaling::kYarn;
    parse_yarn(scaling, rope);
  } else {
    scaling.fail("rope_type", "is unknown; known are default, linear, dynamic, llama3, yarn");
  }
}

void parse_dtype(ConfigFields& fields, ModelConfig& config) {
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

Result<ModelConfig> parse_model_config(std::string_view text) {
  boost::system::error_code code;
  const boost::json::value root = boost::json::parse(text, code);
  if (code) return Error{"config.json: is not valid JSON: " + code.message(), "config.json"};
  if (!root.is_object()) return Error{"config.json: is not a JSON object", "config.json"};

  std::optional<Error> error;
  ConfigFields fields(root.get_object(), error);
  ModelConfig config;
  const Family* family = find_family(fields, config.architecture);
  if (family != nullptr) {
    parse_shape(fields, *family, config);
    parse_structure(fields, *family, config);
    if (!fields.failed()) parse_windows(fields, *family, root.get_object(), config);
    parse_rope(fields, error, config);
    parse_dtype(fields, config);
  }
  if (error) return *error;
  config.digest = model_digest(text);
  return config;
}

Result<ModelConfig> load_model_config(const std::filesystem::path& model_dir) {
  std::ifstream file(model_dir / "config.json", std::ios::binary);
  if (!file) return Error{"config.json: cannot be read", "config.json"};
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return parse_model_config(text);
}

}  // namespace caudal
