#include "worker/cache/transfers.h"

#include <algorithm>

namespace caudal {

void RankTransfers::start(const StepPlan& plan) {
  for (const TransferToHost& transfer : plan.transfers_to_host)
    start(transfer.id, device_.copies_to(host_, block_pairs(transfer.copies)));
  for (const TransferFromHost& transfer : plan.transfers_from_host)
    start(transfer.id, host_.copies_to(device_, block_pairs(transfer.copies)));
}

void RankTransfers::start(TransferId id, BlockCopies copies) {
  ids_.push_back(id);
  stream_->start(std::move(copies));
}

// Copies end in the order of their start, so the last one of them counts.
Result<void> RankTransfers::join(const std::vector<TransferId>& confirmed) {
  for (const TransferId id : confirmed) {
    const auto found = std::ranges::find(ids_, id);
    if (found == ids_.end()) return Error{"the plan breaks its contract: an unknown transfer is confirmed", "plan"};
    stream_->join(num_forgotten_ + static_cast<std::uint64_t>(found - ids_.begin()) + 1);
  }
  // Those in front are done, and told of.
  for (const TransferId id : confirmed) {
    if (const auto found = std::ranges::find(ids_, id); found != ids_.end()) *found = TransferId(0);
  }
  for (; !ids_.empty() && ids_.front() == TransferId(0); ids_.pop_front()) ++num_forgotten_;
  num_told_ = std::max(num_told_, num_forgotten_);
  return {};
}

std::vector<TransferId> RankTransfers::take_ended() {
  std::vector<TransferId> ended;
  for (const std::uint64_t num_done = stream_->num_done(); num_told_ < num_done; ++num_told_) {
    const TransferId id = ids_[num_told_ - num_forgotten_];
    if (id != TransferId(0)) ended.push_back(id);  // else another rank was faster, and the plan has confirmed it
  }
  return ended;
}

void RankTransfers::wait_for_end() {
  if (num_told_ < stream_->num_started()) stream_->wait(num_told_ + 1);
}

void RankTransfers::clear() {
  stream_->wait(stream_->num_started());
  num_told_ = num_forgotten_ = stream_->num_started();
  ids_.clear();
}

}  // namespace caudal
