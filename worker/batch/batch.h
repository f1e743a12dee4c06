// Batch: what one step computes, as flat arrays on the host, built from the sequence table without changing
// it; and DeviceBatch, the same on the device. No other context reaches the model.
//
//   sequence           A (prefill, 5 of 9)     B (decode)   C (decode)
//   computed before    0                       17           32
//   token_ids          a0 a1 a2 a3 a4          b17          c32
//   positions           0  1  2  3  4           17           32
//   blocks             [7]                     [3 9]        [4 6 1]
//   cache_slot         112 113 114 115 116     145          16         block * 16 + position % 16
//   query_start        0                       5            6       7
//   context_length     5                       18           33
//   block_table        7 0 0                   3 9 0        4 6 1      padded to the widest
//   logit_rows                                 5            6          A is not done with its prompt
//
// Here the model has one KV group. With more, each has a cache_slot and a block_table of its own, in Batch::kv. Where
// two layers of a group share an array (worker/cache/kv_layout.h), a block counts for two rows: block 7 is 14 there.
// A token in flight is in a row of what the step before samples: the device has it, the host not yet. Its id here is
// -1 - row, and the device replaces it.
//
// Were A's prompt to be told with its log-probabilities, scored_rows would be 0 1 2 3 4: what follows a0 to a4 is
// known.
//
// Were x and y draft tokens behind b17, B would compute b17 x y at 17 18 19 and have a row of logits for each.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace caudal {

struct SequenceRow;

// One sequence's share of a batch: tokens [begin, begin + num_tokens) of its own followed by its drafts.
struct BatchItem {
  const SequenceRow* sequence = nullptr;
  std::int32_t begin = 0;
  std::int32_t num_tokens = 0;
  std::int32_t num_logit_rows = 1;       // of the last so many of them
  std::span<const TokenId> drafts = {};  // draft tokens, which follow the sequence's tokens
  std::int32_t num_scored = 0;           // of the first so many there are rows of logits, too: see scored_rows
};

// Where the K and V of a batch lie in the layers of one KV group.
struct KvBatch {
  std::vector<std::int32_t> cache_slot;   // [num_tokens]
  std::vector<std::int32_t> block_table;  // [num_sequences, max_blocks]
};

struct Batch {
  std::vector<std::int32_t> token_ids;       // [num_tokens]
  std::vector<std::int32_t> positions;       // [num_tokens]
  std::vector<std::int32_t> query_start;     // [num_sequences + 1]
  std::vector<std::int32_t> context_length;  // [num_sequences]
  std::vector<std::int32_t> logit_rows;      // [num_rows], rows of token_ids
  std::vector<std::int32_t> scored_rows;     // [num_scored], other ones, whose logits are taken in pieces
  std::vector<KvBatch> kv;                   // by KV group
  std::int64_t max_blocks = 0;
  std::optional<StepId> samples_of;  // the step in flight whose samples are among the tokens

  std::int64_t num_tokens() const { return static_cast<std::int64_t>(token_ids.size()); }
  std::int64_t num_sequences() const { return static_cast<std::int64_t>(context_length.size()); }
};

inline constexpr std::array<std::int32_t, 1> kOneKvGroup = {1};

// `rows_per_block`: by KV group, as the cache has it.
Batch make_batch(const std::vector<BatchItem>& items, std::span<const std::int32_t> rows_per_block = kOneKvGroup);

// Views of the uploader's memory, and of the Batch for what is planned on the host: both must live through
// the step.
struct DeviceKvBatch {
  Tensor cache_slot;  // i32 [num_tokens]
  AttentionBatch attention;
};

struct DeviceBatch {
  Tensor token_ids, positions;    // i32 [num_tokens]
  Tensor logit_rows;              // i32 [num_rows]
  Tensor scored_rows;             // i32 [num_scored]
  std::vector<DeviceKvBatch> kv;  // by KV group: see LayerCache::group
};

// Device memory for the largest batch, filled anew each step by one copy for each KV group's block table, whose rows
// lie as far apart as the longest sequence needs, and one for all the rest.
class BatchUploader {
 public:
  // `max_blocks` of a sequence in each KV group.
  static std::size_t device_bytes(std::int64_t max_tokens, std::int64_t max_sequences, std::int64_t max_blocks,
                                  std::size_t num_kv_groups = 1);
  static Result<std::unique_ptr<BatchUploader>> create(Backend& backend, std::int64_t max_tokens,
                                                       std::int64_t max_sequences, std::int64_t max_blocks,
                                                       std::size_t num_kv_groups = 1);

  // Batches with the same numbers of tokens, sequences and rows get the same places.
  DeviceBatch upload(const Batch& batch);

 private:
  BatchUploader(Backend& backend, Buffer memory, std::vector<Tensor> block_tables)
      : backend_(backend), memory_(std::move(memory)), block_tables_(std::move(block_tables)) {}
  Tensor put(const std::vector<std::int32_t>& values);

  Backend& backend_;
  Buffer memory_;
  std::vector<Tensor> block_tables_;  // by KV group, at the start of the memory: i32 [max_sequences, max_blocks]
  std::vector<std::int32_t> image_;   // of what follows it
};

}  // namespace caudal
