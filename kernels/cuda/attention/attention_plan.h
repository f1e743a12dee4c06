// Cuts a batch into work for the attention kernels: once per step, on the host, integers only, so that equal
// batches give equal plans. Knows nothing of CUDA.
//
// Rows of work are (token, query head of the KV head's group) pairs of one sequence, heads innermost:
//
//   pair            0    1    2    3    4    5  ...      group = 4 query heads per KV head
//   token, head     0,0  0,1  0,2  0,3  1,0  1,1
//
// Sequences with few pairs (decode, verification of drafts, short chunks) go to the decode kernel. All their
// KV pages form one line, which is cut into equal parts, one per worker: a worker ends where the next begins,
// whatever the mix of lengths. Others are cut into tiles of rows for the prefill kernel, longest first; a
// tile that is long compared with the batch is split along its context. What is cut gives partial results,
// which a merge folds in order. A plan holds for all KV heads: the kernels' grids have them as a dimension.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/block_size.h"
#include "kernels/tensor.h"

namespace caudal::cuda {

inline constexpr int kPage = kBlockSize;  // keys
// Most keys that a kernel reads at once. It masks those outside of the window, but their pages must be there.
inline constexpr int kMaxKeyTile = 128;

struct AttentionShape {
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;  // 64, 80, 96, 128 or 256
  DType dtype = DType::kBF16;
};

// From cudaDeviceProp: multiProcessorCount, 10 * major + minor, sharedMemPerMultiprocessor.
struct AttentionDevice {
  int num_sms = 0;
  int compute_capability = 0;
  int shared_bytes_per_sm = 0;
};

// What model and device say about the plan; constant while a backend lives.
struct AttentionGeometry {
  AttentionShape shape;
  bool hopper = false;       // the TMA + wgmma prefill kernel runs
  int decode_max_pairs = 0;  // sequences with at most so many go to the decode kernel
  int decode_workers = 0;    // blocks per KV head
  int prefill_rows = 0;      // pairs per tile
  int prefill_workers = 0;   // blocks
  int max_partial_rows = 0;  // per KV head, room in the workspace
  bool whole_rows = false;   // one kernel takes all keys of a row, in one order whatever else is in the batch

  int group() const { return shape.num_heads / shape.num_kv_heads; }
  // Whether a recorded launch can be large enough for any batch of at most `tokens` new ones per sequence.
  bool recordable(int tokens) const { return whole_rows || tokens * group() <= decode_max_pairs; }
};

// whole_rows: everything goes to the mma.sync prefill kernel and nothing is split.
AttentionGeometry attention_geometry(const AttentionShape& shape, const AttentionDevice& device,
                                     bool whole_rows = false);
std::size_t attention_workspace_bytes(const AttentionGeometry& geometry);

// Keys [kv_begin, kv_end) for pairs [first_pair, first_pair + num_pairs) of a sequence. Read by the kernels
// as two 16-byte words.
struct alignas(16) AttentionPiece {
  std::int32_t sequence = 0;        // row of the block table
  std::int32_t first_token = 0;     // row of q and out that holds pair 0
  std::int32_t first_position = 0;  // of pair 0
  std::int32_t first_pair = 0;
  std::int32_t num_pairs = 0;
  std::int32_t kv_begin = 0;  // multiple of kPage
  std::int32_t kv_end = 0;
  std::int32_t partial = -1;  // first row of the partial result, or -1: complete, goes to out
  bool operator==(const AttentionPiece&) const = default;
};

// Partial results of num_pairs rows each, one behind the other from row `partial`.
struct alignas(16) AttentionMerge {
  std::int32_t first_token = 0;
  std::int32_t first_pair = 0;
  std::int32_t num_pairs = 0;
  std::int32_t partial = 0;
  std::int32_t num_partials = 0;
  std::int32_t unused[3] = {};
};

// The first words of a plan; then i32 worker_start[decode_workers + 1] (padded), then pieces and merges.
struct alignas(16) AttentionPlanHeader {
  std::int32_t prefill_offset = 0;  // in units of 8 words from the start
  std::int32_t num_prefill = 0;
  std::int32_t merge_offset = 0;
  std::int32_t num_merges = 0;
};
constexpr std::int32_t kPlanUnit = 8;  // words
constexpr std::int32_t decode_piece_offset(std::int32_t decode_workers) {
  return (4 + decode_workers + 1 + kPlanUnit - 1) / kPlanUnit;
}

// Sizes of the launches. Zero means that the kernel is not launched.
struct AttentionGrid {
  int decode_row_tiles = 0;  // of 16 pairs: 1 or 2
  int prefill_workers = 0;
  int merges = 0;
  int merge_slices = 0;  // of 16 pairs

  // For a graph of decode steps of at most `max_tokens` new tokens per sequence.
  static AttentionGrid capture(const AttentionGeometry& geometry, int max_tokens);
  bool covers(const AttentionGrid& other) const;
};

struct AttentionPlan {
  std::vector<std::int32_t> words;
  AttentionGrid grid;
};

// query_start [num_sequences + 1], context_length [num_sequences]: as in AttentionBatch.
// sliding_window 0 = none. Sequences without queries are allowed.
AttentionPlan plan_attention(const AttentionGeometry& geometry, std::span<const std::int32_t> query_start,
                             std::span<const std::int32_t> context_length, std::int32_t sliding_window);

// The most words that plans of `max_sequences` sequences and `max_tokens` query tokens have; for the upload
// buffer.
std::size_t max_plan_words(const AttentionGeometry& geometry, std::int64_t max_sequences, std::int64_t max_tokens);

}  // namespace caudal::cuda
