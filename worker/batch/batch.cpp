#include "worker/batch/batch.h"

#include <algorithm>

#include "worker/batch/sequence_table.h"

namespace caudal {
namespace {

// Of a token in flight: what Backend::insert_sampled replaces by the token.
constexpr TokenId id_of_sample(std::int32_t row) { return -1 - row; }

TokenId token_at(const BatchItem& item, std::size_t position, Batch& batch) {
  const SequenceRow& sequence = *item.sequence;
  if (position < sequence.tokens.size()) return sequence.tokens[position];
  const std::size_t behind = position - sequence.tokens.size();
  if (behind >= sequence.in_flight.size()) return item.drafts[behind - sequence.in_flight.size()];
  const TokenInFlight& token = sequence.in_flight[behind];
  CHECK_MSG(batch.samples_of.value_or(token.step) == token.step, "a batch reads the samples of two steps");
  batch.samples_of = token.step;
  return id_of_sample(token.row);
}

void append_item(const BatchItem& item, std::span<const std::int32_t> rows_per_block, Batch& batch) {
  const SequenceRow& sequence = *item.sequence;
  const std::int32_t end = item.begin + item.num_tokens;
  for (std::int32_t position = item.begin; position < end; ++position) {
    const std::size_t i = position;
    batch.token_ids.push_back(token_at(item, i, batch));
    batch.positions.push_back(position);
    for (std::size_t group = 0; group < batch.kv.size(); ++group) {
      const BlockId block = sequence.blocks[i / kBlockSize * batch.kv.size() + group];
      const std::int32_t first = block.value() * rows_per_block[group];
      batch.kv[group].cache_slot.push_back(first * kBlockSize + position % kBlockSize);
    }
    const auto row = static_cast<std::int32_t>(batch.token_ids.size()) - 1;
    if (position >= end - item.num_logit_rows) batch.logit_rows.push_back(row);
    if (position < item.begin + item.num_scored) batch.scored_rows.push_back(row);
  }
  batch.query_start.push_back(static_cast<std::int32_t>(batch.token_ids.size()));
  batch.context_length.push_back(end);
}

std::int64_t blocks_for(std::int64_t num_tokens) { return (num_tokens + kBlockSize - 1) / kBlockSize; }

constexpr std::int64_t kAlignment = 64;  // i32 elements; tensors start 256 bytes apart

std::int64_t aligned(std::int64_t elements) { return (elements + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Batch make_batch(const std::vector<BatchItem>& items, std::span<const std::int32_t> rows_per_block) {
  const std::size_t num_kv_groups = rows_per_block.size();
  Batch batch;
  batch.kv.resize(num_kv_groups);
  batch.query_start.push_back(0);
  for (const BatchItem& item : items) append_item(item, rows_per_block, batch);
  for (std::int32_t context : batch.context_length) batch.max_blocks = std::max(batch.max_blocks, blocks_for(context));
  const std::size_t width = batch.max_blocks;
  for (std::size_t group = 0; group < num_kv_groups; ++group) {
    std::vector<std::int32_t>& table = batch.kv[group].block_table;
    table.resize(items.size() * width, 0);
    for (std::size_t s = 0; s < items.size(); ++s) {
      const std::size_t num_blocks = blocks_for(batch.context_length[s]);
      for (std::size_t i = 0; i < num_blocks; ++i)
        table[s * width + i] = items[s].sequence->blocks[i * num_kv_groups + group].value() * rows_per_block[group];
    }
  }
  return batch;
}

std::size_t BatchUploader::device_bytes(std::int64_t max_tokens, std::int64_t max_sequences, std::int64_t max_blocks,
                                        std::size_t num_kv_groups) {
  // Of each group block_table and cache_slot; token_ids, positions, logit_rows, scored_rows; query_start,
  // context_length.
  const auto groups = static_cast<std::int64_t>(num_kv_groups);
  const std::int64_t elements = groups * aligned(max_sequences * max_blocks) + (4 + groups) * aligned(max_tokens) +
                                aligned(max_sequences + 1) + aligned(max_sequences);
  return elements * sizeof(std::int32_t);
}

Result<std::unique_ptr<BatchUploader>> BatchUploader::create(Backend& backend, std::int64_t max_tokens,
                                                             std::int64_t max_sequences, std::int64_t max_blocks,
                                                             std::size_t num_kv_groups) {
  Result<Buffer> memory = backend.allocate(device_bytes(max_tokens, max_sequences, max_blocks, num_kv_groups));
  if (!memory) return memory.error();
  std::vector<Tensor> tables;
  auto* begin = static_cast<std::int32_t*>(memory.value().data());
  for (std::size_t group = 0; group < num_kv_groups; ++group, begin += aligned(max_sequences * max_blocks))
    tables.emplace_back(begin, DType::kI32, std::initializer_list<std::int64_t>{max_sequences, max_blocks});
  return std::unique_ptr<BatchUploader>(new BatchUploader(backend, std::move(memory).value(), std::move(tables)));
}

DeviceBatch BatchUploader::upload(const Batch& batch) {
  CHECK(batch.kv.size() == block_tables_.size());
  image_.clear();
  DeviceBatch device;
  device.token_ids = put(batch.token_ids);
  device.positions = put(batch.positions);
  for (const KvBatch& kv : batch.kv) device.kv.push_back({.cache_slot = put(kv.cache_slot), .attention = {}});
  device.logit_rows = put(batch.logit_rows);
  device.scored_rows = put(batch.scored_rows);
  AttentionBatch attention;
  attention.query_start = put(batch.query_start);
  attention.context_length = put(batch.context_length);
  attention.query_start_host = batch.query_start;
  attention.context_length_host = batch.context_length;
  const auto size = static_cast<std::int64_t>(image_.size());
  backend_.copy_to_device(image_.data(), Tensor(device.token_ids.data(), DType::kI32, {size}));
  for (std::size_t group = 0; group < batch.kv.size(); ++group) {
    attention.block_table = block_tables_[group].rows(0, batch.num_sequences());
    if (batch.max_blocks > 0)
      backend_.copy_to_device(batch.kv[group].block_table.data(), attention.block_table.columns(0, batch.max_blocks));
    device.kv[group].attention = attention;
  }
  return device;
}

Tensor BatchUploader::put(const std::vector<std::int32_t>& values) {
  const std::int64_t begin = std::ssize(block_tables_) * aligned(block_tables_.front().elements()) + std::ssize(image_);
  const auto n = static_cast<std::int64_t>(values.size());
  CHECK((begin + n) * sizeof(std::int32_t) <= memory_.bytes());
  image_.insert(image_.end(), values.begin(), values.end());
  image_.resize(aligned(static_cast<std::int64_t>(image_.size())));
  return Tensor(static_cast<std::int32_t*>(memory_.data()) + begin, DType::kI32, {n});
}

}  // namespace caudal
