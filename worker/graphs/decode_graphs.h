// DecodeGraphs: passes of a model over batches of one new token per sequence, or of one and its draft tokens. They are
// recorded at start for a few sizes of batch, and then queued with one call instead of hundreds; a batch is padded to
// the next size. Where the device or the communicator cannot be recorded there are no graphs, and every pass is queued
// op by op. The runner owns those of the target, the draft model owns its own. Used by the step thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/comm/communicator.h"
#include "worker/batch/batch.h"
#include "worker/model/plan/model_plan.h"

namespace caudal {

// What a pass runs on. All of it must stay where it is as long as the graphs live.
struct PassParts {
  Model& model;
  BatchUploader& uploader;
  const KvCache& cache;
  Tensor sampled;  // i32 [max_rows]: tokens that the step before samples
};

// The batches that graphs are to be recorded for. Each token has a row of logits.
struct PassBounds {
  std::int64_t max_tokens = 0;     // of a batch; 0 = none
  std::int64_t max_sequences = 0;  // of a batch
  std::int64_t new_tokens = 1;     // of a sequence
  const char* name = "";           // of such passes, for the log
};

class DecodeGraphs {
 public:
  // The numbers of tokens that are recorded: 1 2 4 8 16 32 48 64 96 128 ..., up to max_tokens.
  static std::vector<std::int64_t> sizes(std::int64_t max_tokens);
  static bool wanted(Backend& backend, const Communicator& group) {
    return backend.recorder() != nullptr && group.queues();
  }

  // The ops of all recordings of such passes together, at the most.
  static std::int64_t max_ops(const ModelPlan& plan, const PassBounds& bounds) {
    constexpr std::int64_t kTakenTokens = 1;  // the op that puts sampled tokens into the batch
    return std::ssize(sizes(bounds.max_tokens)) * (kTakenTokens + plan.num_ops);
  }

  // All ranks of the group call it, and all then have the same graphs. Logs what was recorded, or why nothing was.
  static Result<DecodeGraphs> record(Backend& backend, Communicator& group, const PassParts& parts,
                                     const PassBounds& bounds);

  // The logits of a batch, f32 [num_rows, padded vocabulary]. Nothing when no graph is large enough for it.
  std::optional<Tensor> run(const Batch& batch) const;

 private:
  struct Graph {
    std::int64_t num_tokens = 0;
    std::int64_t num_sequences = 0;
    std::unique_ptr<Recording> recording;
    Tensor logits;  // f32 [num_tokens, padded vocabulary]
  };

  void log(const char* name, double seconds) const;
  const Graph* find(const Batch& batch) const;

  BatchUploader* uploader_ = nullptr;
  std::int64_t new_tokens_ = 1;
  std::vector<Graph> graphs_;  // by rising size
};

}  // namespace caudal
