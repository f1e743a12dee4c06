// Runner: one rank of a replica. plan -> sequence table -> drafts -> batch -> model -> sampler -> result. Where ops are
// queued, a second plan can be submitted while the device is still at the first: tokens of the first that the host does
// not know are taken on the device. Used by one thread; all ranks of a group submit the same plans in the same order.
// Also driven in-process, by benchmarks and tests, without the network.
#pragma once

#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "worker/batch/batch.h"
#include "worker/batch/sequence_table.h"
#include "worker/cache/kv_cache.h"
#include "worker/graphs/decode_graphs.h"
#include "worker/model/model.h"
#include "worker/runner/runner_options.h"
#include "worker/sampling/sampler.h"
#include "worker/speculation/drafter.h"

namespace caudal {

struct Startup;

class Runner {
 public:
  // Reads config.json (and, unless dummy, the weights) of `model_dir`. Logs the memory plan before it allocates.
  // Errors name file and field, or the flag. All ranks of the group call it; `backend` and `group` must
  // outlive the runner.
  static Result<std::unique_ptr<Runner>> create(Backend& backend, Communicator& group,
                                                const std::filesystem::path& model_dir, const RunnerOptions& options);

  ReplicaInfo info() const { return info_; }

  // Queues one step. An Error when the plan breaks its contract: the replica cannot go on. Only when nothing is in
  // flight, or one step is and may_overlap(plan).
  Result<void> submit(const StepPlan& plan);

  // Waits for the oldest step in flight. NaN logits are not an error but end their sequence with FinishReason::kError.
  // No rank waits for another to call it, so each may call it in its own time. compute_us goes from submit(), or from
  // when the step before was done, to having the tokens.
  Result<StepResult> collect();

  // submit() and collect().
  Result<StepResult> run(const StepPlan& plan);

  std::size_t num_in_flight() const { return steps_.size(); }
  // Whether collect() would not wait.
  bool done() const { return steps_.empty() || !steps_.front().draws || steps_.front().draws->ready(); }
  // Whether the plan can be submitted before the step in flight has told its tokens; the same on all ranks. Not when a
  // guess is or will be made, a draw looks at tokens, or a sequence is to leave that is still being computed.
  bool may_overlap(const StepPlan& plan) const;

  // Forgets all sequences and steps: a new epoch begins.
  void clear();

  // Logits of every position of a prompt, f32 [tokens.size(), vocab_size], computed in chunks of `chunk` tokens.
  // Overwrites KV blocks from 0 on: not while sequences run. For tests and evaluation.
  std::vector<float> prompt_logits(std::span<const TokenId> tokens, std::int32_t chunk);

 private:
  // Everything that takes device memory, in the order in which it is made.
  struct Parts {
    std::unique_ptr<Model> model;
    std::unique_ptr<BatchUploader> uploader;
    std::unique_ptr<Sampler> sampler;
    KvCache cache;
    KvCache host_cache;  // of preempted sequences
    std::unique_ptr<Drafter> drafter;
    DecodeGraphs graphs;
    DecodeGraphs draft_graphs;
  };

  using Clock = std::chrono::steady_clock;

  struct Step {
    StepResult result;  // of which submit() knows the beginning
    std::vector<ScheduledWork> work;
    std::unique_ptr<PendingSamples> draws;  // null when there is no work
    std::size_t num_draws = 0;
    Clock::time_point begin;
  };

  static Result<Parts> make_parts(Backend& backend, Communicator& group, const Startup& start);
  Runner(Backend& backend, Parts parts, const ReplicaInfo& info);
  void compute(Step& step);
  Tensor logits_of(const Batch& batch);
  void promise(std::vector<ScheduledWork>& work);
  void tell(const Step& step, std::span<const SamplingOutput> drawn, StepResult& result);
  void accept(const ScheduledWork& item, std::span<const SamplingOutput> drawn, SequenceResult& out);
  void drop_later_work(SlotId slot);

  Backend& backend_;
  Parts parts_;
  ReplicaInfo info_;
  SequenceTable table_;
  std::deque<Step> steps_;  // in flight, oldest first: at most two
  Clock::time_point last_done_;
};

}  // namespace caudal
