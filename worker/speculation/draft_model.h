// DraftModel: a smaller model of the same vocabulary that guesses for sequences of the large one. It runs whole on
// one rank. Its K and V lie in blocks of its own under the large model's block ids, so nobody hands out blocks twice
// and its share stands in the memory plan. It may lag: a sequence that it has not followed is caught up with in
// pieces when it is asked to guess. Owned by the drafter, used by the step thread.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "worker/batch/batch.h"
#include "worker/cache/kv_cache.h"
#include "worker/graphs/decode_graphs.h"
#include "worker/model/decoder.h"
#include "worker/sampling/sampler.h"

namespace caudal {

// What is asked of a draft model.
struct DraftOptions {
  std::filesystem::path model_dir;
  LoadFormat load_format = LoadFormat::kSafetensors;
  DTypeChoice dtype = DTypeChoice::kAuto;
  std::int32_t max_num_sequences = 0;
};

// What is known about a draft model before it is loaded. Holds the whole model: partition 0 of 1.
struct DraftStartup {
  ModelConfig config;
  Partition part;
  std::unique_ptr<WeightSource> weights;
  DType dtype = DType::kF32;
  StepLimits limits;
  std::int64_t max_sequences = 0;
  std::int64_t max_blocks_per_sequence = 0;

  // The passes that guess a token and do nothing more.
  PassBounds guessing() const {
    return {.max_tokens = max_sequences, .max_sequences = max_sequences, .new_tokens = 1, .name = "guesses"};
  }
  std::size_t weights_bytes() const;
  std::size_t workspace_bytes() const;
  std::size_t block_bytes() const;            // of its KV, per block
  StepSizes at_least(StepSizes sizes) const;  // what a backend has to be ready for to run both
};

// Reads the config of `options.model_dir` and opens its weights. An Error when its vocabulary is not the
// target's. `max_context` tokens are served by the target.
Result<DraftStartup> plan_draft_model(const DraftOptions& options, const Backend& backend, const ModelConfig& target,
                                      std::int64_t max_context);

struct DraftTask {
  SlotId slot = 0;
  const SequenceRow* sequence = nullptr;
  std::int32_t max_tokens = 0;
  std::vector<TokenId>* drafts = nullptr;  // gets at most max_tokens; none while the model still lags behind
};

// Microseconds.
struct DraftTime {
  std::int64_t total_us = 0;
  std::int64_t pass_us = 0;  // one pass that guessed a token and nothing more; 0 = there was none
};

class DraftModel {
 public:
  static Result<std::unique_ptr<DraftModel>> create(Backend& backend, const DraftStartup& start,
                                                    std::int64_t num_blocks);

  // Draws as the large model will: the same parameters, counts and random numbers, over its own logits.
  DraftTime propose(std::span<DraftTask> tasks);

  void forget(SlotId slot) { followed_.erase(slot); }
  void clear() { followed_.clear(); }

 private:
  // How far it has followed the sequence of a slot.
  struct Followed {
    std::int32_t num_computed = 0;  // tokens of the sequence whose KV it has
    std::vector<TokenId> guessed;   // and of these that it believed to follow
  };

  DraftModel(Backend& backend, const DraftStartup& start);
  std::int32_t num_followed(const DraftTask& task);
  std::vector<DraftTask*> catch_up(std::span<DraftTask> tasks);
  void draw(std::vector<BatchItem>& items, std::span<DraftTask* const> drawing);
  Tensor logits_of(const Batch& batch);

  Backend& backend_;
  std::unique_ptr<Communicator> alone_;
  std::int64_t max_tokens_;  // of one pass
  std::int64_t max_context_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<BatchUploader> uploader_;
  std::unique_ptr<Sampler> sampler_;
  KvCache cache_;
  DecodeGraphs graphs_;
  std::unordered_map<SlotId, Followed> followed_;
};

}  // namespace caudal
