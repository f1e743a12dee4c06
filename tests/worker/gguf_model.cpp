#include "tests/worker/gguf_model.h"

#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numbers>

#include "kernels/half_float.h"
#include "worker/model/weights/safetensors.h"

namespace caudal {
namespace {

struct Rename {
  const char *from, *to;
};
constexpr Rename kRenames[] = {{"model.embed_tokens.", "token_embd."},
                               {"model.norm.", "output_norm."},
                               {"lm_head.", "output."},
                               {"model.layers.", "blk."},
                               {"self_attn.q_proj.", "attn_q."},
                               {"self_attn.k_proj.", "attn_k."},
                               {"self_attn.v_proj.", "attn_v."},
                               {"self_attn.o_proj.", "attn_output."},
                               {"self_attn.q_norm.", "attn_q_norm."},
                               {"self_attn.k_norm.", "attn_k_norm."},
                               {"post_attention_layernorm.", "ffn_norm."},
                               {"input_layernorm.", "attn_norm."},
                               {"mlp.gate_proj.", "ffn_gate."},
                               {"mlp.up_proj.", "ffn_up."},
                               {"mlp.down_proj.", "ffn_down."}};

std::string gguf_name(std::string name) {
  for (const auto& [from, to] : kRenames)
    if (const std::size_t at = name.find(from); at != std::string::npos) name.replace(at, std::strlen(from), to);
  return name;
}

struct Config {
  explicit Config(const std::filesystem::path& dir) {
    std::ifstream file(dir / "config.json");
    root = boost::json::parse(std::string((std::istreambuf_iterator<char>(file)), {}));
    llama = architecture() == "LlamaForCausalLM" || architecture() == "MistralForCausalLM";
  }
  std::string architecture() const { return boost::json::value_to<std::string>(root.at("architectures").at(0)); }
  std::uint32_t number(const char* key) const { return boost::json::value_to<std::uint32_t>(root.at(key)); }
  bool tied() const {
    const auto* tied = root.as_object().if_contains("tie_word_embeddings");
    return tied != nullptr && tied->as_bool();
  }
  std::uint32_t head_dim() const {
    return root.as_object().contains("head_dim") ? number("head_dim")
                                                 : number("hidden_size") / number("num_attention_heads");
  }

  boost::json::value root;
  bool llama = false;
};

// Row `half * (dim / 2) + i` of a head becomes row `2 * i + half`.
std::string interleave(const std::string& rows, std::size_t num_rows, std::size_t dim) {
  const std::size_t bytes = rows.size() / num_rows;
  std::string out(rows.size(), '\0');
  for (std::size_t row = 0; row < num_rows; ++row) {
    const std::size_t half = row % dim / (dim / 2), i = row % (dim / 2);
    rows.copy(out.data() + (row / dim * dim + 2 * i + half) * bytes, bytes, row * bytes);
  }
  return out;
}

std::string as_f32(const StoredTensor& tensor) {
  const DType dtype = tensor.format == "BF16" ? DType::kBF16 : tensor.format == "F16" ? DType::kF16 : DType::kF32;
  std::string out(tensor.data.size() / dtype_bytes(dtype) * sizeof(float), '\0');
  widen(dtype, tensor.data.data(), out.size() / sizeof(float), reinterpret_cast<float*>(out.data()));
  return out;
}

// What of a file decides how a tensor is written.
struct Target {
  const Config& config;
  std::optional<StoredFormat> format;

  std::optional<StoredFormat> format_of(const std::string& name, const StoredTensor& tensor) const {
    if (tensor.shape.size() == 1 || !format) return std::nullopt;
    return name == (config.tied() ? "model.embed_tokens.weight" : "lm_head.weight") ? StoredFormat::kQ8_0 : format;
  }
};

std::string rounded(const std::string& f32, StoredFormat format) {
  const FormatInfo& info = info_of(format);
  std::vector<float> values(f32.size() / sizeof(float));
  std::memcpy(values.data(), f32.data(), f32.size());
  std::string out(values.size() / 32 * info.block_bytes, '\0');
  auto* block = reinterpret_cast<std::byte*>(out.data());
  for (std::size_t i = 0; i < values.size(); i += 32, block += info.block_bytes)
    info.coding.encode(values.data() + i, block);
  return out;
}

void add_tensor(const std::string& name, const StoredTensor& tensor, const Target& target, GgufWriter& writer) {
  const Config& config = target.config;
  const std::optional<StoredFormat> format = target.format_of(name, tensor);
  const bool vector = tensor.shape.size() == 1;
  std::string data = vector || format
                         ? as_f32(tensor)
                         : std::string(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
  const bool rotated = name.find("q_proj.") != std::string::npos || name.find("k_proj.") != std::string::npos;
  if (rotated && config.llama) data = interleave(data, static_cast<std::size_t>(tensor.shape[0]), config.head_dim());
  if (format) data = rounded(data, *format);
  const std::uint32_t type = format == StoredFormat::kQ8_0      ? GgufWriter::kQ8_0
                             : format                           ? GgufWriter::kQ4_0
                             : vector || tensor.format == "F32" ? GgufWriter::kF32
                             : tensor.format == "F16"           ? GgufWriter::kF16
                                                                : GgufWriter::kBF16;
  writer.add_tensor(gguf_name(name), tensor.shape, type, data);
}

void add_tensors(const std::filesystem::path& dir, const Target& target, GgufWriter& writer) {
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    const std::string file = entry.path().filename();
    if (!file.starts_with("model") || entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile tensors = SafetensorsFile::open(entry.path()).value();
    for (const auto& [name, tensor] : tensors.tensors()) add_tensor(name, tensor, target, writer);
  }
}

// Llama 3's scaling as what each frequency is divided by, as the converter computes it.
std::vector<float> llama3_factors(const boost::json::value& scaling, double theta, std::uint32_t dim) {
  const auto field = [&](const char* name) { return scaling.at(name).to_number<double>(); };
  const double low = field("low_freq_factor"), high = field("high_freq_factor");
  const double length = field("original_max_position_embeddings");
  std::vector<float> factors;
  for (std::uint32_t i = 0; i < dim; i += 2) {
    const double wave = 2.0 * std::numbers::pi * std::pow(theta, static_cast<double>(i) / dim);
    const double smooth = (length / wave - low) / (high - low);
    const double middle = 1.0 / ((1.0 - smooth) / field("factor") + smooth);
    factors.push_back(static_cast<float>(wave < length / high ? 1.0 : wave > length / low ? field("factor") : middle));
  }
  return factors;
}

void add_rope_scaling(const Config& config, const std::string& arch, GgufWriter& writer) {
  const auto* scaling = config.root.as_object().if_contains("rope_scaling");
  if (scaling == nullptr || scaling->is_null()) return;
  const auto& object = scaling->as_object();
  const std::string type =
      boost::json::value_to<std::string>(object.at(object.contains("type") ? "type" : "rope_type"));
  if (type == "llama3") {
    const double theta = config.root.at("rope_theta").to_number<double>();
    const std::vector<float> factors = llama3_factors(*scaling, theta, config.head_dim());
    writer.add_tensor("rope_freqs.weight", {std::ssize(factors)}, GgufWriter::kF32,
                      {reinterpret_cast<const char*>(factors.data()), factors.size() * sizeof(float)});
    return;
  }
  writer.add(arch + ".rope.scaling.type", type);
  writer.add(arch + ".rope.scaling.factor", scaling->at("factor").to_number<float>());
  if (object.contains("original_max_position_embeddings"))
    writer.add(arch + ".rope.scaling.original_context_length",
               boost::json::value_to<std::uint32_t>(object.at("original_max_position_embeddings")));
}

void add_metadata(const Config& config, GgufWriter& writer) {
  const std::string arch = config.llama ? "llama" : config.architecture() == "Qwen2ForCausalLM" ? "qwen2" : "qwen3";
  writer.add("general.architecture", arch);
  constexpr Rename kNumbers[] = {{"hidden_size", ".embedding_length"},
                                 {"intermediate_size", ".feed_forward_length"},
                                 {"num_hidden_layers", ".block_count"},
                                 {"num_attention_heads", ".attention.head_count"},
                                 {"num_key_value_heads", ".attention.head_count_kv"},
                                 {"max_position_embeddings", ".context_length"}};
  for (const auto& [from, to] : kNumbers) writer.add(arch + to, config.number(from));
  writer.add(arch + ".attention.key_length", config.head_dim());
  writer.add(arch + ".rope.dimension_count", config.head_dim());
  writer.add(arch + ".rope.freq_base", config.root.at("rope_theta").to_number<float>());
  writer.add(arch + ".attention.layer_norm_rms_epsilon", config.root.at("rms_norm_eps").to_number<float>());
  if (config.architecture() == "MistralForCausalLM")
    writer.add(arch + ".attention.sliding_window", config.number("sliding_window"));
  add_rope_scaling(config, arch, writer);
  std::vector<std::string> tokens(config.number("vocab_size"));
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = "t" + std::to_string(i);
  writer.add("tokenizer.ggml.tokens", tokens);
}

}  // namespace

GgufWriter gguf_of(const std::filesystem::path& model_dir, std::optional<StoredFormat> format) {
  const Config config(model_dir);
  GgufWriter writer;
  add_metadata(config, writer);
  add_tensors(model_dir, {config, format}, writer);
  return writer;
}

}  // namespace caudal
