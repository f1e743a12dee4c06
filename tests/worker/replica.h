// A replica in this process: each rank a thread with its own backend of one core, joined by the local
// communicator. What the worker's process does without the network.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/queue.h"
#include "worker/runner.h"

namespace caudal {

// What a rank talks over, given the local communicator that joins the ranks' threads. Called on each of them.
using JoinRanks = std::function<std::unique_ptr<Communicator>(Backend&, std::unique_ptr<Communicator>)>;

class TestReplica {
 public:
  // Fails the running test (and valid() is false) when a rank cannot be made. On devices other than "cpu", ranks
  // share one, and talk through the host unless `join` says otherwise.
  TestReplica(const std::filesystem::path& model_dir, int ranks, const RunnerOptions& options,
              const std::string& device = "cpu", const JoinRanks& join = {});
  ~TestReplica();

  bool valid() const { return valid_; }
  const ReplicaInfo& info() const { return info_; }

  // All ranks run the plan; expects that they agree on tokens, and returns what rank 0 says.
  StepResult run(const StepPlan& plan);

  std::vector<float> prompt_logits(const std::vector<TokenId>& tokens, std::int32_t chunk);

 private:
  struct Rank {
    std::unique_ptr<Backend> backend;
    std::unique_ptr<Communicator> group;
    std::unique_ptr<Runner> runner;
    Queue<std::function<void()>> work{4};
    std::thread thread;
  };

  void on_all_ranks(const std::function<void(int, Rank&)>& task);

  std::vector<std::unique_ptr<Rank>> ranks_;
  ReplicaInfo info_;
  bool valid_ = false;
};

}  // namespace caudal
