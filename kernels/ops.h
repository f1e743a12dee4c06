// The ops of a decoder: one struct each. It says what the op reads and writes, in which shapes, and checks them. A
// backend computes a checked op (Ops::compute); callers use the methods of Ops. To add an op: its struct, its place in
// `Op` and its method here; then kernels/cpu/cpu_ops.h and kernels/cuda/ops/ops.h say where each backend has it.
//
// Unless a comment says otherwise, floats of an op have one dtype, rows may be strided, and an output is no input.
#pragma once

#include <variant>

#include "kernels/attention_batch.h"
#include "kernels/expect.h"
#include "kernels/linear.h"

namespace caudal {
namespace op {

// out[t] = row token_ids[t] - first_token of the weight, or zeros when that row is not in this rank's part.
struct Embedding {
  static constexpr const char* kName = "embedding";
  Tensor token_ids;               // i32 [num_tokens]
  const Linear* table = nullptr;  // [rows, hidden]; a model with tied embeddings multiplies with the same one
  std::int64_t first_token = 0;
  Tensor out;  // [num_tokens, hidden], of the dtype that the table computes in

  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), hidden("hidden", table->in_features());
    expect.shape("token_ids", token_ids, {num_tokens}).dtype("token_ids", token_ids, DType::kI32);
    expect.shape("out", out, {num_tokens, hidden}).dtype("out", out, table->compute_dtype());
  }
};

// out = weight * x / rms(x) (Zhang & Sennrich, arXiv 1910.07467)
struct RmsNorm {
  static constexpr const char* kName = "rms_norm";
  Tensor x;       // [num_tokens, hidden]
  Tensor weight;  // [hidden]
  float eps = 0.0F;
  Tensor out;  // [num_tokens, hidden]

  DType compute_dtype() const { return x.dtype(); }
  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), hidden("hidden");
    expect.shape("x", x, {num_tokens, hidden}).shape("weight", weight, {hidden});
    expect.shape("out", out, {num_tokens, hidden});
    expect.dtype("weight", weight, x.dtype()).dtype("out", out, x.dtype());
  }
};

// residual += x; out = rms_norm(residual). out may be x.
struct AddRmsNorm {
  static constexpr const char* kName = "add_rms_norm";
  Tensor x;         // [num_tokens, hidden]
  Tensor residual;  // [num_tokens, hidden]
  Tensor weight;    // [hidden]
  float eps = 0.0F;
  Tensor out;  // [num_tokens, hidden]

  DType compute_dtype() const { return x.dtype(); }
  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), hidden("hidden");
    expect.shape("x", x, {num_tokens, hidden}).shape("residual", residual, {num_tokens, hidden});
    expect.shape("weight", weight, {hidden}).shape("out", out, {num_tokens, hidden});
    expect.dtype("residual", residual, x.dtype()).dtype("weight", weight, x.dtype()).dtype("out", out, x.dtype());
  }
};

// out = x W^T + b
struct Matmul {
  static constexpr const char* kName = "linear";
  Tensor x;  // [num_tokens, in_features]
  const Linear* weight = nullptr;
  Tensor out;  // [num_tokens, out_features], of x's dtype or f32

  DType compute_dtype() const { return x.dtype(); }
  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), in_features("in_features", weight->in_features());
    Dim out_features("out_features", weight->out_features());
    expect.shape("x", x, {num_tokens, in_features}).dtype("x", x, weight->compute_dtype());
    expect.shape("out", out, {num_tokens, out_features});
    if (out.dtype() != DType::kF32) expect.dtype("out", out, x.dtype());
  }
};

// out = silu(gate) * up
struct SiluAndMul {
  static constexpr const char* kName = "silu_and_mul";
  Tensor gate_up;  // [num_tokens, 2 * intermediate], gate first
  Tensor out;      // [num_tokens, intermediate]

  DType compute_dtype() const { return out.dtype(); }
  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), intermediate("intermediate");
    expect.shape("out", out, {num_tokens, intermediate});
    Dim both("2 * intermediate", 2 * *intermediate);
    expect.shape("gate_up", gate_up, {num_tokens, both}).dtype("gate_up", gate_up, out.dtype());
  }
};

// Rotates q and k in place inside qkv and stores k and v in the paged cache, in one pass over memory.
struct RopeAndCache {
  static constexpr const char* kName = "rope_and_cache";
  Tensor qkv;         // [num_tokens, (num_heads + 2 num_kv_heads) * head_dim], q then k then v
  Tensor positions;   // i32 [num_tokens]
  Tensor cache_slot;  // i32 [num_tokens], block * kBlockSize + offset in the block
  Tensor cos_sin;     // f32 [max_position, 2, head_dim / 2]: cos then sin, "rotate half" pairs (i, i + head_dim / 2)
  Tensor q_norm;      // [head_dim] or empty: rms norm of each head before the rotation (Qwen3)
  Tensor k_norm;      // [head_dim] or empty
  float norm_eps = 0.0F;
  Tensor k_cache;  // [num_blocks, kBlockSize, num_kv_heads, head_dim], of the KV dtype
  Tensor v_cache;  // [num_blocks, kBlockSize, num_kv_heads, head_dim]

  DType compute_dtype() const { return qkv.dtype(); }
  DType kv_dtype() const { return k_cache.dtype(); }
  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), columns("columns"), num_blocks("num_blocks"), block_size("block_size", kBlockSize);
    Dim num_kv_heads("num_kv_heads"), head_dim("head_dim"), max_position("max_position"), two("cos and sin", 2);
    expect.shape("qkv", qkv, {num_tokens, columns});
    expect.shape("positions", positions, {num_tokens}).dtype("positions", positions, DType::kI32);
    expect.shape("cache_slot", cache_slot, {num_tokens}).dtype("cache_slot", cache_slot, DType::kI32);
    for (const Tensor* cache : {&k_cache, &v_cache}) {
      expect.shape("cache", *cache, {num_blocks, block_size, num_kv_heads, head_dim});
      expect.dtype("cache", *cache, kv_dtype()).contiguous("cache", *cache);
    }
    for (const Tensor* norm : {&q_norm, &k_norm})
      if (!norm->empty()) expect.shape("norm", *norm, {head_dim}).dtype("norm", *norm, qkv.dtype());
    Dim half("head_dim / 2", *head_dim / 2);
    expect.shape("cos_sin", cos_sin, {max_position, two, half}).dtype("cos_sin", cos_sin, DType::kF32);
    expect.that(*head_dim % 2 == 0, "head_dim must be even");
    expect.that(*columns % *head_dim == 0 && *columns / *head_dim > 2 * *num_kv_heads,
                "qkv must hold q, k and v heads of head_dim");
  }
};

// Causal attention. Query head h reads KV head h / (num_heads / num_kv_heads). Online softmax over blocks
// (FlashAttention, arXiv 2205.14135; PagedAttention, arXiv 2309.06180).
struct PagedAttention {
  static constexpr const char* kName = "paged_attention";
  Tensor q;        // [num_tokens, num_heads, head_dim]
  Tensor k_cache;  // [num_blocks, kBlockSize, num_kv_heads, head_dim], of the KV dtype
  Tensor v_cache;  // [num_blocks, kBlockSize, num_kv_heads, head_dim]
  AttentionBatch batch;
  AttentionParams params;
  Tensor out;  // [num_tokens, num_heads, head_dim]

  DType compute_dtype() const { return q.dtype(); }
  DType kv_dtype() const { return k_cache.dtype(); }
  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), num_heads("num_heads"), head_dim("head_dim"), num_kv_heads("num_kv_heads");
    Dim num_blocks("num_blocks"), block_size("block_size", kBlockSize), num_sequences("num_sequences");
    Dim max_blocks("max_blocks");
    expect.shape("q", q, {num_tokens, num_heads, head_dim}).shape("out", out, {num_tokens, num_heads, head_dim});
    expect.shape("k_cache", k_cache, {num_blocks, block_size, num_kv_heads, head_dim});
    expect.shape("v_cache", v_cache, {num_blocks, block_size, num_kv_heads, head_dim});
    expect.dtype("v_cache", v_cache, kv_dtype()).dtype("out", out, q.dtype());
    expect.shape("block_table", batch.block_table, {num_sequences, max_blocks});
    expect.dtype("block_table", batch.block_table, DType::kI32);
    expect.that(*num_heads % *num_kv_heads == 0, "num_heads must be a multiple of num_kv_heads");
    expect.that(params.scale > 0.0F, "scale must be positive");
  }
};

// out[i] = x[rows[i]]
struct GatherRows {
  static constexpr const char* kName = "gather_rows";
  Tensor x;     // [num_tokens, hidden]
  Tensor rows;  // i32 [n]
  Tensor out;   // [n, hidden]

  void check(Expect& expect) const {
    Dim num_tokens("num_tokens"), hidden("hidden"), n("n");
    expect.shape("x", x, {num_tokens, hidden}).shape("rows", rows, {n}).shape("out", out, {n, hidden});
    expect.dtype("rows", rows, DType::kI32).dtype("out", out, x.dtype());
  }
};

// An id below zero becomes a token that was sampled: token_ids[i] = sampled[-1 - token_ids[i]].
struct InsertSampled {
  static constexpr const char* kName = "insert_sampled";
  Tensor sampled;    // i32 [num_rows]
  Tensor token_ids;  // i32 [num_tokens]

  void check(Expect& expect) const {
    Dim num_rows("num_rows"), num_tokens("num_tokens");
    expect.shape("sampled", sampled, {num_rows}).dtype("sampled", sampled, DType::kI32);
    expect.shape("token_ids", token_ids, {num_tokens}).dtype("token_ids", token_ids, DType::kI32);
  }
};

}  // namespace op

using Op = std::variant<op::Embedding, op::RmsNorm, op::AddRmsNorm, op::Matmul, op::SiluAndMul, op::RopeAndCache,
                        op::PagedAttention, op::GatherRows, op::InsertSampled>;

class Ops {
 public:
  virtual ~Ops() = default;

  // Which dtypes of activations ops take, and which KV dtypes beside them.
  virtual bool computes_in(DType dtype) const = 0;
  virtual bool takes_kv(DType kv_dtype, DType dtype) const = 0;

  // Checks the op, then computes or queues it.
  void run(const Op& op);

  void embedding(const Tensor& token_ids, const Linear& table, std::int64_t first_token, const Tensor& out) {
    run(op::Embedding{token_ids, &table, first_token, out});
  }
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) {
    run(op::RmsNorm{x, weight, eps, out});
  }
  void add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, const Tensor& out) {
    run(op::AddRmsNorm{x, residual, weight, eps, out});
  }
  void linear(const Tensor& x, const Linear& weight, const Tensor& out) { run(op::Matmul{x, &weight, out}); }
  void silu_and_mul(const Tensor& gate_up, const Tensor& out) { run(op::SiluAndMul{gate_up, out}); }
  void rope_and_cache(const op::RopeAndCache& args) { run(args); }
  void paged_attention(const Tensor& q, const Tensor& k_cache, const Tensor& v_cache, const AttentionBatch& batch,
                       const AttentionParams& params, const Tensor& out) {
    run(op::PagedAttention{q, k_cache, v_cache, batch, params, out});
  }
  void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& out) { run(op::GatherRows{x, rows, out}); }
  void insert_sampled(const Tensor& sampled, const Tensor& token_ids) { run(op::InsertSampled{sampled, token_ids}); }

 protected:
  // Of an op that passed its check.
  virtual void compute(const Op& op) = 0;
};

}  // namespace caudal
