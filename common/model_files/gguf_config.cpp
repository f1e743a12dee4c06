#include "common/model_files/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>
#include <cstring>
#include <vector>

namespace caudal {
namespace {

struct Architecture {
  std::string_view name;       // general.architecture
  std::string_view published;  // as config.json names it
  bool interleaved;            // see interleaved_head_dim()
};
constexpr std::array kArchitectures = {Architecture{"llama", "LlamaForCausalLM", true},
                                       Architecture{"qwen2", "Qwen2ForCausalLM", false},
                                       Architecture{"qwen3", "Qwen3ForCausalLM", false}};

const Architecture& find_architecture(const JsonNode& metadata) {
  const JsonNode node = metadata.at("general.architecture");
  const auto* found = std::ranges::find(kArchitectures, node.string(), &Architecture::name);
  if (found != kArchitectures.end()) return *found;
  std::vector<std::string_view> known;
  known.reserve(kArchitectures.size());
  for (const Architecture& architecture : kArchitectures) known.push_back(architecture.name);
  node.fail(fmt::format("is not known; known are {}", fmt::join(known, ", ")));
}

// The keys of the model's architecture: "block_count" for "llama.block_count".
class Keys {
 public:
  explicit Keys(const JsonNode& metadata)
      : metadata_(metadata), prefix_(fmt::format("{}.", find_architecture(metadata).name)) {}

  std::string full(std::string_view key) const { return prefix_ + std::string(key); }
  bool has(std::string_view key) const { return metadata_.has(full(key)); }
  std::int64_t count(std::string_view key) const { return metadata_.count(full(key)); }
  std::int64_t count(std::string_view key, std::int64_t fallback) const { return metadata_.count(full(key), fallback); }
  double positive(std::string_view key) const { return metadata_.positive(full(key)); }
  double positive(std::string_view key, double fallback) const { return metadata_.positive(full(key), fallback); }
  std::string_view text(std::string_view key, std::string_view fallback) const {
    return metadata_.text(full(key), fallback);
  }
  [[noreturn]] void fail(std::string_view key, std::string message) const {
    metadata_.fail_at(full(key), std::move(message));
  }

 private:
  const JsonNode& metadata_;
  std::string prefix_;
};

std::int64_t head_dim(const Keys& keys) {
  if (keys.has("attention.key_length")) return keys.count("attention.key_length");
  const std::int64_t hidden = keys.count("embedding_length"), heads = keys.count("attention.head_count");
  if (hidden % heads != 0) keys.fail("attention.head_count", fmt::format("must divide embedding_length ({})", hidden));
  return hidden / heads;
}

// The file that has the tensor, or nullptr.
const GgufFile* find_tensor(const GgufFiles& files, std::string_view name) {
  const auto found = std::ranges::find_if(files, [&](const GgufFile& f) { return f.header().tensors.contains(name); });
  return found == files.end() ? nullptr : &*found;
}

// What each frequency is divided by: how llama.cpp keeps Llama 3's scaling.
boost::json::array read_factors(const GgufFile& file, std::int64_t count) {
  const GgufTensor& tensor = file.header().tensors.find("rope_freqs.weight")->second;
  const std::span<const std::byte> data = file.header().data.subspan(tensor.offset);
  const auto bytes = static_cast<std::uint64_t>(count) * sizeof(float);
  if (tensor.type != "F32" || tensor.shape != std::vector{count} || data.size() < bytes)
    throw JsonError{fmt::format("tensor \"rope_freqs.weight\" must be F32 [{}]", count), "", file.name()};
  boost::json::array factors;
  for (std::int64_t i = 0; i < count; ++i) {
    float factor = 0.0F;
    std::memcpy(&factor, data.data() + i * sizeof factor, sizeof factor);
    factors.push_back(static_cast<double>(factor));
  }
  return factors;
}

boost::json::object yarn_scaling(const Keys& keys) {
  const double factor = keys.positive("rope.scaling.factor");
  boost::json::object scaling{{"rope_type", "yarn"}, {"factor", factor}};
  if (keys.has("rope.scaling.original_context_length"))
    scaling["original_max_position_embeddings"] = keys.count("rope.scaling.original_context_length");
  for (const std::string_view key : {"beta_fast", "beta_slow"}) {
    const std::string stated = fmt::format("rope.scaling.yarn_{}", key);
    if (keys.has(stated)) scaling[key] = keys.positive(stated);
  }
  // llama.cpp's factor is on top of what the paper scales attention by.
  if (keys.has("rope.scaling.attn_factor"))
    scaling["attention_factor"] = keys.positive("rope.scaling.attn_factor") * (1.0 + 0.1 * std::log(factor));
  return scaling;
}

boost::json::value rope_scaling(const Keys& keys, const GgufFiles& files, std::int64_t head_dim) {
  const std::string_view type = keys.text("rope.scaling.type", "none");
  const GgufFile* const factors = find_tensor(files, "rope_freqs.weight");
  if (factors != nullptr && type != "none") keys.fail("rope.scaling.type", "is there beside rope_freqs.weight");
  if (factors != nullptr)
    return boost::json::object{{"rope_type", "frequency_factors"}, {"factors", read_factors(*factors, head_dim / 2)}};
  if (type == "none") return nullptr;
  if (type == "linear")
    return boost::json::object{{"rope_type", "linear"}, {"factor", keys.positive("rope.scaling.factor")}};
  if (type == "yarn") return yarn_scaling(keys);
  keys.fail("rope.scaling.type", "is unknown; known are none, linear, yarn");
}

// Structure that config.json has no word for.
void check_structure(const Keys& keys, std::int64_t head_dim) {
  if (keys.count("attention.value_length", head_dim) != head_dim)
    keys.fail("attention.value_length", fmt::format("must be that of keys ({})", head_dim));
  if (keys.count("rope.dimension_count", head_dim) != head_dim)
    keys.fail("rope.dimension_count", fmt::format("must be the size of a head ({})", head_dim));
  if (keys.has("expert_count")) keys.fail("expert_count", "is not supported: mixtures of experts are not served");
}

std::int64_t vocab_size(const GgufFile& file, const Keys& keys) {
  const auto tokens = file.header().texts.find("tokenizer.ggml.tokens");
  if (tokens == file.header().texts.end()) file.metadata().fail_at("tokenizer.ggml.tokens", "is missing");
  const std::int64_t size = std::ssize(tokens->second);
  if (keys.count("vocab_size", size) != size)
    keys.fail("vocab_size", fmt::format("must be the number of tokens ({})", size));
  return size;
}

boost::json::array end_tokens(const JsonNode& metadata) {
  boost::json::array ids;
  for (const std::string_view key : {"eos", "eot", "eom"}) {
    const auto node = metadata.find(fmt::format("tokenizer.ggml.{}_token_id", key));
    if (node && std::ranges::find(ids, node->value()) == ids.end()) ids.push_back(node->value());
  }
  return ids;
}

boost::json::object read_config(const GgufFiles& files) {
  const GgufFile& file = files.front();
  const JsonNode metadata = file.metadata();
  const Keys keys(metadata);
  const std::int64_t dim = head_dim(keys), heads = keys.count("attention.head_count");
  check_structure(keys, dim);
  boost::json::object config{
      {"architectures", boost::json::array{find_architecture(metadata).published}},
      {"vocab_size", vocab_size(file, keys)},
      {"hidden_size", keys.count("embedding_length")},
      {"intermediate_size", keys.count("feed_forward_length")},
      {"num_hidden_layers", keys.count("block_count")},
      {"num_attention_heads", heads},
      {"num_key_value_heads", keys.count("attention.head_count_kv", heads)},
      {"head_dim", dim},
      {"rms_norm_eps", keys.positive("attention.layer_norm_rms_epsilon")},
      {"max_position_embeddings", keys.count("context_length")},
      {"rope_theta", keys.positive("rope.freq_base", 10000.0)},
      {"rope_scaling", rope_scaling(keys, files, dim)},
      {"tie_word_embeddings", find_tensor(files, "output.weight") == nullptr},
      {"attention_bias", find_tensor(files, "blk.0.attn_q.bias") != nullptr},
      {"mlp_bias", find_tensor(files, "blk.0.ffn_gate.bias") != nullptr},
      {"eos_token_id", end_tokens(metadata)},
  };
  if (keys.has("attention.sliding_window") && find_architecture(metadata).name == "llama") {
    config["architectures"] = boost::json::array{"MistralForCausalLM"};  // all there is of it beside a Llama
    config["sliding_window"] = keys.count("attention.sliding_window");
  }
  return config;
}

boost::json::object read_generation_config(const JsonNode& metadata) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kNames = {
      {{"temp", "temperature"},
       {"top_k", "top_k"},
       {"top_p", "top_p"},
       {"min_p", "min_p"},
       {"penalty_repeat", "repetition_penalty"}}};
  boost::json::object config;
  for (const auto& [key, name] : kNames)
    if (const auto node = metadata.find(fmt::format("general.sampling.{}", key))) config[name] = node->value();
  return config;
}

}  // namespace

ModelDocuments gguf_documents(const GgufFiles& files) {
  std::string headers;
  std::vector<std::filesystem::path> paths;
  for (const GgufFile& file : files)
    headers.append(reinterpret_cast<const char*>(file.header().bytes.data()), file.header().bytes.size()),
        paths.push_back(file.path());
  const GgufFile& first = files.front();
  return {.config = {first.name(), read_config(files)},
          .generation_config = JsonFile{first.name(), read_generation_config(first.metadata())},
          .digest = model_digest(headers, paths)};
}

std::int64_t interleaved_head_dim(const GgufFile& file) {
  const JsonNode metadata = file.metadata();
  return find_architecture(metadata).interleaved ? head_dim(Keys(metadata)) : 0;
}

}  // namespace caudal
