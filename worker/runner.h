// Runner: one rank of a replica. plan -> sequence table -> drafts -> batch -> model -> sampler -> result. Used by one
// thread; all ranks of a group run the same plans in the same order. Also driven in-process, by benchmarks
// and tests, without the network.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "worker/batch.h"
#include "worker/decode_graphs.h"
#include "worker/drafter.h"
#include "worker/kv_cache.h"
#include "worker/model/decoder.h"
#include "worker/sampler.h"
#include "worker/sequence_table.h"

namespace caudal {

struct RunnerOptions {
  LoadFormat load_format = LoadFormat::kSafetensors;
  DTypeChoice dtype = DTypeChoice::kAuto;
  std::int32_t max_num_sequences = 256;
  std::int32_t max_tokens_per_step = 2048;
  std::int32_t max_context_tokens = 0;  // 0 = what the model was made for, or what the KV cache holds
  std::int32_t max_draft_tokens = kMaxDraftTokens;  // guesses per sequence and step; 0 = never guess
  std::filesystem::path draft_model_dir;            // a smaller model of the same vocabulary that guesses; or empty
  KvBudget kv;
};

class Runner {
 public:
  // Reads config.json (and, unless dummy, the weights) of `model_dir`. Logs the memory plan before it allocates.
  // Errors name file and field, or the flag. All ranks of the group call it; `backend` and `group` must
  // outlive the runner.
  static Result<std::unique_ptr<Runner>> create(Backend& backend, Communicator& group,
                                                const std::filesystem::path& model_dir, const RunnerOptions& options);

  ReplicaInfo info() const { return info_; }

  // Runs one step. An Error when the plan breaks its contract: the replica cannot go on. NaN logits are not an
  // error but end their sequence with FinishReason::kError. compute_us is the time of the call.
  Result<StepResult> run(const StepPlan& plan);

  // Forgets all sequences: a new epoch begins.
  void clear();

  // Logits of every position of a prompt, f32 [tokens.size(), vocab_size], computed in chunks of `chunk` tokens.
  // Overwrites KV blocks from 0 on: not while sequences run. For tests and evaluation.
  std::vector<float> prompt_logits(std::span<const TokenId> tokens, std::int32_t chunk);

 private:
  // Everything that takes device memory, in the order in which it is made.
  struct Parts {
    std::unique_ptr<Decoder> decoder;
    std::unique_ptr<BatchUploader> uploader;
    std::unique_ptr<Sampler> sampler;
    KvCache cache;
    std::unique_ptr<Drafter> drafter;
    DecodeGraphs graphs;
  };

  Runner(Backend& backend, Parts parts, const ReplicaInfo& info);
  void collect(const std::vector<ScheduledWork>& work, std::span<const SamplingOutput> drawn, StepResult& result);
  void accept(const ScheduledWork& item, std::span<const SamplingOutput> drawn, SequenceResult& out);
  std::vector<SamplingOutput> compute(const std::vector<ScheduledWork>& work);
  Tensor logits_of(const Batch& batch);

  Backend& backend_;
  Parts parts_;
  ReplicaInfo info_;
  SequenceTable table_;
};

}  // namespace caudal
