#include "worker/runner/startup.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "kernels/factory/make_backend.h"
#include "worker/batch/batch.h"
#include "worker/sampling/sampler.h"

namespace caudal {
namespace {

std::int64_t blocks_for(std::int64_t num_tokens) { return (num_tokens + kBlockSize - 1) / kBlockSize; }

// Speculation pays in small batches. So a step has at most so many rows of logits for draft tokens, of all its
// sequences together, and only batches of at most so many tokens have graphs for it.
constexpr std::int32_t kMaxDraftRows = 256;
constexpr std::int64_t kMaxDraftGraphTokens = 64;

Result<void> check_options(const RunnerOptions& options, const ModelConfig& config) {
  if (options.max_num_sequences < 1) return Error{"--max-num-sequences must be at least 1", "max-num-sequences"};
  if (options.max_tokens_per_step < options.max_num_sequences)
    return Error{"--max-tokens-per-step must be at least --max-num-sequences", "max-tokens-per-step"};
  if (options.max_draft_tokens < 0 || options.max_draft_tokens > kMaxDraftTokens)
    return Error{fmt::format("--max-draft-tokens must be from 0 to {}", kMaxDraftTokens), "max-draft-tokens"};
  if (!options.draft_model_dir.empty() && options.max_draft_tokens == 0)
    return Error{"--draft-model needs --max-draft-tokens of at least 1", "draft-model"};
  if (options.max_context_tokens < 0 || options.max_context_tokens > config.rope.longest_context()) {
    return Error{fmt::format("--max-context-tokens must be from 2 to {}, the longest this model reaches",
                             config.rope.longest_context()),
                 "max-context-tokens"};
  }
  return {};
}

// The least of a number over the ranks of a group.
Result<std::int64_t> least_of_all(Communicator& group, std::int64_t number) {
  const auto mine = static_cast<std::int32_t>(std::min<std::int64_t>(number, 0x7FFFFFFF));
  const Result<std::span<const std::int32_t>> all = group.host().gather({&mine, 1});
  if (!all) return all.error();
  return std::int64_t{*std::ranges::min_element(all.value())};
}

StepLimits choose_limits(const RunnerOptions& options, const ModelConfig& config) {
  const std::int32_t draft_rows = std::min(options.max_draft_tokens * options.max_num_sequences, kMaxDraftRows);
  return {.max_tokens = options.max_tokens_per_step,
          .max_rows = std::min(options.max_num_sequences + draft_rows, options.max_tokens_per_step),
          .max_context = options.max_context_tokens > 0 ? options.max_context_tokens : config.rope.default_context()};
}

// The most new tokens per sequence that the device records for every layer of the model.
std::int64_t max_recorded_tokens(Recorder& recorder, const ModelPlan& plan) {
  std::int64_t tokens = 1 + kMaxDraftTokens;
  for (const HeadSizes& heads : plan.heads) tokens = std::min(tokens, recorder.max_recorded_tokens(heads));
  return tokens;
}

// Which passes of the model are recorded, where they can be.
void choose_graphs(Backend& backend, const RunnerOptions& options, Startup& start) {
  const std::int64_t sequences = options.max_num_sequences;
  start.decode = {.max_tokens = sequences, .max_sequences = sequences, .new_tokens = 1, .name = "decode steps"};
  Recorder* const recorder = backend.recorder();
  if (recorder == nullptr) return;
  const std::int64_t new_tokens =
      std::min<std::int64_t>(1 + options.max_draft_tokens, max_recorded_tokens(*recorder, start.plan));
  if (new_tokens < 2) return;
  start.drafts = {.max_tokens = std::min<std::int64_t>(start.plan.limits.max_rows, kMaxDraftGraphTokens),
                  .max_sequences = sequences,
                  .new_tokens = new_tokens,
                  .name = "decode steps with draft tokens"};
}

// What the backend has to be ready for.
void choose_sizes(Backend& backend, const Communicator& group, Startup& start) {
  start.sizes.max_tokens = start.plan.limits.max_tokens;
  start.sizes.max_sequences = start.plan.limits.max_rows;
  start.plan.widen(start.sizes);
  if (DecodeGraphs::wanted(backend, group)) {
    for (const PassBounds& bounds : {start.decode, start.drafts})
      start.sizes.recorded_ops += DecodeGraphs::max_ops(start.plan, bounds);
  }
  if (!start.draft) return;
  start.draft->plan.widen(start.sizes);
  if (group.rank() == 0 && backend.recorder() != nullptr)
    start.sizes.recorded_ops += DecodeGraphs::max_ops(start.draft->plan, start.draft->passes());
}

MemoryNeeds memory_needs(const Backend& backend, const RunnerOptions& options, bool drafts, const Startup& start) {
  const StepLimits& limits = start.plan.limits;
  const std::int64_t sequences = options.max_num_sequences;
  MemoryNeeds needs{
      .weights_bytes = start.plan.weights_bytes,
      .workspace_bytes = start.plan.workspace_bytes +
                         BatchUploader::device_bytes(limits.max_tokens, sequences, start.max_blocks_per_sequence,
                                                     start.plan.kv.groups.size()) +
                         Sampler::device_bytes(limits.max_rows) + backend.workspace_bytes(start.sizes),
      .block_bytes = start.plan.kv.block_bytes(),
      .most_useful_blocks = start.max_blocks_per_sequence * sequences * std::ssize(start.plan.kv.groups)};
  if (drafts) {
    needs.weights_bytes += start.draft->plan.weights_bytes;
    needs.workspace_bytes += start.draft->workspace_bytes();
    needs.block_bytes += start.draft->plan.kv.block_bytes();
  }
  return needs;
}

Result<void> plan_kv(Backend& backend, Communicator& group, const RunnerOptions& options, Startup& start) {
  choose_graphs(backend, options, start);
  choose_sizes(backend, group, start);
  const bool drafts = start.draft && group.rank() == 0;
  const std::size_t assumed = backend.traits().is_host ? options.assumed.host_bytes : options.assumed.device_bytes;
  const std::size_t free_bytes = assumed > 0 ? assumed : backend.info().free_memory_bytes;
  Result<MemoryPlan> memory = plan_memory(memory_needs(backend, options, drafts, start), options.kv, free_bytes);
  if (!memory && drafts) {
    return Error{memory.error().message + fmt::format(" (the draft model's {} MiB of weights among them)",
                                                      start.draft->plan.weights_bytes >> 20),
                 memory.error().field};
  }
  if (!memory) return memory.error();
  start.memory = memory.value();
  Result<std::int64_t> least = least_of_all(group, start.memory.num_blocks);
  if (!least) return least.error();
  start.memory.num_blocks = least.value();
  return {};
}

// What the device takes of the host's memory is not free for the host pool. Where they are the same memory, KV blocks
// are what it is for, and there is a host pool only if it was asked for.
Result<void> plan_host_pool(Backend& backend, Communicator& group, const RunnerOptions& options, Startup& start) {
  const std::size_t taken = backend.traits().is_host ? start.memory.total_bytes() : 0;
  const std::size_t taken_by_all = taken * static_cast<std::size_t>(options.host_blocks.ranks_on_host);
  const std::size_t free_bytes = options.assumed.host_bytes > 0 ? options.assumed.host_bytes : free_host_bytes();
  HostBlocksBudget budget = options.host_blocks;
  if (backend.traits().is_host && !budget.bytes) budget.bytes = 0;
  Result<void> planned = plan_host_blocks(budget, start.plan.kv.block_bytes(),
                                          free_bytes - std::min(free_bytes, taken_by_all), start.memory);
  if (!planned) return planned.error();
  Result<std::int64_t> least = least_of_all(group, start.memory.num_host_blocks);
  if (!least) return least.error();
  start.memory.num_host_blocks = least.value();
  return {};
}

// A sequence cannot outgrow the whole cache. A length that was asked for is served or refused.
Result<std::int32_t> served_context(const RunnerOptions& options, const Startup& start) {
  const std::int64_t num_groups = std::ssize(start.plan.kv.groups);
  const std::int64_t capacity = start.memory.num_blocks / num_groups * kBlockSize;
  if (options.max_context_tokens > capacity) {
    return Error{
        fmt::format("--max-context-tokens of {} needs {} KV blocks, there is memory for {}", options.max_context_tokens,
                    blocks_for(options.max_context_tokens) * num_groups, start.memory.num_blocks),
        "max-context-tokens"};
  }
  if (capacity == 0) {
    return Error{fmt::format("{} KV blocks cannot serve a model with {} groups of KV layers", start.memory.num_blocks,
                             num_groups),
                 "num-blocks"};
  }
  return static_cast<std::int32_t>(std::min(start.plan.limits.max_context, capacity));
}

// By group, so that the coordinator frees what no layer of it reads any more. Kernels read some keys before a window,
// too, and mask them.
std::vector<std::int32_t> kv_windows(std::span<const KvGroup> groups, const DeviceTraits& device) {
  std::vector<std::int32_t> windows;
  for (const KvGroup& group : groups) {
    const std::int64_t num_keys = std::int64_t{group.window} + device.keys_before_window;
    const auto window = std::min<std::int64_t>(num_keys, std::numeric_limits<std::int32_t>::max());
    windows.push_back(group.window == 0 ? 0 : static_cast<std::int32_t>(window));
  }
  return windows;
}

ReplicaInfo describe(const Startup& start, const DeviceTraits& device, const RunnerOptions& options, int ranks,
                     std::int32_t context) {
  ReplicaInfo info;
  info.num_blocks = static_cast<std::int32_t>(start.memory.num_blocks);
  info.max_num_sequences = options.max_num_sequences;
  info.max_tokens_per_step = options.max_tokens_per_step;
  info.max_context_tokens = context;
  info.vocab_size = static_cast<std::int32_t>(start.model.spec.config.vocab_size);
  info.topology.tensor = ranks;
  info.kv_windows = kv_windows(start.plan.kv.groups, device);
  info.model_digest = start.model.spec.config.digest;
  info.max_draft_tokens = options.max_draft_tokens;
  info.has_draft_model = start.draft.has_value();
  info.num_host_blocks = static_cast<std::int32_t>(start.memory.num_host_blocks);
  return info;
}

}  // namespace

std::string describe(const Startup& start, const Backend& backend) {
  std::string dtype = dtype_name(start.model.dtype);
  if (start.model.kv_dtype != start.model.dtype)
    dtype += fmt::format(", KV cache {},", dtype_name(start.model.kv_dtype));
  return fmt::format("{} as {} in {} of {}: {}", start.model.spec.config.architecture, dtype, backend.info().name,
                     start.model.part.size, start.memory.describe());
}

Result<Startup> plan_startup(Backend& backend, Communicator& group, const std::filesystem::path& model_dir,
                             const RunnerOptions& options) {
  Startup start;
  ModelChoice choice{model_dir,        options.load_format, options.dtype,
                     options.families, options.quantize,    options.kv_dtype};
  Result<ModelSpec> spec = load_model_spec(choice.dir, choice.families);
  if (!spec) return spec.error();
  if (Result<void> checked = check_options(options, spec.value().config); !checked) return checked.error();
  Result<OpenedModel> model = open_model(std::move(spec).value(), choice, group.rank(), group.size(), backend);
  if (!model) return model.error();
  start.model = std::move(model).value();
  const ModelConfig& config = start.model.spec.config;
  start.plan = plan_model(start.model, choose_limits(options, config), backend);
  if (!options.draft_model_dir.empty()) {
    choice.dir = options.draft_model_dir;
    Result<DraftStartup> draft =
        plan_draft_model(choice, backend, config.vocab_size,
                         {.max_sequences = options.max_num_sequences, .max_context = start.plan.limits.max_context});
    if (!draft) return draft.error();
    start.draft = std::move(draft).value();
    // It keeps its K and V under the same block ids and may see further.
    start.plan.kv.groups = merge_kv_groups(start.plan.kv.groups);
  }
  start.max_blocks_per_sequence = blocks_for(start.plan.limits.max_context);
  if (Result<void> planned = plan_kv(backend, group, options, start); !planned) return planned.error();
  if (Result<void> planned = plan_host_pool(backend, group, options, start); !planned) return planned.error();
  Result<std::int32_t> context = served_context(options, start);
  if (!context) return context.error();
  start.info = describe(start, backend.traits(), options, group.size(), context.value());
  return start;
}

}  // namespace caudal
