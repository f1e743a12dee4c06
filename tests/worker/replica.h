// A replica in this process: each rank a thread with its own backend of one core, joined by the local
// communicator. What the worker's process does without the network.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/queue.h"
#include "worker/runner/runner.h"

namespace caudal {

// What a rank talks over, given the local communicator that joins the ranks' threads. Called on each of them.
using JoinRanks = std::function<std::unique_ptr<Communicator>(Backend&, std::unique_ptr<Communicator>)>;

class TestReplica {
 public:
  // Fails the running test (and valid() is false) when a rank cannot be made. On devices other than "cpu", ranks
  // share one, and talk through the host unless `join` says otherwise.
  TestReplica(const std::filesystem::path& model_dir, int ranks, const RunnerOptions& options,
              const std::string& device = "cpu", const JoinRanks& join = {}, bool deterministic = false);
  ~TestReplica();

  bool valid() const { return valid_; }
  const ReplicaInfo& info() const { return info_; }

  // A new epoch: all sequences are forgotten.
  void clear();

  // All ranks run the plan; expects that they agree on tokens, and returns what rank 0 says.
  StepResult run(const StepPlan& plan);

  // The same in two halves: a second plan may be submitted before the first is collected. Where it has to wait for the
  // first, the first's result is kept for collect().
  void submit(const StepPlan& plan);
  StepResult collect();
  int num_overlaps() const { return num_overlaps_; }  // plans that did not have to wait

  std::vector<float> prompt_logits(const std::vector<TokenId>& tokens, std::int32_t chunk);

 private:
  struct Rank {
    std::unique_ptr<Backend> backend;
    std::unique_ptr<Communicator> group;
    std::unique_ptr<Runner> runner;
    std::deque<StepResult> results;  // that were waited for early
    Queue<std::function<void()>> work{4};
    std::thread thread;
  };

  static void collect_one(Rank& rank);
  void on_all_ranks(const std::function<void(int, Rank&)>& task);

  std::vector<std::unique_ptr<Rank>> ranks_;
  ReplicaInfo info_;
  int num_overlaps_ = 0;
  bool valid_ = false;
};

}  // namespace caudal
