#include "worker/batch/batch.h"

#include <algorithm>

#include "worker/batch/sequence_table.h"

namespace caudal {
namespace {

void append_item(const BatchItem& item, Batch& batch) {
  const SequenceRow& sequence = *item.sequence;
  const std::int32_t end = item.begin + item.num_tokens;
  for (std::int32_t position = item.begin; position < end; ++position) {
    const auto i = static_cast<std::size_t>(position);
    const bool is_known = i < sequence.tokens.size();
    batch.token_ids.push_back(is_known ? sequence.tokens[i] : item.drafts[i - sequence.tokens.size()]);
    batch.positions.push_back(position);
    batch.cache_slot.push_back(sequence.blocks[i / kBlockSize] * kBlockSize + position % kBlockSize);
    if (position >= end - item.num_logit_rows)
      batch.logit_rows.push_back(static_cast<std::int32_t>(batch.token_ids.size()) - 1);
  }
  batch.query_start.push_back(static_cast<std::int32_t>(batch.token_ids.size()));
  batch.context_length.push_back(end);
}

std::int64_t blocks_for(std::int64_t num_tokens) { return (num_tokens + kBlockSize - 1) / kBlockSize; }

constexpr std::int64_t kAlignment = 64;  // i32 elements; tensors start 256 bytes apart

std::int64_t aligned(std::int64_t elements) { return (elements + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Batch make_batch(const std::vector<BatchItem>& items) {
  Batch batch;
  batch.query_start.push_back(0);
  for (const BatchItem& item : items) append_item(item, batch);
  for (std::int32_t context : batch.context_length) batch.max_blocks = std::max(batch.max_blocks, blocks_for(context));
  const auto width = static_cast<std::size_t>(batch.max_blocks);
  batch.block_table.resize(items.size() * width, 0);
  for (std::size_t s = 0; s < items.size(); ++s) {
    const std::vector<BlockId>& blocks = items[s].sequence->blocks;
    std::copy_n(blocks.begin(), blocks_for(batch.context_length[s]), batch.block_table.begin() + s * width);
  }
  return batch;
}

std::size_t BatchUploader::device_bytes(std::int64_t max_tokens, std::int64_t max_sequences, std::int64_t max_blocks) {
  // block_table; token_ids, positions, cache_slot, logit_rows; query_start, context_length
  const std::int64_t elements = aligned(max_sequences * max_blocks) + 4 * aligned(max_tokens) +
                                aligned(max_sequences + 1) + aligned(max_sequences);
  return static_cast<std::size_t>(elements) * sizeof(std::int32_t);
}

Result<std::unique_ptr<BatchUploader>> BatchUploader::create(Backend& backend, std::int64_t max_tokens,
                                                             std::int64_t max_sequences, std::int64_t max_blocks) {
  Result<Buffer> memory = backend.allocate(device_bytes(max_tokens, max_sequences, max_blocks));
  if (!memory) return memory.error();
  const Tensor block_table = memory.value().tensor(DType::kI32, {max_sequences, max_blocks});
  return std::unique_ptr<BatchUploader>(new BatchUploader(backend, std::move(memory).value(), block_table));
}

DeviceBatch BatchUploader::upload(const Batch& batch) {
  image_.clear();
  DeviceBatch device;
  device.token_ids = put(batch.token_ids);
  device.positions = put(batch.positions);
  device.cache_slot = put(batch.cache_slot);
  device.logit_rows = put(batch.logit_rows);
  device.attention.query_start = put(batch.query_start);
  device.attention.context_length = put(batch.context_length);
  const auto size = static_cast<std::int64_t>(image_.size());
  backend_.copy_to_device(image_.data(), Tensor(device.token_ids.data(), DType::kI32, {size}));
  device.attention.block_table = block_table_.rows(0, batch.num_sequences());
  if (batch.max_blocks > 0)
    backend_.copy_to_device(batch.block_table.data(), device.attention.block_table.columns(0, batch.max_blocks));
  device.attention.query_start_host = batch.query_start;
  device.attention.context_length_host = batch.context_length;
  return device;
}

Tensor BatchUploader::put(const std::vector<std::int32_t>& values) {
  const std::int64_t begin = aligned(block_table_.elements()) + static_cast<std::int64_t>(image_.size());
  const auto n = static_cast<std::int64_t>(values.size());
  CHECK(static_cast<std::size_t>(begin + n) * sizeof(std::int32_t) <= memory_.bytes());
  image_.insert(image_.end(), values.begin(), values.end());
  image_.resize(static_cast<std::size_t>(aligned(static_cast<std::int64_t>(image_.size()))));
  return Tensor(static_cast<std::int32_t*>(memory_.data()) + begin, DType::kI32, {n});
}

}  // namespace caudal
