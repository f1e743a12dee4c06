// Backend: one device. Memory, copies and the ops a decoder needs; kernels/cpu and kernels/cuda
// implement it, kernels/factory/make_backend.cpp makes one. Owned by one step thread; calls are ordered on the
// backend's stream and complete at synchronize(). Inputs first, output last. Shapes are checked by
// every op against named dimensions (kernels/expect.h); a mismatch is a CHECK, not an error.
//
// Numerics: activations, weights and KV have one dtype (bf16, f32, or f16 where computes_in() says so); sums,
// norms, softmax and logits are f32. On the CPU, a row of a result depends on that row's inputs only, never on what
// else is in the batch, how a prompt was chunked or how many threads run. A GPU promises that with
// BackendOptions::deterministic only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/types.h"
#include "kernels/buffer.h"
#include "kernels/op_args.h"
#include "kernels/tensor.h"

namespace caudal {

// A matrix packed once at load for this device: y = x W^T + b. Made by Backend::pack_linear.
class Linear {
 public:
  virtual ~Linear() = default;
  virtual std::int64_t in_features() const = 0;
  virtual std::int64_t out_features() const = 0;
  virtual std::size_t bytes() const = 0;  // device memory held
};

// One row of logits to sample from. Pointers and spans are of host memory that lives through the call.
struct TokenCount {
  TokenId token = 0;
  std::int32_t output_count = 0;  // times in the output; 0 = only in the prompt
};
struct SamplingRow {
  const SamplingParams* params = nullptr;
  std::int64_t position = 0;           // of the token to be drawn; the counter of the generator
  std::span<const TokenCount> counts;  // each distinct token so far; read only with penalties
  std::span<const TokenId> banned;     // masked to -inf: stop tokens before min_tokens, ends of bad words
};
struct SamplingOutput {
  TokenId token = 0;
  bool valid = true;                   // false: the row held NaN or nothing could be drawn
  std::vector<TokenLogprob> logprobs;  // of the unmodified distribution; sampled one first
};

// Draws that the device may still be at.
class PendingDraws {
 public:
  virtual ~PendingDraws() = default;
  // Whether wait() would not wait.
  virtual bool ready() = 0;
  // Waits until they are there, one per row. Once.
  virtual void wait(std::span<SamplingOutput> out) = 0;
};

struct DeviceInfo {
  std::string name;  // "cpu: Intel Xeon, 2 threads, amx bf16"
  std::size_t total_memory_bytes = 0;
  std::size_t free_memory_bytes = 0;
  bool is_host = false;  // its memory is the host's
};

// Ops that were recorded, to be queued again with one call.
class Recording {
 public:
  virtual ~Recording() = default;
  // On what the recorded tensors hold now. `batch` has as many rows and sequences as the recorded one, in the same
  // places.
  virtual void run(const AttentionBatch& batch) = 0;
  virtual std::size_t bytes() const = 0;  // device memory held
};

// One model's attention on this rank.
struct HeadSizes {
  DType dtype = DType::kF32;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
};

// The largest step that a backend is to run, and the models' sizes on this rank.
struct StepSizes {
  std::int64_t max_tokens = 0;
  std::int64_t max_sequences = 0;
  std::int64_t vocab_size = 0;
  std::int64_t recorded_ops = 0;  // of all recordings together
  std::size_t row_in_bytes = 0;   // of the widest row that a matrix product reads
  std::size_t row_out_bytes = 0;  // and of the widest that one writes
  std::vector<HeadSizes> heads;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual DeviceInfo info() const = 0;
  virtual bool computes_in(DType dtype) const = 0;

  // What the backend takes on the device for itself to run such steps, beside what allocate() is asked for.
  virtual std::size_t workspace_bytes(const StepSizes&) const { return 0; }

  // Called once before anything of a model is allocated. From then on allocate() hands out pieces of plan_bytes,
  // of which workspace_bytes(sizes) are the backend's, and never more. An Error when the device has not so much.
  virtual Result<void> prepare(const StepSizes& sizes, std::size_t plan_bytes) = 0;

  // The first thing that went wrong on the device. It does not recover: what ran since is void.
  virtual Result<void> health() const { return {}; }

  // Memory. allocate() ends in an Error, never in an exception, when the device has not enough.
  virtual Result<Buffer> allocate(std::size_t bytes) = 0;
  // Host memory that the device copies from and to by itself (pinned, where that means something). Not of the plan.
  virtual Result<Buffer> allocate_host(std::size_t bytes) = 0;
  // Rows of `destination` may be strided, those of the source follow one another. The source may be changed at once.
  virtual void copy_to_device(const void* source, const Tensor& destination) = 0;
  virtual void copy_to_host(const Tensor& source, void* destination) = 0;  // contiguous source
  virtual void zero(const Tensor& destination) = 0;
  virtual void synchronize() = 0;

  // Whether ops are queued, so that the host can prepare what comes next while the device works.
  virtual bool queues() const { return false; }

  // Runs `ops` and records them: a step of at most `tokens` new tokens per sequence. An Error when that cannot be; the
  // ops then run one by one as before. Padding is recorded with: rows past query_start.back() belong to no sequence,
  // and their cache_slot is below zero. Rotation, cache and attention pass them over.
  virtual Result<std::unique_ptr<Recording>> record(std::int64_t, const std::function<void()>&) {
    return Error{"this device records nothing", "device"};
  }

  // The most tokens per sequence that record() takes with such heads.
  virtual std::int64_t most_recorded_tokens(const HeadSizes&) const { return 0; }

  // weight [out_features, in_features], bias [out_features] or empty. What is owned is kept or freed as the device
  // likes; views may be freed after synchronize().
  virtual Result<std::unique_ptr<Linear>> pack_linear(OwnedTensor weight, OwnedTensor bias) = 0;

  // out[t] = table[token_ids[t] - first_token], or zeros when that row is not in this rank's part.
  // token_ids i32 [num_tokens], table [rows, hidden], out [num_tokens, hidden]
  virtual void embedding(const Tensor& token_ids, const Tensor& table, std::int64_t first_token, const Tensor& out) = 0;

  // x [num_tokens, hidden], weight [hidden], out [num_tokens, hidden] (Zhang & Sennrich, arXiv 1910.07467)
  virtual void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) = 0;

  // residual += x; out = rms_norm(residual). All [num_tokens, hidden]; out may be x.
  virtual void add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps,
                            const Tensor& out) = 0;

  // x [num_tokens, in_features], out [num_tokens, out_features]; out has x's dtype or f32.
  virtual void linear(const Tensor& x, const Linear& weight, const Tensor& out) = 0;

  // At start: decides how linear() computes such products with 1 to x.dim(0) rows. What `out` holds is lost.
  virtual void choose_linear(const Tensor&, const Linear&, const Tensor&) {}

  // gate_up [num_tokens, 2 * intermediate], gate first; out [num_tokens, intermediate] = silu(gate) * up
  virtual void silu_and_mul(const Tensor& gate_up, const Tensor& out) = 0;

  virtual void rope_and_cache(const RopeCacheArgs& args) = 0;

  // q [num_tokens, num_heads, head_dim] (rows may be strided), k_cache and v_cache
  // [num_blocks, 16, num_kv_heads, head_dim], out [num_tokens, num_heads, head_dim]. Query head h reads KV head
  // h / (num_heads / num_kv_heads). Causal. Online softmax over blocks (FlashAttention, arXiv 2205.14135;
  // PagedAttention, arXiv 2309.06180).
  virtual void paged_attention(const Tensor& q, const Tensor& k_cache, const Tensor& v_cache,
                               const AttentionBatch& batch, const AttentionParams& params, const Tensor& out) = 0;

  // out[i] = x[rows[i]]. x [num_tokens, hidden], rows i32 [n], out [n, hidden]
  virtual void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& out) = 0;

  // Copies whole blocks from one cache tensor [num_blocks, 16, num_kv_heads, head_dim] to another, which differs in the
  // number of blocks at most; or inside one. In order. Each may lie in memory of allocate_host().
  virtual void copy_blocks(std::span<const BlockCopy> copies, const Tensor& from, const Tensor& to) = 0;

  // Draws one token per row of logits f32 [num_rows, >= vocab_size] (columns past vocab_size are padding).
  // Order: bias and bans, penalties, temperature, top-k, top-p, min-p; then one uniform number from
  // Philox4x32-10 (Salmon et al., SC'11) keyed by (seed, position). `tokens` i32 [num_rows], or empty when nobody on
  // the device wants them, gets the tokens: -1 where nothing could be drawn.
  virtual std::unique_ptr<PendingDraws> draw(const Tensor& logits, std::int64_t vocab_size,
                                             std::span<const SamplingRow> rows, const Tensor& tokens) = 0;

  // The tokens i32 [num_rows] that another rank drew, on their way to the host. Without rows: until the device is done.
  virtual std::unique_ptr<PendingDraws> fetch_draws(const Tensor& tokens) = 0;

  // Ids below zero become tokens that were drawn: token_ids[i] = drawn[-1 - token_ids[i]]. Both i32.
  virtual void take_drawn(const Tensor& drawn, const Tensor& token_ids) = 0;

  // draw(), and the wait for it.
  void sample(const Tensor& logits, std::int64_t vocab_size, std::span<const SamplingRow> rows,
              std::span<SamplingOutput> out) {
    CHECK(rows.size() == out.size());
    draw(logits, vocab_size, rows, Tensor())->wait(out);
  }
};

struct BackendOptions {
  std::string device = "cpu";
  int num_threads = 0;         // cpu: 0 = all cores this process may use
  int first_core = -1;         // cpu: pin threads to cores first_core, first_core + 1, ...; -1 = do not pin
  std::string max_isa;         // cpu: "" = best; "amx", "avx512", "avx2" cap it (tests, and machines that differ)
  int gpu = 0;                 // cuda: which of the host's GPUs
  bool tf32 = false;           // cuda: f32 products may round their inputs to 19 bits (tensor cores)
  bool deterministic = false;  // cuda: rows depend on their own inputs only, as they always do on the CPU; slower
};

// Host memory that this process may still take.
std::size_t free_host_bytes();

// An Error when the device is unknown or not usable on this machine.
Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options);

}  // namespace caudal
