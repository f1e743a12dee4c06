// DecodeGraphs: a model's pass over a batch of one new token per sequence, recorded at start for a few sizes of batch
// and queued with one call instead of hundreds. A batch is padded to the next size. Where the device or the ranks' way
// to talk cannot be recorded there are none, and every pass is queued op by op. Of the runner for the model, of the draft
// model for itself; used by the step thread.
#pragma once

#include <memory>
#include <vector>

#include "worker/batch.h"
#include "worker/comm/communicator.h"
#include "worker/model/decoder.h"

namespace caudal {

// What a pass runs on. What is referred to stays where it is while there are graphs.
struct PassParts {
  Decoder& decoder;
  BatchUploader& uploader;
  const KvCache& cache;
  Tensor drawn;  // i32 [max_rows]: tokens that the step before draws
  const char* name = "";  // "decode steps"
};

class DecodeGraphs {
 public:
  // Numbers of sequences that are recorded: 1 2 4 8 16 32 48 64 96 128 ..., the last of them max_sequences.
  static std::vector<std::int64_t> sizes(std::int64_t max_sequences);
  static bool wanted(const Backend& backend, const Communicator& group) { return backend.queues() && group.queues(); }

  // Of all recordings together, at the most.
  static std::int64_t most_ops(const ModelConfig& config, const Partition& part, std::int64_t max_sequences) {
    return std::ssize(sizes(max_sequences)) * (1 + Decoder::most_ops(config, part));
  }

  // All ranks of the group call it, and have the same graphs after it. Logs what was recorded, or why nothing was.
  static Result<DecodeGraphs> record(Backend& backend, Communicator& group, const PassParts& parts,
                                     std::int64_t max_sequences);

  bool hold(const Batch& batch) const;

  // The logits of a batch that they hold, f32 [num_rows, padded vocabulary].
  Tensor run(Batch batch) const;

 private:
  struct Graph {
    std::int64_t num_sequences = 0;
    std::unique_ptr<Recording> recording;
    Tensor logits;  // f32 [num_sequences, padded vocabulary]
  };

  void log(const char* name, double seconds) const;

  BatchUploader* uploader_ = nullptr;
  std::vector<Graph> graphs_;  // by rising size
};

}  // namespace caudal
