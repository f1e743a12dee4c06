#include "worker/speculation/draft_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "worker/comm/local.h"

namespace caudal {
namespace {

// Tokens that it catches up with in one step, beside one per sequence: enough to follow, too few to be felt.
constexpr std::int64_t kCatchUpTokens = 256;

}  // namespace

std::size_t DraftStartup::weights_bytes() const { return decoder_parameters(config, part).device_bytes(dtype); }

std::size_t DraftStartup::workspace_bytes() const {
  return Decoder::workspace_bytes(config, part, dtype, limits) +
         BatchUploader::device_bytes(limits.max_tokens, max_sequences, max_blocks_per_sequence) +
         Sampler::device_bytes(limits.max_rows);
}

std::size_t DraftStartup::block_bytes() const { return kv_shape(config, part, dtype).block_bytes(); }

StepSizes DraftStartup::at_least(StepSizes sizes) const {
  sizes.heads.push_back({.dtype = dtype,
                         .num_heads = part.heads.count,
                         .num_kv_heads = part.kv_heads.count,
                         .head_dim = config.head_dim});
  sizes.vocab_size = std::max(sizes.vocab_size, part.vocabulary.count);
  Decoder::widen(sizes, config, part, dtype);
  return sizes;
}

Result<DraftStartup> plan_draft_model(const DraftOptions& options, const Backend& backend, const ModelConfig& target,
                                      std::int64_t max_context) {
  const auto about = [](const Error& error) { return Error{"--draft-model: " + error.message, "draft-model"}; };
  DraftStartup start;
  Result<ModelConfig> config = load_model_config(options.model_dir);
  if (!config) return about(config.error());
  start.config = std::move(config).value();
  if (start.config.vocab_size != target.vocab_size) {
    return Error{fmt::format("--draft-model has a vocabulary of {} tokens, the model one of {}",
                             start.config.vocab_size, target.vocab_size),
                 "draft-model"};
  }
  Result<Partition> part = make_partition(start.config, 0, 1);
  if (!part) return about(part.error());
  start.part = part.value();
  if (options.load_format == LoadFormat::kDummy) {
    start.weights = dummy_weights(start.config);
  } else {
    Result<std::unique_ptr<WeightSource>> source =
        open_weights(options.model_dir, start.config, decoder_parameters(start.config, start.part));
    if (!source) return about(source.error());
    start.weights = std::move(source).value();
  }
  Result<DType> dtype = choose_dtype(options.dtype, start.weights->stored_dtype(), backend);
  if (!dtype) return about(dtype.error());
  start.dtype = dtype.value();
  start.max_sequences = options.max_num_sequences;
  start.limits = {.max_tokens = options.max_num_sequences + kCatchUpTokens,
                  .max_rows = options.max_num_sequences,
                  .max_context = std::min(max_context, start.config.longest_context())};
  start.max_blocks_per_sequence = (max_context + kBlockSize - 1) / kBlockSize;
  return start;
}

Result<std::unique_ptr<DraftModel>> DraftModel::create(Backend& backend, const DraftStartup& start,
                                                       std::int64_t num_blocks) {
  std::unique_ptr<DraftModel> model(new DraftModel(backend, start));
  WeightLoader loader(backend, *start.weights, start.dtype);
  Result<std::unique_ptr<Decoder>> decoder =
      Decoder::create(start.config, start.part, loader, *model->alone_, start.limits);
  if (!decoder) return decoder.error();
  model->decoder_ = std::move(decoder).value();
  Result<std::unique_ptr<BatchUploader>> uploader =
      BatchUploader::create(backend, start.limits.max_tokens, start.max_sequences, start.max_blocks_per_sequence);
  if (!uploader) return uploader.error();
  model->uploader_ = std::move(uploader).value();
  Result<std::unique_ptr<Sampler>> sampler =
      Sampler::create(backend, *model->alone_, start.config.vocab_size, start.limits.max_rows);
  if (!sampler) return sampler.error();
  model->sampler_ = std::move(sampler).value();
  Result<KvCache> cache = KvCache::create(backend, kv_shape(start.config, start.part, start.dtype), num_blocks);
  if (!cache) return cache.error();
  model->cache_ = std::move(cache).value();
  Result<DecodeGraphs> graphs = DecodeGraphs::record(
      backend, *model->alone_, {*model->decoder_, *model->uploader_, model->cache_, model->sampler_->drawn()},
      start.guessing());
  if (!graphs) return graphs.error();
  model->graphs_ = std::move(graphs).value();
  return model;
}

DraftModel::DraftModel(Backend& backend, const DraftStartup& start)
    : backend_(backend),
      alone_(std::move(make_local_group(1).front())),
      max_tokens_(start.limits.max_tokens),
      max_context_(start.limits.max_context) {}

DraftTime DraftModel::propose(std::span<DraftTask> tasks) {
  using Clock = std::chrono::steady_clock;
  const auto us_since = [](Clock::time_point begin) {
    return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
  };
  DraftTime time;
  const Clock::time_point begin = Clock::now();
  std::vector<DraftTask*> drawing = catch_up(tasks);
  for (std::size_t round = 1; !drawing.empty(); ++round) {
    std::erase_if(drawing, [&](const DraftTask* task) {
      return std::ssize(*task->drafts) >= task->max_tokens ||
             task->sequence->num_tokens() + static_cast<std::int64_t>(round) > max_context_;
    });
    std::vector<BatchItem> items;
    for (const DraftTask* task : drawing) {
      const std::int32_t begin = task->sequence->num_tokens() + static_cast<std::int32_t>(round) - 1;
      items.push_back({task->sequence, begin, 1, 1, *task->drafts});
    }
    const Clock::time_point pass = Clock::now();
    draw(items, drawing);
    if (!items.empty()) time.pass_us = us_since(pass);
  }
  for (const DraftTask& task : tasks) followed_[task.slot].guessed = *task.drafts;
  time.total_us = us_since(begin);
  return time;
}

// Of what it believed to follow, the part that came true has its KV already; of the last guess nothing is computed.
std::int32_t DraftModel::num_followed(const DraftTask& task) {
  Followed& followed = followed_[task.slot];
  const std::vector<TokenId>& tokens = task.sequence->tokens;
  for (std::size_t i = 0; i + 1 < followed.guessed.size(); ++i) {
    const auto position = static_cast<std::size_t>(followed.num_computed);
    if (position >= tokens.size() || tokens[position] != followed.guessed[i]) break;
    ++followed.num_computed;
  }
  followed.guessed.clear();
  return followed.num_computed;
}

// First pass: the tokens of each sequence that it has not seen, as far as they fit. Who is caught up with gets its
// first guess, and is returned.
std::vector<DraftTask*> DraftModel::catch_up(std::span<DraftTask> tasks) {
  std::vector<BatchItem> items;
  std::vector<DraftTask*> drawing;
  std::int64_t left = max_tokens_ - std::ssize(tasks);
  for (DraftTask& task : tasks) {
    const std::int32_t begin = num_followed(task);
    const std::int64_t lag = std::min<std::int64_t>(task.sequence->num_tokens(), max_context_) - begin;
    const auto now = static_cast<std::int32_t>(std::min(lag, left + 1));
    if (now <= 0) continue;
    left -= now - 1;
    const bool draws = begin + now == task.sequence->num_tokens();
    items.push_back({task.sequence, begin, now, draws ? 1 : 0});
    if (draws) drawing.push_back(&task);
    followed_[task.slot].num_computed = begin + now;
  }
  draw(items, drawing);
  return drawing;
}

// One pass; the row of logits that each of `drawing` has gives its next guess.
void DraftModel::draw(std::vector<BatchItem>& items, std::span<DraftTask* const> drawing) {
  if (items.empty()) return;
  const Tensor logits = logits_of(make_batch(items));
  if (drawing.empty()) return backend_.synchronize();
  std::vector<Draw> draws;
  for (const DraftTask* task : drawing) draws.push_back({task->sequence, *task->drafts});
  const std::vector<SamplingOutput> drawn = sampler_->sample(logits, draws);
  for (std::size_t i = 0; i < drawing.size(); ++i) drawing[i]->drafts->push_back(drawn[i].token);
}

// f32 [num_rows, padded vocabulary], empty when no row is wanted.
Tensor DraftModel::logits_of(const Batch& batch) {
  if (const std::optional<Tensor> logits = graphs_.run(batch)) return *logits;
  const DeviceBatch device = uploader_->upload(batch);
  const Tensor hidden = decoder_->forward(device, cache_);
  return batch.logit_rows.empty() ? Tensor() : decoder_->logits(hidden, device.logit_rows);
}

}  // namespace caudal
