// Everything a runner decides before it allocates: model, partition, dtype, limits and the memory plan.
// All ranks of a group come to the same number of blocks, the least that any of them has room for.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "kernels/comm/communicator.h"
#include "worker/cache/memory_plan.h"
#include "worker/graphs/decode_graphs.h"
#include "worker/model/plan/model_plan.h"
#include "worker/runner/runner_options.h"
#include "worker/speculation/draft_model.h"

namespace caudal {

struct Startup {
  OpenedModel model;
  ModelPlan plan;  // of the model
  StepSizes sizes;
  PassBounds decode, drafts;          // passes that are recorded as graphs, where they can be
  std::optional<DraftStartup> draft;  // whole on rank 0
  std::int64_t max_blocks_per_sequence = 0;
  MemoryPlan memory;
  ReplicaInfo info;
};

// "LlamaForCausalLM as bf16 in cpu of 2: weights 494.0 MiB, ..."
std::string describe(const Startup& start, const Backend& backend);

Result<Startup> plan_startup(Backend& backend, Communicator& group, const std::filesystem::path& model_dir,
                             const RunnerOptions& options);

}  // namespace caudal
