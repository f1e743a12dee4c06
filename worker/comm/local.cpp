// Ranks show each other their tensors by address. A collective is: show, meet, read what others show,
// meet again (nobody may write while someone still reads), write the own result.
#include "worker/comm/local.h"

#include <barrier>
#include <cstring>

#include "worker/comm/ordered_sum.h"

namespace caudal {
namespace {

struct LocalGroup {
  explicit LocalGroup(int size) : shown(static_cast<std::size_t>(size)), meeting(size) {}

  std::vector<const std::byte*> shown;  // [size], rank r writes its own between meetings
  std::barrier<> meeting;
};

class LocalCommunicator final : public Communicator {
 public:
  LocalCommunicator(std::shared_ptr<LocalGroup> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(group_->shown.size()); }
  bool queues() const override { return size() == 1; }  // there is nothing to do

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
    const auto rows = static_cast<std::size_t>(input.dim(0));
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
    if (rank_ != root) std::memcpy(tensor.data(), group_->shown[static_cast<std::size_t>(root)], tensor.bytes());
    group_->meeting.arrive_and_wait();
  }

 private:
  void show(const Tensor& tensor) {
    group_->shown[static_cast<std::size_t>(rank_)] = tensor.as<std::byte>();
    group_->meeting.arrive_and_wait();
  }

  std::shared_ptr<LocalGroup> group_;  // with the other ranks of the group
  int rank_;
  std::vector<std::byte> scratch_;
};

}  // namespace

std::vector<std::unique_ptr<Communicator>> make_local_group(int size) {
  CHECK(size >= 1);
  auto group = std::make_shared<LocalGroup>(size);
  std::vector<std::unique_ptr<Communicator>> ranks;
  for (int r = 0; r < size; ++r) ranks.push_back(std::make_unique<LocalCommunicator>(group, r));
  return ranks;
}

}  // namespace caudal
