// Runner: one rank of a replica. plan -> sequence table -> draft tokens -> batch -> model -> sampler -> result. Where a
// device queues ops, a second plan can be submitted while the device computes the first: tokens of the first that the
// host does not know yet are put into the second batch on the device. Used by one thread; all ranks of a group submit
// the same plans in the same order. Benchmarks and tests drive it in-process, without the network.
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
#include "worker/cache/transfers.h"
#include "worker/graphs/decode_graphs.h"
#include "worker/model/model.h"
#include "worker/runner/runner_options.h"
#include "worker/sampling/pending_scores.h"
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

  // Reads in the background what the first output that is held to a grammar needs.
  void expect_grammars();

  // Queues one step. May be called when no step is in flight, or when one is and may_overlap(plan). An Error when the
  // plan breaks its contract: the replica cannot go on.
  Result<void> submit(StepPlan plan);

  // Waits for the oldest step in flight. NaN logits are not an error but end their sequence with FinishReason::kError.
  // Ranks need not call it at the same time: none waits here for another. compute_us is the time from submit(), or from
  // the end of the step before, until the tokens are known.
  Result<StepResult> collect();

  // submit() and, once it is done, collect().
  Result<StepResult> run(StepPlan plan);

  std::size_t num_in_flight() const { return steps_.size(); }
  // Whether collect() would not wait. Of a step in which nothing is scheduled: whether a transfer has ended. It may be
  // collected before.
  bool done();
  // Whether the plan can be submitted before the tokens of the step in flight are known; the same on all ranks. It
  // cannot when that step has draft tokens or the plan asks for some, when sampling reads the earlier tokens, or when
  // the plan releases a sequence that is still being computed.
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
    std::shared_ptr<Grammars> grammars;  // null but on rank 0
    std::unique_ptr<Sampler> sampler;
    KvCache cache;
    KvCache host_cache;  // of preempted sequences
    std::unique_ptr<Drafter> drafter;
    DecodeGraphs graphs;
    DecodeGraphs draft_graphs;
  };

  using Clock = std::chrono::steady_clock;

  struct Step {
    StepResult result;  // submit() fills in the first fields, collect() the rest
    std::vector<ScheduledWork> work;
    std::unique_ptr<PendingSamples> samples;  // null when there is no work
    std::size_t num_samples = 0;
    PendingScores scores;     // of prompt tokens; there before the samples are
    bool only_waits = false;  // nothing is scheduled: for the end of a transfer, or the next plan
    Clock::time_point begin;
  };

  static Result<Parts> make_parts(Backend& backend, Communicator& group, const std::filesystem::path& model_dir,
                                  const RunnerOptions& options, const Startup& start);
  Runner(Backend& backend, Parts parts, const ReplicaInfo& info);
  void compute(Step& step);
  Tensor logits_of(const Batch& batch, std::span<const ScoreTask> scored, PendingScores& scores);
  void score(const Tensor& hidden, const Tensor& rows, std::span<const ScoreTask> tasks, PendingScores& scores);
  void advance_table(Step& step);
  void add_results(const Step& step, std::span<const SamplingOutput> sampled, std::span<TokenScores> scored,
                   StepResult& result);
  void accept(const ScheduledWork& item, std::span<const SamplingOutput> sampled, SequenceResult& out);
  void drop_later_work(SlotId slot);

  Backend& backend_;
  Parts parts_;
  ReplicaInfo info_;
  RankTransfers transfers_;
  SequenceTable table_;
  std::deque<Step> steps_;  // in flight, oldest first: at most two
  Clock::time_point last_done_;
};

}  // namespace caudal
