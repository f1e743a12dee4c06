// What the operator chooses of a runner. Read by the command line, by startup and by tests.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>

#include "common/types.h"
#include "worker/cache/host_blocks.h"
#include "worker/cache/memory_plan.h"
#include "worker/model/families/registry.h"
#include "worker/model/weights/weights.h"

namespace caudal {

// What a plan takes to be free, where that is not what is free here and now (0).
struct AssumedMemory {
  std::size_t device_bytes = 0;
  std::size_t host_bytes = 0;
};

struct RunnerOptions {
  LoadFormat load_format = LoadFormat::kSafetensors;
  DTypeChoice dtype = DTypeChoice::kAuto;
  DTypeChoice kv_dtype = DTypeChoice::kAuto;
  std::optional<StoredFormat> quantize;  // what matrices are rounded to, the draft model's too
  std::int32_t max_num_sequences = 256;
  std::int32_t max_tokens_per_step = 2048;
  std::int32_t max_context_tokens = 0;              // 0 = what the model was made for, or what the KV cache holds
  std::int32_t max_draft_tokens = kMaxDraftTokens;  // per sequence and step; 0 = no speculation
  std::filesystem::path draft_model_dir;            // a smaller model of the same vocabulary that drafts; or empty
  KvBudget kv;
  HostBlocksBudget host_blocks;
  AssumedMemory assumed;                                // of a plan that is only printed
  std::function<void()> begin_thread;                   // what threads beside the step thread do first; or empty
  std::span<const Family> families = known_families();  // what config.json may name; must outlive the runner
};

}  // namespace caudal
