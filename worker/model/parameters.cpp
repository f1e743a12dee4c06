#include "worker/model/parameters.h"

#include <fmt/core.h>

namespace caudal {
namespace {

constexpr std::string_view kHeadName = "lm_head.weight";
constexpr std::string_view kEmbeddingName = "model.embed_tokens.weight";

std::int64_t round_up(std::int64_t n, std::int64_t step) { return (n + step - 1) / step * step; }

// The four ways to cut. Biases of matrices that are cut by columns are added once, on rank 0.
WeightPart cut_rows(std::string name, std::int64_t rows, std::int64_t columns, Range range) {
  return {std::move(name), rows, columns, range, {0, columns}};
}
WeightPart cut_columns(std::string name, std::int64_t rows, std::int64_t columns, Range range) {
  return {std::move(name), rows, columns, {0, rows}, range};
}
WeightPart cut_vector(std::string name, std::int64_t size, Range range) {
  return {std::move(name), size, 0, range, {0, 1}};
}
WeightPart whole_vector(std::string name, std::int64_t size) { return cut_vector(std::move(name), size, {0, size}); }
WeightPart first_rank_vector(std::string name, std::int64_t size, int rank) {
  return cut_vector(std::move(name), size, {0, rank == 0 ? size : 0});
}

Range scaled(Range range, std::int64_t by) { return {range.begin * by, range.count * by}; }

void add_attention(const ModelConfig& config, const Partition& part, const std::string& prefix,
                   LayerParameters& layer) {
  const std::int64_t d = config.head_dim;
  const Range heads = scaled(part.heads, d), kv_heads = scaled(part.kv_heads, d);
  const std::int64_t q_rows = config.num_heads * d, kv_rows = config.num_kv_heads * d;
  layer.qkv.parts = {cut_rows(prefix + "q_proj.weight", q_rows, config.hidden_size, heads),
                     cut_rows(prefix + "k_proj.weight", kv_rows, config.hidden_size, kv_heads),
                     cut_rows(prefix + "v_proj.weight", kv_rows, config.hidden_size, kv_heads)};
  layer.output.parts = {cut_columns(prefix + "o_proj.weight", config.hidden_size, q_rows, heads)};
  if (config.qkv_bias) {
    layer.qkv_bias.parts = {cut_vector(prefix + "q_proj.bias", q_rows, heads),
                            cut_vector(prefix + "k_proj.bias", kv_rows, kv_heads),
                            cut_vector(prefix + "v_proj.bias", kv_rows, kv_heads)};
  }
  if (config.output_bias)
    layer.output_bias.parts = {first_rank_vector(prefix + "o_proj.bias", config.hidden_size, part.rank)};
  if (config.qk_norm) {
    layer.q_norm.parts = {whole_vector(prefix + "q_norm.weight", d)};
    layer.k_norm.parts = {whole_vector(prefix + "k_norm.weight", d)};
  }
}

void add_mlp(const ModelConfig& config, const Partition& part, const std::string& prefix, LayerParameters& layer) {
  const std::int64_t hidden = config.hidden_size, inner = config.intermediate_size;
  layer.gate_up.parts = {cut_rows(prefix + "gate_proj.weight", inner, hidden, part.intermediate),
                         cut_rows(prefix + "up_proj.weight", inner, hidden, part.intermediate)};
  layer.down.parts = {cut_columns(prefix + "down_proj.weight", hidden, inner, part.intermediate)};
  if (config.mlp_bias) {
    layer.gate_up_bias.parts = {cut_vector(prefix + "gate_proj.bias", inner, part.intermediate),
                                cut_vector(prefix + "up_proj.bias", inner, part.intermediate)};
    layer.down_bias.parts = {first_rank_vector(prefix + "down_proj.bias", hidden, part.rank)};
  }
}

template <typename Visit>
void for_each_parameter(const DecoderParameters& all, const Visit& visit) {
  visit(all.embedding);
  for (const LayerParameters& layer : all.layers) {
    for (const Parameter* parameter :
         {&layer.input_norm, &layer.qkv, &layer.qkv_bias, &layer.q_norm, &layer.k_norm, &layer.output,
          &layer.output_bias, &layer.post_norm, &layer.gate_up, &layer.gate_up_bias, &layer.down, &layer.down_bias})
      visit(*parameter);
  }
  visit(all.final_norm);
  visit(all.head);
}

}  // namespace

std::vector<std::int64_t> WeightPart::stored_shape() const {
  return total_columns == 0 ? std::vector{total_rows} : std::vector{total_rows, total_columns};
}

std::int64_t Parameter::rows() const {
  std::int64_t sum = 0;
  for (const WeightPart& part : parts) sum += part.rows.count;
  return sum;
}

std::vector<const WeightPart*> DecoderParameters::all_parts() const {
  std::vector<const WeightPart*> parts;
  for_each_parameter(*this, [&](const Parameter& parameter) {
    for (const WeightPart& part : parameter.parts) parts.push_back(&part);
  });
  return parts;
}

std::size_t DecoderParameters::device_bytes(DType dtype) const {
  // Packed matrices are padded to tiles, 64 covers those of every backend in both directions, and may carry
  // a bias in f32 whether the model has one or not.
  constexpr std::int64_t kTile = 64;
  std::size_t bytes = 0;
  for_each_parameter(*this, [&](const Parameter& parameter) {
    if (!parameter.held()) return;
    const std::int64_t rows = round_up(parameter.rows(), kTile);
    bytes += static_cast<std::size_t>(rows) * sizeof(float);
    if (parameter.columns() > 1)
      bytes += static_cast<std::size_t>(rows * round_up(parameter.columns(), kTile)) * dtype_bytes(dtype);
  });
  return bytes;
}

DecoderParameters decoder_parameters(const ModelConfig& config, const Partition& part) {
  DecoderParameters all;
  const std::int64_t hidden = config.hidden_size;
  all.embedding.parts = {cut_rows(std::string(kEmbeddingName), config.vocab_size, hidden, part.vocabulary)};
  for (std::int64_t i = 0; i < config.num_layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    LayerParameters layer;
    layer.input_norm.parts = {whole_vector(prefix + "input_layernorm.weight", hidden)};
    add_attention(config, part, prefix + "self_attn.", layer);
    layer.post_norm.parts = {whole_vector(prefix + "post_attention_layernorm.weight", hidden)};
    add_mlp(config, part, prefix + "mlp.", layer);
    all.layers.push_back(std::move(layer));
  }
  all.final_norm.parts = {whole_vector("model.norm.weight", hidden)};
  const std::string_view head = config.tied_embeddings ? kEmbeddingName : kHeadName;
  all.head.parts = {cut_rows(std::string(head), config.vocab_size, hidden, part.vocabulary)};
  return all;
}

bool is_redundant(const ModelConfig& config, const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") || (config.tied_embeddings && name == kHeadName);
}

}  // namespace caudal
