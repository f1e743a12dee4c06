#include "worker/speculation/draft_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "worker/comm/local.h"

namespace caudal {
namespace {

// Tokens that it catches up with in one step, beside one per sequence. Enough to keep up, and too few to slow a step.
constexpr std::int64_t kCatchUpTokens = 256;

}  // namespace

std::size_t DraftStartup::workspace_bytes() const {
  return plan.workspace_bytes +
         BatchUploader::device_bytes(plan.limits.max_tokens, max_sequences, max_blocks_per_sequence) +
         Sampler::device_bytes(plan.limits.max_rows);
}

Result<DraftStartup> plan_draft_model(const ModelChoice& choice, const Backend& backend, std::int64_t vocab_size,
                                      const DraftNeeds& needs) {
  const auto about = [](const Error& error) { return Error{"--draft-model: " + error.message, "draft-model"}; };
  Result<ModelSpec> spec = load_model_spec(choice.dir, choice.families);
  if (!spec) return about(spec.error());
  if (spec.value().config.vocab_size != vocab_size) {
    return Error{fmt::format("--draft-model has a vocabulary of {} tokens, the model one of {}",
                             spec.value().config.vocab_size, vocab_size),
                 "draft-model"};
  }
  Result<OpenedModel> model = open_model(std::move(spec).value(), choice, 0, 1, backend);
  if (!model) return about(model.error());
  DraftStartup start;
  start.model = std::move(model).value();
  start.max_sequences = needs.max_sequences;
  start.max_blocks_per_sequence = (needs.max_context + kBlockSize - 1) / kBlockSize;
  start.plan = plan_model(start.model,
                          {.max_tokens = needs.max_sequences + kCatchUpTokens,
                           .max_rows = needs.max_sequences,
                           .max_context = std::min(needs.max_context, start.model.spec.config.rope.longest_context())},
                          backend);
  start.plan.kv.groups = merge_kv_groups(start.plan.kv.groups);
  return start;
}

Result<std::unique_ptr<DraftModel>> DraftModel::create(Backend& backend, const DraftStartup& start,
                                                       std::int64_t num_blocks, std::shared_ptr<Grammars> grammars) {
  std::unique_ptr<DraftModel> draft(new DraftModel(backend, start));
  const StepLimits& limits = start.plan.limits;
  Result<std::unique_ptr<Model>> model = load_model(start.model, start.plan, backend, *draft->alone_);
  if (!model) return model.error();
  draft->model_ = std::move(model).value();
  Result<std::unique_ptr<BatchUploader>> uploader =
      BatchUploader::create(backend, limits.max_tokens, start.max_sequences, start.max_blocks_per_sequence);
  if (!uploader) return uploader.error();
  draft->uploader_ = std::move(uploader).value();
  Result<std::unique_ptr<Sampler>> sampler = Sampler::create(
      backend, *draft->alone_, start.model.spec.config.vocab_size, limits.max_rows, std::move(grammars));
  if (!sampler) return sampler.error();
  draft->sampler_ = std::move(sampler).value();
  Result<KvCache> cache = KvCache::create(backend, start.plan.kv, num_blocks);
  if (!cache) return cache.error();
  draft->cache_ = std::move(cache).value();
  Result<DecodeGraphs> graphs = DecodeGraphs::record(
      backend, *draft->alone_, {*draft->model_, *draft->uploader_, draft->cache_, draft->sampler_->sampled()},
      start.passes());
  if (!graphs) return graphs.error();
  draft->graphs_ = std::move(graphs).value();
  return draft;
}

DraftModel::DraftModel(Backend& backend, const DraftStartup& start)
    : backend_(backend),
      alone_(std::move(make_local_group(1).front())),
      max_tokens_(start.plan.limits.max_tokens),
      max_context_(start.plan.limits.max_context) {}

DraftTime DraftModel::propose(std::span<DraftTask> tasks) {
  using Clock = std::chrono::steady_clock;
  const auto us_since = [](Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
  };
  DraftTime time;
  const Clock::time_point begin = Clock::now();
  std::vector<DraftTask*> active = catch_up(tasks);
  for (std::size_t round = 1; !active.empty(); ++round) {
    std::erase_if(active, [&](const DraftTask* task) {
      return std::ssize(*task->drafts) >= task->max_tokens ||
             task->sequence->num_tokens() + static_cast<std::int64_t>(round) > max_context_;
    });
    std::vector<BatchItem> items;
    for (const DraftTask* task : active) {
      const std::int32_t begin = task->sequence->num_tokens() + static_cast<std::int32_t>(round) - 1;
      items.push_back({task->sequence, begin, 1, 1, *task->drafts});
    }
    const Clock::time_point pass = Clock::now();
    add_draft_tokens(items, active);
    if (!items.empty()) time.pass_us = us_since(pass);
  }
  for (const DraftTask& task : tasks) followed_[task.slot].proposed = *task.drafts;
  time.total_us = us_since(begin);
  return time;
}

// The draft tokens of the last time that were right have their KV already. The last of them was never computed.
std::int32_t DraftModel::num_followed(const DraftTask& task) {
  Followed& followed = followed_[task.slot];
  const std::vector<TokenId>& tokens = task.sequence->tokens;
  for (std::size_t i = 0; i + 1 < followed.proposed.size(); ++i) {
    const std::size_t position = followed.num_computed;
    if (position >= tokens.size() || tokens[position] != followed.proposed[i]) break;
    ++followed.num_computed;
  }
  followed.proposed.clear();
  return followed.num_computed;
}

// First pass: the tokens of each sequence that it has not seen, as far as they fit. Returns the tasks that it has
// caught up with; each has got its first draft token.
std::vector<DraftTask*> DraftModel::catch_up(std::span<DraftTask> tasks) {
  std::vector<BatchItem> items;
  std::vector<DraftTask*> caught_up;
  std::int64_t left = max_tokens_ - std::ssize(tasks);
  for (DraftTask& task : tasks) {
    const std::int32_t begin = num_followed(task);
    const std::int64_t missing = std::min<std::int64_t>(task.sequence->num_tokens(), max_context_) - begin;
    const auto now = static_cast<std::int32_t>(std::min(missing, left + 1));
    if (now <= 0) continue;
    left -= now - 1;
    const bool is_whole = begin + now == task.sequence->num_tokens();
    items.push_back({task.sequence, begin, now, is_whole ? 1 : 0});
    if (is_whole) caught_up.push_back(&task);
    followed_[task.slot].num_computed = begin + now;
  }
  add_draft_tokens(items, caught_up);
  return caught_up;
}

// One pass. Each of `tasks` has a row of logits, from which its next draft token is sampled.
void DraftModel::add_draft_tokens(std::vector<BatchItem>& items, std::span<DraftTask* const> tasks) {
  if (items.empty()) return;
  const Tensor logits = logits_of(make_batch(items));
  if (tasks.empty()) return backend_.synchronize();
  std::vector<SampleTask> next;
  for (const DraftTask* task : tasks) next.push_back({task->sequence, *task->drafts});
  const std::vector<SamplingOutput> sampled = sampler_->sample(logits, next);
  for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i]->drafts->push_back(sampled[i].token);
}

// f32 [num_rows, padded vocabulary], empty when no row is wanted.
Tensor DraftModel::logits_of(const Batch& batch) {
  if (const std::optional<Tensor> logits = graphs_.run(batch)) return *logits;
  const DeviceBatch device = uploader_->upload(batch);
  const Tensor hidden = model_->forward(device, cache_);
  return batch.logit_rows.empty() ? Tensor() : model_->logits(hidden, device.logit_rows);
}

}  // namespace caudal
