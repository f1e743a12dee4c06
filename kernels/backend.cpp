// Checks of what is no op, for all backends.
#include "kernels/backend.h"

#include "kernels/expect.h"

namespace caudal {

void check_copy_blocks(std::span<const BlockPair> pairs, const Tensor& from, const Tensor& to) {
  Dim sources("sources"), destinations("destinations"), block_size("block_size", kBlockSize);
  Dim num_kv_heads("num_kv_heads"), head_dim("head_dim");
  Expect expect("copy_blocks");
  expect.shape("from", from, {sources, block_size, num_kv_heads, head_dim}).contiguous("from", from);
  expect.shape("to", to, {destinations, block_size, num_kv_heads, head_dim}).contiguous("to", to);
  expect.dtype("to", to, from.dtype());
  for (const BlockPair& copy : pairs) {
    CHECK(copy.source >= 0 && copy.source < *sources);
    CHECK(copy.destination >= 0 && copy.destination < *destinations);
  }
}

void Backend::check_sample(const Tensor& logits, std::int64_t vocab_size, std::span<const SamplingRow> rows,
                           const Tensor& tokens) {
  Dim num_rows("num_rows", std::ssize(rows)), columns("columns");
  Expect expect("sample");
  expect.shape("logits", logits, {num_rows, columns}).dtype("logits", logits, DType::kF32);
  expect.that(vocab_size > 0 && vocab_size <= *columns, "vocab_size must be in [1, columns]");
  for (const SamplingRow& row : rows)
    expect.that(row.allowed.empty() || std::ssize(row.allowed) * 64 >= vocab_size, "allowed must have a bit per token");
  if (!tokens.empty()) expect.shape("tokens", tokens, {num_rows}).dtype("tokens", tokens, DType::kI32);
  for (const SamplingRow& row : rows)
    for (const TokenId token : row.logprob_tokens) CHECK(token >= 0 && token < vocab_size);
}

}  // namespace caudal
