#include "worker/graphs/decode_graphs.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "common/log.h"

namespace caudal {
namespace {

// Larger batches compute for so long that queueing op by op keeps up.
constexpr std::int64_t kMaxTokens = 512;

// Adds rows that belong to no sequence, and sequences without rows.
void pad(Batch& batch, std::int64_t num_tokens, std::int64_t num_sequences) {
  const auto rows = static_cast<std::size_t>(num_tokens), sequences = static_cast<std::size_t>(num_sequences);
  batch.token_ids.resize(rows, 0);
  batch.positions.resize(rows, 0);
  batch.query_start.resize(sequences + 1, batch.query_start.back());
  batch.context_length.resize(sequences, 0);
  for (KvBatch& kv : batch.kv) {
    kv.cache_slot.resize(rows, -1);
    kv.block_table.resize(sequences * static_cast<std::size_t>(batch.max_blocks), 0);
  }
  for (auto row = static_cast<std::int32_t>(batch.logit_rows.size()); row < num_tokens; ++row)
    batch.logit_rows.push_back(row);
}

std::int64_t max_new_tokens(const Batch& batch) {
  std::int32_t max = 0;
  for (std::size_t s = 0; s + 1 < batch.query_start.size(); ++s)
    max = std::max(max, batch.query_start[s + 1] - batch.query_start[s]);
  return max;
}

}  // namespace

std::vector<std::int64_t> DecodeGraphs::sizes(std::int64_t max_tokens) {
  const std::int64_t largest = std::min(max_tokens, kMaxTokens);
  std::vector<std::int64_t> sizes;
  if (largest == 0) return sizes;
  for (std::int64_t size = 1; size < largest; size *= 2) {
    sizes.push_back(size);
    if (size >= 32 && size / 2 * 3 < largest) sizes.push_back(size / 2 * 3);
  }
  sizes.push_back(largest);
  return sizes;
}

Result<DecodeGraphs> DecodeGraphs::record(Backend& backend, Communicator& group, const PassParts& parts,
                                          const PassBounds& bounds) {
  DecodeGraphs graphs;
  Recorder* const recorder = backend.recorder();
  if (recorder == nullptr || bounds.max_tokens == 0) return graphs;
  if (!group.queues()) {
    LOG_INFO("{} run without graphs: the ranks' messages cannot be recorded", bounds.name);
    return graphs;
  }
  const auto begin = std::chrono::steady_clock::now();
  graphs.uploader_ = &parts.uploader;
  graphs.new_tokens_ = bounds.new_tokens;
  std::string why;
  for (const std::int64_t size : sizes(bounds.max_tokens)) {
    const std::int64_t num_sequences = std::min(size, bounds.max_sequences);
    Batch batch = make_batch({}, parts.cache.rows_per_block());
    pad(batch, size, num_sequences);
    const DeviceBatch device = parts.uploader.upload(batch);
    Tensor logits;
    Result<std::unique_ptr<Recording>> recording = recorder->record(bounds.new_tokens, [&] {
      backend.insert_sampled(parts.sampled, device.token_ids);
      logits = parts.model.logits(parts.model.forward(device, parts.cache), device.logit_rows);
    });
    if (Result<void> healthy = backend.health(); !healthy) return healthy.error();
    if (!recording) why = recording.error().message;
    // A step must be padded alike on every rank, so all have this graph or none.
    const std::int32_t mine = recording.ok() ? 1 : 0;
    const Result<std::span<const std::int32_t>> all = group.host().gather({&mine, 1});
    if (!all) return all.error();
    if (std::ranges::find(all.value(), 0) != all.value().end()) break;
    graphs.graphs_.push_back({size, num_sequences, std::move(recording).value(), logits});
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  graphs.log(bounds.name, seconds.count());
  if (graphs.graphs_.size() < sizes(bounds.max_tokens).size())
    LOG_WARNING("{}: larger ones run without graphs: {}", bounds.name,
                why.empty() ? "another rank cannot record them" : why);
  return graphs;
}

void DecodeGraphs::log(const char* name, double seconds) const {
  std::vector<std::int64_t> sizes;
  std::size_t bytes = 0;
  for (const Graph& graph : graphs_) {
    sizes.push_back(graph.num_tokens);
    bytes += graph.recording->bytes();
  }
  LOG_INFO("graphs of {} for {} tokens recorded in {:.1f} s, {:.1f} MiB", name, fmt::join(sizes, ", "), seconds,
           static_cast<double>(bytes) / static_cast<double>(1 << 20));
}

// The smallest graph that is large enough for the batch, or null.
const DecodeGraphs::Graph* DecodeGraphs::find(const Batch& batch) const {
  if (std::ssize(batch.logit_rows) != batch.num_tokens() || max_new_tokens(batch) > new_tokens_) return nullptr;
  const auto fits = [&](const Graph& graph) {
    return graph.num_tokens >= batch.num_tokens() && graph.num_sequences >= batch.num_sequences();
  };
  const auto graph = std::ranges::find_if(graphs_, fits);
  return graph == graphs_.end() ? nullptr : &*graph;
}

std::optional<Tensor> DecodeGraphs::run(const Batch& batch) const {
  const Graph* graph = find(batch);
  if (graph == nullptr) return std::nullopt;
  Batch padded = batch;
  pad(padded, graph->num_tokens, graph->num_sequences);
  graph->recording->run(uploader_->upload(padded).kv.front().attention);
  return graph->logits.rows(0, batch.num_tokens());
}

}  // namespace caudal
