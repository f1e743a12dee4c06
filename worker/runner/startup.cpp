#include "worker/runner/startup.h"

#include <fmt/core.h>

#include <algorithm>

#include "worker/graphs/decode_graphs.h"

namespace caudal {
namespace {

std::int64_t blocks_for(std::int64_t num_tokens) { return (num_tokens + kBlockSize - 1) / kBlockSize; }

// Rows of logits for guesses, of all sequences of a step together: guessing pays in small batches.
constexpr std::int32_t kMostDraftRows = 256;

Result<void> check_options(const RunnerOptions& options, const ModelConfig& config) {
  if (options.max_num_sequences < 1) return Error{"--max-num-sequences must be at least 1", "max-num-sequences"};
  if (options.max_tokens_per_step < options.max_num_sequences)
    return Error{"--max-tokens-per-step must be at least --max-num-sequences", "max-tokens-per-step"};
  if (options.max_draft_tokens < 0 || options.max_draft_tokens > kMaxDraftTokens)
    return Error{fmt::format("--max-draft-tokens must be from 0 to {}", kMaxDraftTokens), "max-draft-tokens"};
  if (!options.draft_model_dir.empty() && options.max_draft_tokens == 0)
    return Error{"--draft-model needs --max-draft-tokens of at least 1", "draft-model"};
  if (options.max_context_tokens < 0 || options.max_context_tokens > config.longest_context()) {
    return Error{fmt::format("--max-context-tokens must be from 2 to {}, the longest this model reaches",
                             config.longest_context()),
                 "max-context-tokens"};
  }
  return {};
}

Result<void> choose_weights(const Backend& backend, const std::filesystem::path& model_dir,
                            const RunnerOptions& options, Startup& start) {
  if (options.load_format == LoadFormat::kDummy) {
    start.weights = dummy_weights(start.config);
  } else {
    Result<std::unique_ptr<WeightSource>> source =
        open_weights(model_dir, start.config, decoder_parameters(start.config, start.part));
    if (!source) return source.error();
    start.weights = std::move(source).value();
  }
  Result<DType> dtype = choose_dtype(options.dtype, start.weights->stored_dtype(), backend);
  if (!dtype) return dtype.error();
  start.dtype = dtype.value();
  return {};
}

// The least of a number over the ranks of a group.
Result<std::int64_t> least_of_all(Communicator& group, std::int64_t number) {
  const auto mine = static_cast<std::int32_t>(std::min<std::int64_t>(number, 0x7FFFFFFF));
  const Result<std::span<const std::int32_t>> all = group.host().gather({&mine, 1});
  if (!all) return all.error();
  return std::int64_t{*std::ranges::min_element(all.value())};
}

// Guessing pays in small batches: large ones have no graphs for it.
constexpr std::int64_t kMostGuessTokens = 64;

// Which passes of the model are recorded, where they can be.
void choose_graphs(const Backend& backend, const RunnerOptions& options, Startup& start) {
  const std::int64_t sequences = options.max_num_sequences;
  start.decode = {.max_tokens = sequences, .max_sequences = sequences, .new_tokens = 1, .name = "decode steps"};
  const std::int64_t new_tokens =
      std::min<std::int64_t>(1 + options.max_draft_tokens, backend.most_recorded_tokens(start.sizes.heads.front()));
  if (new_tokens < 2) return;
  start.guesses = {.max_tokens = std::min<std::int64_t>(start.limits.max_rows, kMostGuessTokens),
                   .max_sequences = sequences,
                   .new_tokens = new_tokens,
                   .name = "decode steps with guesses"};
}

Result<void> plan_kv(Backend& backend, Communicator& group, const RunnerOptions& options, Startup& start) {
  const StepLimits& limits = start.limits;
  const std::int64_t sequences = options.max_num_sequences;
  start.sizes = {.max_tokens = limits.max_tokens,
                 .max_sequences = limits.max_rows,
                 .vocab_size = start.part.size * start.part.vocabulary.count,
                 .recorded_ops = 0,
                 .row_in_bytes = 0,
                 .row_out_bytes = 0,
                 .heads = {{.dtype = start.dtype,
                            .num_heads = start.part.heads.count,
                            .num_kv_heads = start.part.kv_heads.count,
                            .head_dim = start.config.head_dim}}};
  Decoder::widen(start.sizes, start.config, start.part, start.dtype);
  const bool drafts = start.draft && group.rank() == 0;
  choose_graphs(backend, options, start);
  if (DecodeGraphs::wanted(backend, group)) {
    for (const PassBounds& bounds : {start.decode, start.guesses})
      start.sizes.recorded_ops += DecodeGraphs::most_ops(start.config, start.part, bounds);
  }
  if (drafts && backend.queues()) {
    start.sizes.recorded_ops += DecodeGraphs::most_ops(start.draft->config, start.draft->part, start.draft->guessing());
  }
  if (start.draft) start.sizes = start.draft->at_least(start.sizes);
  MemoryNeeds needs{
      .weights_bytes = decoder_parameters(start.config, start.part).device_bytes(start.dtype),
      .workspace_bytes = Decoder::workspace_bytes(start.config, start.part, start.dtype, limits) +
                         BatchUploader::device_bytes(limits.max_tokens, sequences, start.max_blocks_per_sequence) +
                         Sampler::device_bytes(limits.max_rows) + backend.workspace_bytes(start.sizes),
      .block_bytes = kv_shape(start.config, start.part, start.dtype).block_bytes(),
      .most_useful_blocks = start.max_blocks_per_sequence * sequences};
  if (drafts) {
    needs.weights_bytes += start.draft->weights_bytes();
    needs.workspace_bytes += start.draft->workspace_bytes();
    needs.block_bytes += start.draft->block_bytes();
  }
  Result<MemoryPlan> memory = plan_memory(needs, options.kv, backend.info().free_memory_bytes);
  if (!memory && drafts) {
    return Error{memory.error().message + fmt::format(" (the draft model's {} MiB of weights among them)",
                                                      start.draft->weights_bytes() >> 20),
                 memory.error().field};
  }
  if (!memory) return memory.error();
  start.memory = memory.value();
  Result<std::int64_t> least = least_of_all(group, start.memory.num_blocks);
  if (!least) return least.error();
  start.memory.num_blocks = least.value();
  return {};
}

// What the device takes of the host's memory is not free for the host pool.
Result<void> plan_host_pool(Backend& backend, Communicator& group, const RunnerOptions& options, Startup& start) {
  const std::size_t taken = backend.info().is_host ? start.memory.total_bytes() : 0;
  const std::size_t taken_by_all = taken * static_cast<std::size_t>(options.swap.ranks_on_host);
  const std::size_t free_bytes = free_host_bytes();
  const std::size_t block_bytes = kv_shape(start.config, start.part, start.dtype).block_bytes();
  Result<void> planned =
      plan_swap(options.swap, block_bytes, free_bytes - std::min(free_bytes, taken_by_all), start.memory);
  if (!planned) return planned.error();
  Result<std::int64_t> least = least_of_all(group, start.memory.num_host_blocks);
  if (!least) return least.error();
  start.memory.num_host_blocks = least.value();
  return {};
}

// A sequence cannot outgrow the whole cache. Who asked for a length gets it or an error.
Result<std::int32_t> served_context(const RunnerOptions& options, const Startup& start) {
  const std::int64_t capacity = start.memory.num_blocks * kBlockSize;
  if (options.max_context_tokens > capacity) {
    return Error{
        fmt::format("--max-context-tokens of {} needs {} KV blocks, there is memory for {}", options.max_context_tokens,
                    blocks_for(options.max_context_tokens), start.memory.num_blocks),
        "max-context-tokens"};
  }
  return static_cast<std::int32_t>(std::min(start.limits.max_context, capacity));
}

// Kernels read whole tiles of keys and mask those outside the window: what a tile may hold has to stay.
constexpr std::int32_t kLargestKeyTile = 128;

std::int32_t attention_window(const ModelConfig& config) {
  const auto& windows = config.sliding_window;
  if (std::ranges::find(windows, 0) != windows.end()) return 0;
  return *std::ranges::max_element(windows) + kLargestKeyTile;
}

}  // namespace

Result<Startup> plan_startup(Backend& backend, Communicator& group, const std::filesystem::path& model_dir,
                             const RunnerOptions& options) {
  Startup start;
  Result<ModelConfig> config = load_model_config(model_dir);
  if (!config) return config.error();
  start.config = std::move(config).value();
  if (Result<void> checked = check_options(options, start.config); !checked) return checked.error();
  Result<Partition> part = make_partition(start.config, group.rank(), group.size());
  if (!part) return part.error();
  start.part = part.value();
  if (Result<void> chosen = choose_weights(backend, model_dir, options, start); !chosen) return chosen.error();

  const std::int64_t asked = options.max_context_tokens;
  const std::int32_t draft_rows = std::min(options.max_draft_tokens * options.max_num_sequences, kMostDraftRows);
  start.limits = {.max_tokens = options.max_tokens_per_step,
                  .max_rows = std::min(options.max_num_sequences + draft_rows, options.max_tokens_per_step),
                  .max_context = asked > 0 ? asked : start.config.default_context()};
  if (!options.draft_model_dir.empty()) {
    Result<DraftStartup> draft =
        plan_draft_model({options.draft_model_dir, options.load_format, options.dtype, options.max_num_sequences},
                         backend, start.config, start.limits.max_context);
    if (!draft) return draft.error();
    start.draft = std::move(draft).value();
  }
  start.max_blocks_per_sequence = blocks_for(start.limits.max_context);
  if (Result<void> planned = plan_kv(backend, group, options, start); !planned) return planned.error();
  if (Result<void> planned = plan_host_pool(backend, group, options, start); !planned) return planned.error();
  Result<std::int32_t> context = served_context(options, start);
  if (!context) return context.error();

  start.info.num_blocks = static_cast<std::int32_t>(start.memory.num_blocks);
  start.info.max_num_sequences = options.max_num_sequences;
  start.info.max_tokens_per_step = options.max_tokens_per_step;
  start.info.max_context_tokens = context.value();
  start.info.vocab_size = static_cast<std::int32_t>(start.config.vocab_size);
  start.info.tensor_parallel_size = group.size();
  // A draft model of its own keeps its KV under the same block ids and may see further.
  start.info.attention_window = start.draft ? 0 : attention_window(start.config);
  start.info.model_digest = start.config.digest;
  start.info.max_draft_tokens = options.max_draft_tokens;
  start.info.has_draft_model = start.draft.has_value();
  start.info.num_host_blocks = static_cast<std::int32_t>(start.memory.num_host_blocks);
  return start;
}

}  // namespace caudal
