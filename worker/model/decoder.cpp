#include "worker/model/decoder.h"

#include <cmath>

#include "worker/model/rope.h"

namespace caudal {

Tensor Decoder::forward(const DeviceBatch& batch, const KvCache& cache) {
  const Activations now = first_rows(batch.token_ids.dim(0));
  const float eps = config_.norm_eps;
  embedding_.forward(batch.token_ids, now.residual);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    if (i == 0) {
      backend_.rms_norm(now.residual, layer.input_norm.tensor, eps, now.x);
    } else {
      backend_.add_rms_norm(now.x, now.residual, layer.input_norm.tensor, eps, now.x);
    }
    attend(layer, batch, cache.layer(i), now);
    backend_.add_rms_norm(now.x, now.residual, layer.post_norm.tensor, eps, now.x);
    layer.gate_up.forward(now.x, now.gate_up);
    backend_.silu_and_mul(now.gate_up, now.inner);
    layer.down.forward(now.inner, now.x);
  }
  backend_.add_rms_norm(now.x, now.residual, final_norm_.tensor, eps, now.x);
  return now.x;
}

void Decoder::attend(const Layer& layer, const DeviceBatch& batch, const LayerCache& cache,
                     const Activations& now) const {
  layer.qkv.forward(now.x, now.qkv);
  backend_.rope_and_cache({.qkv = now.qkv,
                           .positions = batch.positions,
                           .cache_slot = batch.cache_slot,
                           .cos_sin = now.cos_sin,
                           .q_norm = layer.q_norm.tensor,
                           .k_norm = layer.k_norm.tensor,
                           .norm_eps = config_.norm_eps,
                           .k_cache = cache.k,
                           .v_cache = cache.v});
  const Tensor q = now.qkv.columns(0, part_.heads.count * config_.head_dim).split_columns(config_.head_dim);
  const AttentionParams params{.scale = 1.0F / std::sqrt(static_cast<float>(config_.head_dim)),
                               .sliding_window = layer.sliding_window};
  backend_.paged_attention(q, cache.k, cache.v, batch.attention, params, now.attention.split_columns(config_.head_dim));
  layer.output.forward(now.attention, now.x);
}

Tensor Decoder::logits(const Tensor& hidden, const Tensor& rows) {
  const std::int64_t n = rows.dim(0);
  const Tensor last = workspace_.last.rows(0, n), logits = workspace_.logits.rows(0, n);
  backend_.gather_rows(hidden, rows, last);
  head_.forward(last, workspace_.part.rows(0, n), logits);
  return logits;
}

Decoder::Activations Decoder::first_rows(std::int64_t num_tokens) const {
  Activations now = workspace_;
  for (Tensor* tensor : {&now.residual, &now.x, &now.qkv, &now.attention, &now.gate_up, &now.inner})
    *tensor = tensor->rows(0, num_tokens);
  return now;
}

Decoder::Activations Decoder::lay_out(const ModelConfig& config, const Partition& part, DType dtype,
                                      const StepLimits& limits, std::byte* memory, std::size_t& bytes) {
  constexpr std::size_t kAlignment = 256;  // of every tensor; what vector and matrix units like best
  bytes = 0;
  const auto place = [&](DType type, std::initializer_list<std::int64_t> shape) {
    const Tensor tensor(memory == nullptr ? nullptr : memory + bytes, type, shape);
    bytes += (tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    return tensor;
  };
  const std::int64_t tokens = limits.max_tokens, rows = limits.max_rows, hidden = config.hidden_size;
  const std::int64_t heads = part.heads.count, kv_heads = part.kv_heads.count, inner = part.intermediate.count;
  const std::int64_t padded_vocabulary = part.size * part.vocabulary.count;
  Activations all;
  all.residual = place(dtype, {tokens, hidden});
  all.x = place(dtype, {tokens, hidden});
  all.qkv = place(dtype, {tokens, (heads + 2 * kv_heads) * config.head_dim});
  all.attention = place(dtype, {tokens, heads * config.head_dim});
  all.gate_up = place(dtype, {tokens, 2 * inner});
  all.inner = place(dtype, {tokens, inner});
  all.last = place(dtype, {rows, hidden});
  all.logits = place(DType::kF32, {rows, padded_vocabulary});
  all.part = part.size == 1 ? all.logits : place(DType::kF32, {rows, part.vocabulary.count});
  all.cos_sin = place(DType::kF32, {limits.max_context, 2, config.head_dim / 2});
  return all;
}

KvShape kv_shape(const ModelConfig& config, const Partition& part, DType dtype) {
  return {.num_layers = config.num_layers,
          .num_kv_heads = part.kv_heads.count,
          .head_dim = config.head_dim,
          .dtype = dtype};
}

std::size_t Decoder::workspace_bytes(const ModelConfig& config, const Partition& part, DType dtype,
                                     const StepLimits& limits) {
  std::size_t bytes = 0;
  lay_out(config, part, dtype, limits, nullptr, bytes);
  return bytes;
}

void Decoder::widen(StepSizes& sizes, const ModelConfig& config, const Partition& part, DType dtype) {
  const std::int64_t heads = part.heads.count, kv_heads = part.kv_heads.count, inner = part.intermediate.count;
  const std::int64_t in = std::max({config.hidden_size, heads * config.head_dim, inner});
  const std::int64_t out = std::max({config.hidden_size, (heads + 2 * kv_heads) * config.head_dim, 2 * inner});
  const auto bytes = [](std::int64_t columns, DType type) {
    return static_cast<std::size_t>(columns) * dtype_bytes(type);
  };
  sizes.row_in_bytes = std::max(sizes.row_in_bytes, bytes(in, dtype));
  sizes.row_out_bytes = std::max({sizes.row_out_bytes, bytes(out, dtype), bytes(part.vocabulary.count, DType::kF32)});
}

std::int64_t Decoder::most_ops(const ModelConfig& config, const Partition& part) {
  // Of a layer: 2 norms, 4 products, rotation, attention in 3 launches, activation, 2 sums. Once: the embedding and
  // its sum, the last norm, rows, the head's product, and its parts gathered and set side by side.
  return 13 * config.num_layers + 6 + part.size;
}

Decoder::Decoder(const ModelConfig& config, const Partition& part, const DecoderParameters& parameters,
                 WeightLoader& loader, Communicator& group)
    : config_(config),
      part_(part),
      backend_(loader.backend()),
      embedding_(loader, group, parameters.embedding),
      final_norm_(loader.vector(parameters.final_norm)),
      head_(loader, group, parameters.head) {
  for (std::size_t i = 0; i < parameters.layers.size(); ++i) {
    const LayerParameters& layer = parameters.layers[i];
    layers_.push_back({.input_norm = loader.vector(layer.input_norm),
                       .q_norm = loader.vector(layer.q_norm),
                       .k_norm = loader.vector(layer.k_norm),
                       .post_norm = loader.vector(layer.post_norm),
                       .qkv = ColumnParallelLinear(loader, layer.qkv, layer.qkv_bias),
                       .output = RowParallelLinear(loader, group, layer.output, layer.output_bias),
                       .gate_up = ColumnParallelLinear(loader, layer.gate_up, layer.gate_up_bias),
                       .down = RowParallelLinear(loader, group, layer.down, layer.down_bias),
                       .sliding_window = config.sliding_window[i]});
  }
}

Result<std::unique_ptr<Decoder>> Decoder::create(const ModelConfig& config, const Partition& part, WeightLoader& loader,
                                                 Communicator& group, const StepLimits& limits) {
  std::unique_ptr<Decoder> decoder(new Decoder(config, part, decoder_parameters(config, part), loader, group));
  if (loader.error()) return *loader.error();
  Result<Buffer> memory = loader.backend().allocate(workspace_bytes(config, part, loader.dtype(), limits));
  if (!memory) return memory.error();
  decoder->memory_ = std::move(memory).value();
  std::size_t bytes = 0;
  decoder->workspace_ =
      lay_out(config, part, loader.dtype(), limits, static_cast<std::byte*>(decoder->memory_.data()), bytes);
  const std::vector<float> cos_sin = rope_table(config, limits.max_context);
  loader.backend().copy_to_device(cos_sin.data(), decoder->workspace_.cos_sin);
  decoder->choose_products();
  loader.backend().synchronize();
  return decoder;
}

// All layers have the same shapes: the first speaks for them.
void Decoder::choose_products() const {
  const Layer& layer = layers_.front();
  layer.qkv.choose(workspace_.x, workspace_.qkv);
  layer.output.choose(workspace_.attention, workspace_.x);
  layer.gate_up.choose(workspace_.x, workspace_.gate_up);
  layer.down.choose(workspace_.inner, workspace_.x);
  head_.choose(workspace_.last, workspace_.part);
}

}  // namespace caudal
