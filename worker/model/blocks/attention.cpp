#include "worker/model/blocks/attention.h"

#include <cmath>

#include "worker/model/rope.h"

namespace caudal {
namespace {

// q, k and v are one matrix [(heads + 2 kv_heads) * head_dim, hidden].
ColumnParallelLinear make_qkv(ModelBuilder& builder, const std::string& prefix, std::size_t layer) {
  const ModelConfig& config = builder.config();
  const auto& [num_heads, num_kv_heads, head_dim, window] = config.layers[layer];
  const LayerPart& part = builder.part().layers[layer];
  const std::int64_t q_rows = num_heads * head_dim, kv_rows = num_kv_heads * head_dim;
  const Range heads = scaled(part.heads, head_dim), kv_heads = scaled(part.kv_heads, head_dim);
  Parameter weight, bias;
  weight.parts = {cut_rows(prefix + "q_proj.weight", q_rows, config.hidden_size, heads),
                  cut_rows(prefix + "k_proj.weight", kv_rows, config.hidden_size, kv_heads),
                  cut_rows(prefix + "v_proj.weight", kv_rows, config.hidden_size, kv_heads)};
  if (config.qkv_bias) {
    bias.parts = {cut_vector(prefix + "q_proj.bias", q_rows, heads),
                  cut_vector(prefix + "k_proj.bias", kv_rows, kv_heads),
                  cut_vector(prefix + "v_proj.bias", kv_rows, kv_heads)};
  }
  return {builder, weight, bias};
}

RowParallelLinear make_output(ModelBuilder& builder, const std::string& prefix, std::size_t layer) {
  const ModelConfig& config = builder.config();
  const Partition& part = builder.part();
  const std::int64_t head_dim = config.layers[layer].head_dim, columns = config.layers[layer].num_heads * head_dim;
  Parameter weight, bias;
  weight.parts = {
      cut_columns(prefix + "o_proj.weight", config.hidden_size, columns, scaled(part.layers[layer].heads, head_dim))};
  if (config.output_bias) bias.parts = {first_rank_vector(prefix + "o_proj.bias", config.hidden_size, part.rank)};
  return {builder, weight, bias};
}

Weight make_head_norm(ModelBuilder& builder, const std::string& name, std::int64_t head_dim) {
  Parameter weight;
  if (builder.config().qk_norm) weight.parts = {whole_vector(name, head_dim)};
  return builder.loader().vector(weight);
}

}  // namespace

Weight make_rope_table(ModelBuilder& builder, std::int64_t head_dim) {
  const std::int64_t context = builder.limits().max_context;
  return builder.loader().table({context, 2, head_dim / 2},
                                [&] { return rope_table(builder.config().rope, head_dim, context); });
}

Attention::Attention(ModelBuilder& builder, const std::string& prefix, std::size_t layer)
    : backend_(&builder.backend()),
      workspace_(&builder.workspace()),
      dtype_(builder.dtype()),
      num_heads_(builder.part().layers[layer].heads.count),
      num_kv_heads_(builder.part().layers[layer].kv_heads.count),
      head_dim_(builder.config().layers[layer].head_dim),
      sliding_window_(builder.config().layers[layer].sliding_window),
      norm_eps_(builder.config().norm_eps),
      qkv_(make_qkv(builder, prefix, layer)),
      q_norm_(make_head_norm(builder, prefix + "q_norm.weight", head_dim_)),
      k_norm_(make_head_norm(builder, prefix + "k_norm.weight", head_dim_)),
      output_(make_output(builder, prefix, layer)) {}

void Attention::forward(const Tensor& x, const DeviceBatch& batch, const LayerCache& cache, const Tensor& cos_sin,
                        const Tensor& out) const {
  const Workspace::Scope scope(*workspace_);
  const DeviceKvBatch& kv = batch.kv[cache.group];
  const std::int64_t num_tokens = x.dim(0);
  const Tensor qkv = workspace_->take(dtype_, {num_tokens, (num_heads_ + 2 * num_kv_heads_) * head_dim_});
  const Tensor attended = workspace_->take(dtype_, {num_tokens, num_heads_ * head_dim_});
  qkv_.forward(x, qkv);
  backend_->rope_and_cache({.qkv = qkv,
                            .positions = batch.positions,
                            .cache_slot = kv.cache_slot,
                            .cos_sin = cos_sin,
                            .q_norm = q_norm_.tensor,
                            .k_norm = k_norm_.tensor,
                            .norm_eps = norm_eps_,
                            .k_cache = cache.k,
                            .v_cache = cache.v});
  const Tensor q = qkv.columns(0, num_heads_ * head_dim_).split_columns(head_dim_);
  const AttentionParams params{.scale = 1.0F / std::sqrt(static_cast<float>(head_dim_)),
                               .sliding_window = sliding_window_};
  backend_->paged_attention(q, cache.k, cache.v, kv.attention, params, attended.split_columns(head_dim_));
  output_.forward(attended, out);
}

}  // namespace caudal
