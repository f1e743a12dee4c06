// Ranks show each other their tensors by address. A collective is: show, meet, read what others show,
// meet again (nobody may write while someone still reads), write the own result. Numbers of the hosts are put into one
// of two places in turn: nobody can be two exchanges ahead of a rank that still reads.
#include "worker/comm/local.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cstring>

#include "worker/comm/ordered_sum.h"

namespace caudal {
namespace {

struct LocalGroup {
  explicit LocalGroup(int size)
      : shown(static_cast<std::size_t>(size)), meeting(size), told(static_cast<std::size_t>(size)) {}

  // What a rank told the others.
  struct Told {
    std::array<std::vector<std::int32_t>, 2> numbers;
    std::atomic<std::uint64_t> rounds{0};  // exchange n is in numbers[n % 2] once this is n + 1
  };

  std::vector<const std::byte*> shown;  // [size], rank r writes its own between meetings
  std::barrier<> meeting;
  std::vector<Told> told;  // [size]
};

class LocalExchange final : public HostExchange {
 public:
  LocalExchange(LocalGroup& group, int rank, std::chrono::milliseconds deadline)
      : HostExchange(deadline), group_(group), rank_(rank) {}

 private:
  void send(std::span<const std::int32_t> mine) override {
    group_.told[rank_].numbers[round_ % 2].assign(mine.begin(), mine.end());
    group_.told[rank_].rounds.store(round_ + 1, std::memory_order_release);
  }
  std::optional<int> awaited() override {
    const auto late = std::ranges::find_if(group_.told, [this](const LocalGroup::Told& told) {
      return told.rounds.load(std::memory_order_acquire) <= round_;
    });
    if (late != group_.told.end()) return static_cast<int>(late - group_.told.begin());
    gathered_.clear();
    for (const LocalGroup::Told& told : group_.told) {
      const std::vector<std::int32_t>& theirs = told.numbers[round_ % 2];
      gathered_.insert(gathered_.end(), theirs.begin(), theirs.end());
    }
    ++round_;
    return std::nullopt;
  }

  LocalGroup& group_;  // its communicator's
  std::size_t rank_;
  std::uint64_t round_ = 0;
};

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank, std::chrono::milliseconds deadline)
      : group_(std::move(group)), rank_(rank), exchange_(*group_, rank, deadline) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(group_->shown.size()); }
  bool queues() const override { return size() == 1; }  // there is nothing to do

  HostExchange& host() override { return exchange_; }

  void all_reduce(const Tensor& tensor) override {
    CHECK(tensor.contiguous());
    if (size() == 1) return;
    scratch_.resize(tensor.bytes());
    show(tensor);
    ordered_sum(tensor.dtype(), group_->shown, static_cast<std::size_t>(tensor.elements()), scratch_.data());
    group_->meeting.arrive_and_wait();
    std::memcpy(tensor.data(), scratch_.data(), tensor.bytes());
  }

  void all_gather_columns(const Tensor& input, const Tensor& output) override {
    CHECK(input.contiguous() && output.contiguous() && output.dim(1) == size() * input.dim(1));
    CHECK(output.dim(0) == input.dim(0) && output.dtype() == input.dtype());
    const std::size_t rows = input.dim(0);
    scratch_.resize(output.bytes());
    show(input);
    for (std::size_t r = 0; r < group_->shown.size(); ++r)
      std::memcpy(scratch_.data() + r * input.bytes(), group_->shown[r], input.bytes());
    group_->meeting.arrive_and_wait();
    if (rows != 0) place_columns(scratch_.data(), size(), rows, input.bytes() / rows, output.as<std::byte>());
  }

  void broadcast(const Tensor& tensor, int root) override {
    CHECK(tensor.contiguous());
    show(tensor);
    if (rank_ != root) std::memcpy(tensor.data(), group_->shown[root], tensor.bytes());
    group_->meeting.arrive_and_wait();
  }

 private:
  void show(const Tensor& tensor) {
    group_->shown[rank_] = tensor.as<std::byte>();
    group_->meeting.arrive_and_wait();
  }

  std::shared_ptr<LocalGroup> group_;  // with the other ranks of the group
  int rank_;
  LocalExchange exchange_;
  std::vector<std::byte> scratch_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_group(int size, std::chrono::milliseconds deadline) {
  CHECK(size >= 1);
  auto group = std::make_shared<LocalGroup>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  ranks.reserve(size);
  for (int r = 0; r < size; ++r) ranks.push_back(std::make_unique<LocalCommunicator>(group, r, deadline));
  return ranks;
}

}  // namespace caudal
