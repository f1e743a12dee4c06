// DraftModel: a smaller model of the same vocabulary that proposes draft tokens for sequences of the target, the large
// model. It runs whole on one rank. Its K and V have memory of their own under the target's block ids, so blocks are
// handed out once for both, and the memory plan counts them. It may lag behind: when draft tokens are asked for, it
// first computes the tokens of the sequence that it has not seen, a limited number per step. Owned by the drafter, used
// by the step thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "worker/batch/batch.h"
#include "worker/cache/kv_cache.h"
#include "worker/graphs/decode_graphs.h"
#include "worker/model/plan/model_plan.h"
#include "worker/sampling/sampler.h"

namespace caudal {

// What the target's steps ask of a draft model.
struct DraftNeeds {
  std::int64_t max_sequences = 0;
  std::int64_t max_context = 0;  // tokens that the target serves
};

// What is known about a draft model before it is loaded. It holds the whole model: partition 0 of 1.
struct DraftStartup {
  OpenedModel model;
  ModelPlan plan;
  std::int64_t max_sequences = 0;
  std::int64_t max_blocks_per_sequence = 0;

  // The passes that are recorded: those that only add a draft token to each sequence.
  PassBounds passes() const {
    return {.max_tokens = max_sequences, .max_sequences = max_sequences, .new_tokens = 1, .name = "draft tokens"};
  }
  std::size_t workspace_bytes() const;  // device memory besides weights and KV
};

// Reads the config of `choice.dir` and opens its weights. An Error when its vocabulary is not the target's.
Result<DraftStartup> plan_draft_model(const ModelChoice& choice, const Backend& backend, std::int64_t vocab_size,
                                      const DraftNeeds& needs);

struct DraftTask {
  SlotId slot = 0;
  const SequenceRow* sequence = nullptr;
  std::int32_t max_tokens = 0;
  std::vector<TokenId>* drafts = nullptr;  // gets at most max_tokens; none while the draft model lags behind
};

// Microseconds.
struct DraftTime {
  std::int64_t total_us = 0;
  std::int64_t pass_us = 0;  // the last pass that only added a draft token to each sequence; 0 = there was none
};

class DraftModel {
 public:
  static Result<std::unique_ptr<DraftModel>> create(Backend& backend, const DraftStartup& start,
                                                    std::int64_t num_blocks, std::shared_ptr<Grammars> grammars);

  // Samples as the target will, with the same parameters, counts and random numbers, but from its own logits.
  DraftTime propose(std::span<DraftTask> tasks);

  void forget(SlotId slot) { followed_.erase(slot); }
  void clear() { followed_.clear(); }

 private:
  // How far it has followed the sequence of a slot.
  struct Followed {
    std::int32_t num_computed = 0;  // tokens of the sequence whose KV it has
    std::vector<TokenId> proposed;  // the draft tokens after them; it has the KV of all but the last
  };

  DraftModel(Backend& backend, const DraftStartup& start);
  std::int32_t num_followed(const DraftTask& task);
  std::vector<DraftTask*> catch_up(std::span<DraftTask> tasks);
  void add_draft_tokens(std::vector<BatchItem>& items, std::span<DraftTask* const> tasks);
  Tensor logits_of(const Batch& batch);

  Backend& backend_;
  std::unique_ptr<Communicator> alone_;
  std::int64_t max_tokens_;  // of one pass
  std::int64_t max_context_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<BatchUploader> uploader_;
  std::unique_ptr<Sampler> sampler_;
  KvCache cache_;
  DecodeGraphs graphs_;
  std::map<SlotId, Followed> followed_;
};

}  // namespace caudal
