#include "worker/runner.h"

#include <algorithm>
#include <chrono>

#include "common/log.h"
#include "worker/startup.h"

namespace caudal {

Result<std::unique_ptr<Runner>> Runner::create(Backend& backend, Communicator& group,
                                               const std::filesystem::path& model_dir, const RunnerOptions& options) {
  Result<Startup> planned = plan_startup(backend, group, model_dir, options);
  if (!planned) return planned.error();
  const Startup& start = planned.value();
  LOG_INFO("{} as {} in {} of {}: {}", start.config.architecture, dtype_name(start.dtype), backend.info().name,
           group.size(), start.memory.describe());
  if (Result<void> ready = backend.prepare(start.sizes, start.memory.total_bytes()); !ready) return ready.error();

  Parts parts;
  WeightLoader loader(backend, *start.weights, start.dtype);
  Result<std::unique_ptr<Decoder>> decoder = Decoder::create(start.config, start.part, loader, group, start.limits);
  if (!decoder) return decoder.error();
  CHECK_MSG(loader.loaded_bytes() <= start.memory.weights_bytes, "weights took more memory than planned");
  parts.decoder = std::move(decoder).value();
  Result<std::unique_ptr<BatchUploader>> uploader =
      BatchUploader::create(backend, start.limits.max_tokens, options.max_num_sequences, start.max_blocks_per_sequence);
  if (!uploader) return uploader.error();
  parts.uploader = std::move(uploader).value();
  Result<std::unique_ptr<Sampler>> sampler =
      Sampler::create(backend, group, start.config.vocab_size, start.limits.max_rows);
  if (!sampler) return sampler.error();
  parts.sampler = std::move(sampler).value();
  Result<KvCache> cache = KvCache::create(backend, start.config, start.part, start.dtype, start.memory.num_blocks);
  if (!cache) return cache.error();
  parts.cache = std::move(cache).value();
  Result<std::unique_ptr<Drafter>> drafter = Drafter::create(backend, group, start);
  if (!drafter) return drafter.error();
  parts.drafter = std::move(drafter).value();
  Result<DecodeGraphs> graphs = DecodeGraphs::record(
      backend, group, {*parts.decoder, *parts.uploader, parts.cache, parts.sampler->drawn()}, options.max_num_sequences);
  if (!graphs) return graphs.error();
  parts.graphs = std::move(graphs).value();
  return std::unique_ptr<Runner>(new Runner(backend, std::move(parts), start.info));
}

Runner::Runner(Backend& backend, Parts parts, const ReplicaInfo& info)
    : backend_(backend),
      parts_(std::move(parts)),
      info_(info),
      table_({.max_num_sequences = info.max_num_sequences,
              .max_tokens_per_step = info.max_tokens_per_step,
              .max_context_tokens = info.max_context_tokens,
              .num_blocks = info.num_blocks,
              .vocab_size = info.vocab_size,
              .max_draft_tokens = info.max_draft_tokens}) {}

void Runner::clear() {
  table_.clear();
  parts_.drafter->clear();
}

Result<StepResult> Runner::run(const StepPlan& plan) {
  const auto begin = std::chrono::steady_clock::now();
  StepResult result;
  result.epoch = plan.epoch;
  result.step_id = plan.step_id;
  Result<std::vector<ScheduledWork>> work = table_.apply(plan);
  if (!work) return work.error();
  parts_.cache.copy_blocks(backend_, plan.block_copies);
  for (const NewSequence& entered : plan.new_sequences) parts_.drafter->forget(entered.slot);
  const DraftTime drafting = parts_.drafter->propose(table_, work.value());
  result.draft_us = drafting.total_us;
  result.draft_pass_us = drafting.pass_us;
  if (!work.value().empty()) {
    const std::vector<SamplingOutput> drawn = compute(work.value());
    if (Result<void> healthy = backend_.health(); !healthy) return healthy.error();
    collect(work.value(), drawn, result);
  }
  const auto elapsed = std::chrono::steady_clock::now() - begin;
  result.compute_us = std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
  return result;
}

// In the order of `work`, one drawn token per entry that samples and one more per draft of it: draw i is the token
// that follows if the drafts before it are right.
std::vector<SamplingOutput> Runner::compute(const std::vector<ScheduledWork>& work) {
  std::vector<BatchItem> items;
  std::vector<Draw> draws;
  for (const ScheduledWork& item : work) {
    const SequenceRow& sequence = table_.at(item.slot);
    const std::span<const TokenId> drafts = item.drafts;
    const auto num_drafts = static_cast<std::int32_t>(drafts.size());
    items.push_back({&sequence, sequence.num_computed, item.num_tokens + num_drafts,
                     item.samples ? 1 + num_drafts : 0, drafts});
    for (std::size_t i = 0; item.samples && i <= drafts.size(); ++i) draws.push_back({&sequence, drafts.first(i)});
  }
  const Tensor logits = logits_of(make_batch(items));
  if (draws.empty()) backend_.synchronize();
  return parts_.sampler->sample(logits, draws);
}

// f32 [num_rows, padded vocabulary], empty when no row is wanted.
Tensor Runner::logits_of(const Batch& batch) {
  if (parts_.graphs.hold(batch)) return parts_.graphs.run(batch);
  const DeviceBatch device = parts_.uploader->upload(batch);
  const Tensor hidden = parts_.decoder->forward(device, parts_.cache);
  return batch.logit_rows.empty() ? Tensor() : parts_.decoder->logits(hidden, device.logit_rows);
}

void Runner::collect(const std::vector<ScheduledWork>& work, std::span<const SamplingOutput> drawn,
                     StepResult& result) {
  for (const ScheduledWork& item : work) {
    SequenceResult& out = result.sequences.emplace_back();
    table_.advance(item.slot, item.num_tokens);
    if (item.samples) {
      accept(item, drawn.first(1 + item.drafts.size()), out);
      drawn = drawn.subspan(1 + item.drafts.size());
    }
    const SequenceRow& sequence = table_.at(item.slot);
    out.slot = item.slot;
    out.sequence_id = sequence.id;
    out.num_computed = sequence.num_computed;
    out.finish_reason = sequence.finish_reason;
  }
}

// A draft is kept when it is the very token that was drawn in its place. For a guess that is one fixed token this is
// the rule of speculative sampling (Leviathan et al., arXiv 2211.17192; Chen et al., arXiv 2302.01318): kept with the
// probability that the model gives it, else replaced by a token of what remains. And since the draw at a
// position depends on seed and position alone, the tokens are those of plain decoding, one by one.
void Runner::accept(const ScheduledWork& item, std::span<const SamplingOutput> drawn, SequenceResult& out) {
  out.num_drafted = static_cast<std::int32_t>(item.drafts.size());
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const SamplingOutput& output = drawn[i];
    table_.append(item.slot, output.valid ? std::optional(output.token) : std::nullopt);
    if (!output.valid) return;
    out.tokens.push_back(output.token);
    if (!output.logprobs.empty()) out.logprobs.push_back(output.logprobs);
    if (i == item.drafts.size() || output.token != item.drafts[i]) return;
    ++out.num_accepted;
    if (table_.at(item.slot).finished()) return;
    table_.advance(item.slot, 1);
  }
}

std::vector<float> Runner::prompt_logits(std::span<const TokenId> tokens, std::int32_t chunk) {
  const auto vocab = static_cast<std::size_t>(info_.vocab_size);
  SequenceRow sequence;
  sequence.tokens.assign(tokens.begin(), tokens.end());
  CHECK(sequence.num_tokens() <= info_.max_context_tokens && chunk >= 1);
  for (BlockId b = 0; b * kBlockSize < sequence.num_tokens(); ++b) sequence.blocks.push_back(b);
  chunk = std::min({chunk, info_.max_num_sequences, info_.max_tokens_per_step});  // a row of logits per token
  std::vector<float> all(tokens.size() * vocab);
  while (sequence.num_computed < sequence.num_tokens()) {
    const std::int32_t now = std::min(chunk, sequence.num_tokens() - sequence.num_computed);
    const Batch batch = make_batch({{&sequence, sequence.num_computed, now, now}});
    const DeviceBatch device = parts_.uploader->upload(batch);
    const Tensor logits = parts_.decoder->logits(parts_.decoder->forward(device, parts_.cache), device.logit_rows);
    std::vector<float> host(static_cast<std::size_t>(logits.elements()));
    backend_.copy_to_host(logits, host.data());
    backend_.synchronize();
    for (std::int64_t row = 0; row < now; ++row) {
      const auto place = static_cast<std::size_t>(sequence.num_computed + row) * vocab;
      std::copy_n(host.begin() + row * logits.dim(1), vocab, all.begin() + static_cast<std::ptrdiff_t>(place));
    }
    sequence.num_computed += now;
  }
  return all;
}

}  // namespace caudal
