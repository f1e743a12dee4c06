#include "worker/process/plan_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "worker/comm/local.h"

namespace caudal {
namespace {

constexpr std::chrono::seconds kSlowestRank{30};  // they all read the same files

std::size_t host_bytes(const MemoryPlan& plan) {
  return plan.host_block_bytes * static_cast<std::size_t>(plan.num_host_blocks);
}

std::string line_of(const std::string& who, const RankMemory& memory) {
  return fmt::format("{}: {} bytes of weights, {} of workspace, {} of KV cache, {} together; {} of host memory\n", who,
                     memory.weights, memory.workspace, memory.kv, memory.weights + memory.workspace + memory.kv,
                     memory.host_kv);
}

// Numbers of 64 bits, two by two of those of 32 that hosts exchange.
Result<std::vector<RankMemory>> gather(Communicator& group, const MemoryPlan& plan) {
  const std::array<std::uint64_t, 4> mine = {plan.weights_bytes, plan.workspace_bytes, plan.kv_bytes(),
                                             host_bytes(plan)};
  std::array<std::int32_t, 8> halves{};
  std::memcpy(halves.data(), mine.data(), sizeof mine);
  const Result<std::span<const std::int32_t>> all = group.host().gather(halves);
  if (!all) return all.error();
  std::vector<RankMemory> ranks;
  for (std::size_t i = 0; i < all.value().size(); i += halves.size()) {
    std::array<std::uint64_t, 4> numbers{};
    std::memcpy(numbers.data(), all.value().data() + i, sizeof numbers);
    ranks.push_back({.weights = numbers[0], .workspace = numbers[1], .kv = numbers[2], .host_kv = numbers[3]});
  }
  return ranks;
}

}  // namespace

Result<std::string> report_plan(Backend& backend, Communicator& group, const std::filesystem::path& model,
                                const RunnerOptions& options) {
  const Result<Startup> planned = plan_startup(backend, group, model, options);
  if (!planned) return planned.error();
  const Startup& start = planned.value();
  const Result<std::vector<RankMemory>> ranks = gather(group, start.memory);
  if (!ranks) return ranks.error();
  const std::int32_t context = start.info.max_context_tokens;
  const std::int64_t blocks = (context + kBlockSize - 1) / kBlockSize * std::ssize(start.plan.kv.groups);
  std::string text = fmt::format("{}\nA context may be {} tokens long, and {} of that length fit at a time.\n",
                                 describe(start, backend), context, start.memory.num_blocks / blocks);
  RankMemory sum;
  for (std::size_t i = 0; i < ranks.value().size(); ++i) {
    const RankMemory& rank = ranks.value()[i];
    text += line_of(fmt::format("Rank {}", i), rank);
    sum = {sum.weights + rank.weights, sum.workspace + rank.workspace, sum.kv + rank.kv, sum.host_kv + rank.host_kv};
  }
  return ranks.value().size() == 1 ? text : text + line_of("All ranks", sum);
}

Result<std::string> report_plan_of_all(int ranks, const std::function<Result<std::unique_ptr<Backend>>(int rank)>& make,
                                       const std::filesystem::path& model, const RunnerOptions& options) {
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(ranks, kSlowestRank);
  std::vector<std::optional<Result<std::string>>> reports(ranks);
  std::atomic<int> first_to_fail{-1};  // others then mostly miss this rank
  const auto report = [&](int rank) -> Result<std::string> {
    Result<std::unique_ptr<Backend>> backend = make(rank);
    if (!backend) return backend.error();
    const auto gather = [](std::span<const std::byte>, std::span<std::byte>) {};  // there are no devices to know
    Result<std::unique_ptr<Communicator>> group =
        backend.value()->make_communicator(std::move(groups[rank]), gather, CommOptions());
    if (!group) return group.error();
    return report_plan(*backend.value(), *group.value(), model, options);
  };
  std::vector<std::thread> threads;
  threads.reserve(ranks);
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      reports[rank] = report(rank);
      int none = -1;
      if (!reports[rank]->ok()) first_to_fail.compare_exchange_strong(none, rank);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return std::move(*reports[std::max(first_to_fail.load(), 0)]);
}

}  // namespace caudal
