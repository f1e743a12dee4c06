#include "worker/decode_graphs.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "common/log.h"

namespace caudal {
namespace {

// More sequences than this are computed for so long that queueing op by op keeps up.
constexpr std::int64_t kLargest = 512;

// Adds rows that belong to no sequence until there are `size` of them.
void pad(Batch& batch, std::int64_t size) {
  const auto rows = static_cast<std::size_t>(size);
  batch.token_ids.resize(rows, 0);
  batch.positions.resize(rows, 0);
  batch.cache_slot.resize(rows, -1);
  batch.query_start.resize(rows + 1, batch.query_start.back());
  batch.context_length.resize(rows, 0);
  batch.block_table.resize(rows * static_cast<std::size_t>(batch.max_blocks), 0);
  for (auto row = static_cast<std::int32_t>(batch.logit_rows.size()); row < size; ++row) batch.logit_rows.push_back(row);
}

}  // namespace

std::vector<std::int64_t> DecodeGraphs::sizes(std::int64_t max_sequences) {
  const std::int64_t largest = std::min(max_sequences, kLargest);
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 1; size < largest; size *= 2) {
    sizes.push_back(size);
    if (size >= 32 && size / 2 * 3 < largest) sizes.push_back(size / 2 * 3);
  }
  sizes.push_back(largest);
  return sizes;
}

Result<DecodeGraphs> DecodeGraphs::record(Backend& backend, Communicator& group, const PassParts& parts,
                                          std::int64_t max_sequences) {
  DecodeGraphs graphs;
  if (!backend.queues()) return graphs;
  if (!group.queues()) {
    LOG_INFO("{} run without graphs: the ranks' messages cannot be recorded", parts.name);
    return graphs;
  }
  const auto begin = std::chrono::steady_clock::now();
  graphs.uploader_ = &parts.uploader;
  std::string why;
  for (const std::int64_t size : sizes(max_sequences)) {
    Batch batch;
    batch.query_start = {0};
    pad(batch, size);
    const DeviceBatch device = parts.uploader.upload(batch);
    Tensor logits;
    Result<std::unique_ptr<Recording>> recording = backend.record([&] {
      backend.take_drawn(parts.drawn, device.token_ids);
      logits = parts.decoder.logits(parts.decoder.forward(device, parts.cache), device.logit_rows);
    });
    if (Result<void> healthy = backend.health(); !healthy) return healthy.error();
    if (!recording) why = recording.error().message;
    // A step must be padded alike on every rank.
    const std::int32_t mine = recording.ok() ? 1 : 0;
    const Result<std::span<const std::int32_t>> all = group.host().gather({&mine, 1});
    if (!all) return all.error();
    if (std::ranges::find(all.value(), 0) != all.value().end()) break;
    graphs.graphs_.push_back({size, std::move(recording).value(), logits});
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  graphs.log(parts.name, seconds.count());
  if (graphs.graphs_.size() < sizes(max_sequences).size())
    LOG_WARNING("{}: larger ones run without graphs: {}", parts.name, why.empty() ? "another rank cannot record them" : why);
  return graphs;
}

void DecodeGraphs::log(const char* name, double seconds) const {
  std::vector<std::int64_t> sizes;
  std::size_t bytes = 0;
  for (const Graph& graph : graphs_) {
    sizes.push_back(graph.num_sequences);
    bytes += graph.recording->bytes();
  }
  LOG_INFO("graphs of {} for {} sequences recorded in {:.1f} s, {:.1f} MiB", name, fmt::join(sizes, ", "), seconds,
           static_cast<double>(bytes) / static_cast<double>(1 << 20));
}

bool DecodeGraphs::hold(const Batch& batch) const {
  return !graphs_.empty() && batch.num_sequences() <= graphs_.back().num_sequences &&
         batch.num_tokens() == batch.num_sequences() && std::ssize(batch.logit_rows) == batch.num_sequences();
}

Tensor DecodeGraphs::run(Batch batch) const {
  const std::int64_t rows = batch.num_sequences();
  const auto fits = [rows](const Graph& graph) { return graph.num_sequences >= rows; };
  const Graph& graph = *std::ranges::find_if(graphs_, fits);
  pad(batch, graph.num_sequences);
  graph.recording->run(uploader_->upload(batch).attention);
  return graph.logits.rows(0, rows);
}

}  // namespace caudal
