#include "worker/runner/runner.h"

#include <algorithm>
#include <chrono>

#include "common/log.h"
#include "worker/runner/startup.h"
#include "worker/sampling/beam_candidates.h"
#include "worker/sampling/grammars.h"

namespace caudal {

Result<std::unique_ptr<Runner>> Runner::create(Backend& backend, Communicator& group,
                                               const std::filesystem::path& model_dir, const RunnerOptions& options) {
  Result<Startup> planned = plan_startup(backend, group, model_dir, options);
  if (!planned) return planned.error();
  const Startup& start = planned.value();
  LOG_INFO("{}", describe(start, backend));
  if (Result<void> ready = backend.prepare(start.sizes, start.memory.total_bytes()); !ready) return ready.error();
  Result<Parts> parts = make_parts(backend, group, model_dir, options, start);
  if (!parts) return parts.error();
  ReplicaInfo info = start.info;
  info.swap_block_ns = measure_transfer_ns(backend, parts.value().cache, parts.value().host_cache);
  return std::unique_ptr<Runner>(new Runner(backend, std::move(parts).value(), info));
}

Result<Runner::Parts> Runner::make_parts(Backend& backend, Communicator& group, const std::filesystem::path& model_dir,
                                         const RunnerOptions& options, const Startup& start) {
  Parts parts;
  std::optional<Error> error;
  // Moves a part to where it belongs, or keeps the error.
  const auto put = [&error](auto& part, auto result) {
    if (!result) return error = result.error(), false;
    part = std::move(result).value();
    return true;
  };
  const StepLimits& limits = start.plan.limits;
  if (group.rank() == 0) {
    const auto load = [model_dir] { return load_token_text(model_dir); };
    parts.grammars =
        std::make_shared<Grammars>(load, static_cast<std::size_t>(start.info.max_num_sequences), options.begin_thread);
  }
  const bool made =
      put(parts.model, load_model(start.model, start.plan, backend, group)) &&
      put(parts.uploader, BatchUploader::create(backend, limits.max_tokens, start.info.max_num_sequences,
                                                start.max_blocks_per_sequence, start.plan.kv.groups.size())) &&
      put(parts.sampler, Sampler::create(backend, group, start.info.vocab_size, limits.max_rows, parts.grammars)) &&
      put(parts.cache, KvCache::create(backend, start.plan.kv, start.memory.num_blocks)) &&
      put(parts.host_cache, KvCache::create_on_host(backend, parts.cache, start.memory.num_host_blocks)) &&
      put(parts.drafter,
          Drafter::create(backend, group, start.draft, limits.max_rows, start.memory.num_blocks, parts.grammars));
  if (!made) return *error;
  const PassParts pass{*parts.model, *parts.uploader, parts.cache, parts.sampler->sampled()};
  if (!put(parts.graphs, DecodeGraphs::record(backend, group, pass, start.decode)) ||
      !put(parts.draft_graphs, DecodeGraphs::record(backend, group, pass, start.drafts)))
    return *error;
  return parts;
}

Runner::Runner(Backend& backend, Parts parts, const ReplicaInfo& info)
    : backend_(backend),
      parts_(std::move(parts)),
      info_(info),
      transfers_(backend, parts_.cache, parts_.host_cache),
      table_({.max_num_sequences = info.max_num_sequences,
              .max_tokens_per_step = info.max_tokens_per_step,
              .max_context_tokens = info.max_context_tokens,
              .num_blocks = info.num_blocks,
              .vocab_size = info.vocab_size,
              .max_draft_tokens = info.max_draft_tokens,
              .num_host_blocks = info.num_host_blocks,
              .num_kv_groups = info.num_kv_groups()}) {}

void Runner::expect_grammars() {
  if (parts_.grammars) parts_.grammars->load_text();
}

void Runner::clear() {
  steps_.clear();
  table_.clear();
  transfers_.clear();
  parts_.drafter->clear();
  if (parts_.grammars) parts_.grammars->clear();
}

Result<StepResult> Runner::run(StepPlan plan) {
  if (Result<void> submitted = submit(std::move(plan)); !submitted) return submitted.error();
  if (steps_.front().only_waits) transfers_.wait_for_end();
  return collect();
}

bool Runner::done() {
  if (steps_.empty()) return true;
  const Step& oldest = steps_.front();
  return oldest.only_waits ? transfers_.has_ended() : !oldest.samples || oldest.samples->ready();
}

Result<void> Runner::submit(StepPlan plan) {
  CHECK(steps_.empty() || (steps_.size() == 1 && may_overlap(plan)));
  Step step;
  step.begin = Clock::now();
  step.result.epoch = plan.epoch;
  step.result.step_id = plan.step_id;
  step.only_waits = plan.scheduled.empty();
  Result<std::vector<ScheduledWork>> work = table_.apply(plan);
  if (!work) return work.error();
  step.work = std::move(work).value();
  if (Result<void> joined = transfers_.join(plan.confirmed_transfers); !joined) return joined.error();
  transfers_.start(plan);
  parts_.cache.copy_blocks(backend_, block_pairs(plan.block_copies), parts_.cache);
  for (const NewSequence& entered : plan.new_sequences) {
    parts_.drafter->forget(entered.slot);
    if (parts_.grammars) parts_.grammars->enter(table_.at(entered.slot));
  }
  const Result<DraftTime> drafting = parts_.drafter->propose(table_, step.work);
  if (!drafting) return drafting.error();
  step.result.draft_us = drafting.value().total_us;
  step.result.draft_pass_us = drafting.value().pass_us;
  if (!step.work.empty()) compute(step);
  advance_table(step);
  steps_.push_back(std::move(step));
  return {};
}

bool Runner::may_overlap(const StepPlan& plan) const {
  if (!backend_.traits().queues) return false;
  const Step& ahead = steps_.front();
  const auto has_drafts = [](const ScheduledWork& item) { return !item.drafts.empty(); };
  const auto computing = [&](SlotId slot) {
    const SequenceRow* sequence = table_.find(slot);
    return sequence != nullptr && !sequence->finished() && sequence->last_scheduled == ahead.result.step_id;
  };
  const auto needs_tokens = [&](const ScheduledSequence& scheduled) {
    const SequenceRow* sequence = table_.find(scheduled.slot);
    return scheduled.num_draft_tokens > 0 ||
           (sequence != nullptr && !sequence->in_flight.empty() && sequence->looks_at_tokens());
  };
  return std::ranges::none_of(ahead.work, has_drafts) && std::ranges::none_of(plan.released, computing) &&
         std::ranges::none_of(plan.scheduled, needs_tokens);
}

// Samples in the order of the work: one token per entry that samples, and one more per draft token of it. The token
// after i draft tokens counts if all of them are right.
void Runner::compute(Step& step) {
  std::vector<BatchItem> items;
  std::vector<SampleTask> tasks;
  std::vector<ScoreTask> scored;
  for (const ScheduledWork& item : step.work) {
    const SequenceRow& sequence = table_.at(item.slot);
    const std::span<const TokenId> drafts = item.drafts;
    const auto num_drafts = static_cast<std::int32_t>(drafts.size());
    items.push_back({&sequence, sequence.num_computed, item.num_tokens + num_drafts, item.samples ? 1 + num_drafts : 0,
                     drafts, item.num_scored});
    for (std::int32_t i = 1; i <= item.num_scored; ++i) scored.push_back({&sequence, sequence.num_computed + i});
    for (std::size_t i = 0; item.samples && i <= drafts.size(); ++i) tasks.push_back({&sequence, drafts.first(i)});
  }
  step.num_samples = tasks.size();
  const Batch batch = make_batch(items, parts_.cache.rows_per_block());
  // The sampler keeps the samples of the last step only.
  CHECK(!batch.samples_of || (!steps_.empty() && steps_.back().result.step_id == *batch.samples_of));
  step.samples = parts_.sampler->start(logits_of(batch, scored, step.scores), tasks);
}

// f32 [num_rows, padded vocabulary], empty when no row is wanted. What graphs record gives no hidden states to score.
Tensor Runner::logits_of(const Batch& batch, std::span<const ScoreTask> scored, PendingScores& scores) {
  for (const DecodeGraphs* graphs : {&parts_.graphs, &parts_.draft_graphs}) {
    if (!scored.empty()) break;
    if (const std::optional<Tensor> logits = graphs->run(batch)) return *logits;
  }
  const DeviceBatch device = parts_.uploader->upload(batch);
  if (batch.samples_of) backend_.insert_sampled(parts_.sampler->sampled(), device.token_ids);
  const Tensor hidden = parts_.model->forward(device, parts_.cache);
  score(hidden, device.scored_rows, scored, scores);
  return batch.logit_rows.empty() ? Tensor() : parts_.model->logits(hidden, device.logit_rows);
}

// Never more rows of logits at once than a step may sample from: that is what there is memory for.
void Runner::score(const Tensor& hidden, const Tensor& rows, std::span<const ScoreTask> tasks, PendingScores& scores) {
  const std::int64_t max_rows = parts_.sampler->sampled().dim(0);
  for (std::int64_t begin = 0; begin < std::ssize(tasks); begin += max_rows) {
    const std::int64_t count = std::min(max_rows, std::ssize(tasks) - begin);
    const Tensor logits = parts_.model->logits(hidden, rows.rows(begin, count));
    scores.add(parts_.sampler->score(logits, tasks.subspan(begin, count)), count);
  }
}

// From here on the table is as it will be after the step, except for tokens that only the device knows.
void Runner::advance_table(Step& step) {
  std::size_t row = 0;
  for (ScheduledWork& item : step.work) {
    table_.advance(item.slot, item.num_tokens);
    item.end = table_.at(item.slot).num_computed;
    if (!item.samples) continue;
    if (!table_.at(item.slot).is_beam) table_.promise(item.slot, {step.result.step_id, static_cast<std::int32_t>(row)});
    row += 1 + item.drafts.size();
  }
}

Result<StepResult> Runner::collect() {
  CHECK(!steps_.empty());
  Step step = std::move(steps_.front());
  steps_.pop_front();
  std::vector<SamplingOutput> sampled(step.num_samples);
  if (step.samples) step.samples->wait(sampled);
  std::vector<TokenScores> scored = step.scores.wait();
  if (Result<void> healthy = backend_.health(); !healthy) return healthy.error();
  StepResult result = std::move(step.result);
  add_results(step, sampled, scored, result);
  result.ended_transfers = transfers_.take_ended();
  const Clock::time_point now = Clock::now();
  const auto elapsed = now - std::max(step.begin, last_done_);
  last_done_ = now;
  result.compute_us = std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
  return result;
}

void Runner::add_results(const Step& step, std::span<const SamplingOutput> sampled, std::span<TokenScores> scored,
                         StepResult& result) {
  for (const ScheduledWork& item : step.work) {
    const std::size_t num_samples = item.samples ? 1 + item.drafts.size() : 0;
    const std::span<const SamplingOutput> mine = sampled.first(num_samples);
    sampled = sampled.subspan(num_samples);
    const std::span<TokenScores> my_scores = scored.first(item.num_scored);
    scored = scored.subspan(item.num_scored);
    if (item.dropped) continue;
    SequenceResult& out = result.sequences.emplace_back();
    out.slot = item.slot;
    out.num_computed = item.end;
    out.prompt_logprobs = usable_scores(my_scores);
    accept(item, mine, out);
    const SequenceRow& sequence = table_.at(item.slot);
    out.sequence_id = sequence.id;
    out.finish_reason = sequence.finish_reason;
    if (sequence.finished()) drop_later_work(item.slot);
  }
}

// A later step in flight may compute a position of a sequence that has just ended. Its result is not used.
void Runner::drop_later_work(SlotId slot) {
  for (Step& later : steps_)
    for (ScheduledWork& item : later.work) item.dropped |= item.slot == slot;
}

// A draft token is kept when it equals the token that was sampled at its position. A draft token is one fixed token, so
// this is the rule of speculative sampling (Leviathan et al., arXiv 2211.17192; Chen et al., arXiv 2302.01318): it is
// kept with the probability that the model gives it, else replaced by a token of what remains. A sampled token depends
// on seed and position alone, so the tokens are those of plain decoding, one by one.
void Runner::accept(const ScheduledWork& item, std::span<const SamplingOutput> sampled, SequenceResult& out) {
  if (item.samples && table_.at(item.slot).is_beam) {
    if (!sampled.front().valid) return table_.append(item.slot, std::nullopt);
    out.candidates = candidates_of(table_.at(item.slot), sampled.front());
    return;
  }
  out.num_drafted = static_cast<std::int32_t>(item.drafts.size());
  for (std::size_t i = 0; i < sampled.size(); ++i) {
    const SamplingOutput& output = sampled[i];
    const std::optional<TokenId> token = output.valid ? std::optional(output.token) : std::nullopt;
    i == 0 ? table_.fulfil(item.slot, token) : table_.append(item.slot, token);
    if (!token) return;
    out.tokens.push_back(*token);
    if (!output.logprobs.empty()) out.logprobs.push_back(output.logprobs);
    if (i == item.drafts.size() || *token != item.drafts[i]) return;
    ++out.num_accepted;
    if (table_.at(item.slot).finished()) return;
    table_.advance(item.slot, 1);
    ++out.num_computed;
  }
}

std::vector<float> Runner::prompt_logits(std::span<const TokenId> tokens, std::int32_t chunk) {
  const std::size_t vocab = info_.vocab_size;
  SequenceRow sequence;
  sequence.tokens.assign(tokens.begin(), tokens.end());
  CHECK(sequence.num_tokens() <= info_.max_context_tokens && chunk >= 1);
  const std::int32_t num_blocks = (sequence.num_tokens() + kBlockSize - 1) / kBlockSize * info_.num_kv_groups();
  for (const BlockId block : ids<BlockId>(num_blocks)) sequence.blocks.push_back(block);
  chunk = std::min({chunk, info_.max_num_sequences, info_.max_tokens_per_step});  // a row of logits per token
  std::vector<float> all(tokens.size() * vocab);
  while (sequence.num_computed < sequence.num_tokens()) {
    const std::int32_t now = std::min(chunk, sequence.num_tokens() - sequence.num_computed);
    const Batch batch = make_batch({{&sequence, sequence.num_computed, now, now}}, parts_.cache.rows_per_block());
    const DeviceBatch device = parts_.uploader->upload(batch);
    const Tensor logits = parts_.model->logits(parts_.model->forward(device, parts_.cache), device.logit_rows);
    std::vector<float> host(logits.elements());
    backend_.copy_to_host(logits, host.data());
    backend_.synchronize();
    for (std::int64_t row = 0; row < now; ++row) {
      const auto begin = static_cast<std::size_t>(sequence.num_computed + row) * vocab;
      std::copy_n(host.begin() + row * logits.dim(1), vocab, all.begin() + static_cast<std::ptrdiff_t>(begin));
    }
    sequence.num_computed += now;
  }
  return all;
}

}  // namespace caudal
