#include "tests/worker/replica.h"

#include <gtest/gtest.h>

#include <latch>

#include "common/log.h"
#include "kernels/comm/staged.h"
#include "kernels/factory/make_backend.h"
#include "worker/comm/local.h"

namespace caudal {

TestReplica::TestReplica(const std::filesystem::path& model_dir, int ranks, const RunnerOptions& options,
                         const std::string& device, const JoinRanks& join, bool deterministic) {
  log_init("test", LogLevel::kWarning);
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(ranks);
  for (std::unique_ptr<Communicator>& group : groups) {
    auto rank = std::make_unique<Rank>();
    BackendOptions one_thread;
    one_thread.num_threads = 1;
    one_thread.device = device;
    one_thread.deterministic = deterministic;
    rank->backend = std::move(make_backend(one_thread)).value();
    rank->group = std::move(group);
    rank->thread = std::thread([r = rank.get()] {
      while (std::optional<std::function<void()>> task = r->work.pop()) (*task)();
    });
    ranks_.push_back(std::move(rank));
  }
  std::vector<std::string> errors(ranks_.size());
  on_all_ranks([&](int r, Rank& rank) {
    if (join) {
      rank.group = join(*rank.backend, std::move(rank.group));
    } else if (device != "cpu" && ranks > 1) {
      rank.group = make_staged_communicator(*rank.backend, std::move(rank.group));
    }
    Result<std::unique_ptr<Runner>> runner = Runner::create(*rank.backend, *rank.group, model_dir, options);
    if (runner) {
      rank.runner = std::move(runner).value();
    } else {
      errors[static_cast<std::size_t>(r)] = runner.error().message;
    }
  });
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  valid_ = ranks_.front()->runner != nullptr;
  if (valid_) info_ = ranks_.front()->runner->info();
}

TestReplica::~TestReplica() {
  for (auto& rank : ranks_) rank->work.close();
  for (auto& rank : ranks_) rank->thread.join();
}

void TestReplica::clear() {
  on_all_ranks([](int, Rank& rank) { rank.runner->clear(); });
}

StepResult TestReplica::run(const StepPlan& plan) {
  submit(plan);
  return collect();
}

void TestReplica::submit(const StepPlan& plan) {
  std::vector<int> overlaps(ranks_.size());
  on_all_ranks([&](int r, Rank& rank) {
    if (rank.runner->num_in_flight() > 0 && !rank.runner->may_overlap(plan)) collect_one(rank);
    const Result<void> submitted = rank.runner->submit(plan);
    EXPECT_TRUE(submitted.ok()) << submitted.error().message;
    overlaps[static_cast<std::size_t>(r)] = rank.runner->num_in_flight() > 1 ? 1 : 0;
  });
  for (const int overlap : overlaps) EXPECT_EQ(overlap, overlaps.front());
  num_overlaps_ += overlaps.front();
}

StepResult TestReplica::collect() {
  std::vector<StepResult> results(ranks_.size());
  on_all_ranks([&](int r, Rank& rank) {
    if (rank.results.empty()) collect_one(rank);
    results[static_cast<std::size_t>(r)] = std::move(rank.results.front());
    rank.results.pop_front();
  });
  for (const StepResult& result : results) {
    EXPECT_EQ(result.sequences.size(), results.front().sequences.size());
    for (std::size_t i = 0; i < result.sequences.size(); ++i) {
      EXPECT_EQ(result.sequences[i].tokens, results.front().sequences[i].tokens);
      EXPECT_EQ(result.sequences[i].finish_reason, results.front().sequences[i].finish_reason);
    }
  }
  return results.front();
}

void TestReplica::collect_one(Rank& rank) {
  Result<StepResult> result = rank.runner->collect();
  EXPECT_TRUE(result.ok()) << result.error().message;
  rank.results.push_back(result ? std::move(result).value() : StepResult());
  // An emulated stream moves only when someone waits, and another rank may need what is queued behind.
  if (rank.group->size() > 1) rank.backend->synchronize();
}

std::vector<float> TestReplica::prompt_logits(const std::vector<TokenId>& tokens, std::int32_t chunk) {
  std::vector<float> logits;
  on_all_ranks([&](int r, Rank& rank) {
    std::vector<float> mine = rank.runner->prompt_logits(tokens, chunk);
    if (r == 0) logits = std::move(mine);
  });
  return logits;
}

void TestReplica::on_all_ranks(const std::function<void(int, Rank&)>& task) {
  std::latch done(static_cast<std::ptrdiff_t>(ranks_.size()));
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    ranks_[r]->work.push([&, r] {
      task(static_cast<int>(r), *ranks_[r]);
      done.count_down();
    });
  }
  done.wait();
}

}  // namespace caudal
