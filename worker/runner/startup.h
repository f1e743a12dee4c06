// Everything a runner decides before it allocates: config, partition, dtype, limits and the memory plan.
// All ranks of a group come to the same number of blocks, the least that any of them has room for.
#pragma once

#include <optional>

#include "worker/runner/runner.h"

namespace caudal {

struct Startup {
  ModelConfig config;
  Partition part;
  std::unique_ptr<WeightSource> weights;
  DType dtype = DType::kF32;
  StepLimits limits;
  StepSizes sizes;
  PassBounds decode, guesses;         // that are recorded as graphs, where they can be
  std::optional<DraftStartup> draft;  // whole on rank 0
  std::int64_t max_blocks_per_sequence = 0;
  MemoryPlan memory;
  ReplicaInfo info;
};

Result<Startup> plan_startup(Backend& backend, Communicator& group, const std::filesystem::path& model_dir,
                             const RunnerOptions& options);

}  // namespace caudal
