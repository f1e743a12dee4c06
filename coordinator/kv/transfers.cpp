#include "coordinator/kv/transfers.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

TransferId Transfers::to_host(const std::vector<TransferSource<Tier::kDevice>>& sources) {
  Running<Tier::kDevice, Tier::kHost>& running = to_host_.emplace_back();
  running.transfer.id = ++last_id_;
  for (const auto& [block, content] : sources) {
    MUTANT_OMITS(transfer_source_free, device_.retain(block));
    running.transfer.copies.push_back({.source = block, .destination = host_.allocate()});
    MUTANT_ADDS(transfer_destination_free, host_.release(running.transfer.copies.back().destination));
    running.contents.push_back(content);
    MUTANT_ADDS(published_on_the_way, host_.publish(running.transfer.copies.back().destination, content));
  }
  due_.to_host.push_back(running.transfer);
  return last_id_;
}

TransferId Transfers::from_host(const std::vector<TransferSource<Tier::kHost>>& sources,
                                const std::vector<BlockId>& destinations, bool publish) {
  CHECK(sources.size() == destinations.size());
  Running<Tier::kHost, Tier::kDevice>& running = from_host_.emplace_back();
  running.transfer.id = ++last_id_;
  for (std::size_t i = 0; i < sources.size(); ++i) {
    MUTANT_OMITS(transfer_source_free, host_.retain(sources[i].block));
    MUTANT_OMITS(transfer_destination_free, device_.retain(destinations[i]));
    running.transfer.copies.push_back({.source = sources[i].block, .destination = destinations[i]});
    if (publish) running.contents.push_back(sources[i].content);
  }
  due_.from_host.push_back(running.transfer);
  return last_id_;
}

namespace {

bool has_id(const auto& running, TransferId id) {
  return std::ranges::any_of(running, [&](const auto& one) { return one.transfer.id == id; });
}

}  // namespace

bool Transfers::is_running(TransferId id) const { return has_id(to_host_, id) || has_id(from_host_, id); }

bool Transfers::is_source(BlockId block) const {
  return std::ranges::any_of(to_host_, [&](const auto& running) {
    return std::ranges::any_of(running.transfer.copies, [&](const CopyToHost& copy) { return copy.source == block; });
  });
}

std::int32_t Transfers::num_departing() const {
  std::int32_t num_departing = 0;
  const auto count = [&](BlockId block) { num_departing += device_.num_references(block) == 1 ? 1 : 0; };
  for (const auto& running : to_host_)
    for (const CopyToHost& copy : running.transfer.copies) count(copy.source);
  for (const auto& running : from_host_)
    for (const CopyFromHost& copy : running.transfer.copies) count(copy.destination);
  return num_departing;
}

template <Tier from, Tier to>
bool Transfers::end(TransferId id, std::vector<Running<from, to>>& running, BlockPool<from>& sources,
                    BlockPool<to>& destinations, bool has_arrived) {
  const auto ended = std::ranges::find_if(running, [&](const auto& one) { return one.transfer.id == id; });
  if (ended == running.end()) return false;
  const auto& copies = ended->transfer.copies;
  if (has_arrived) {
    for (std::size_t i = 0; i < ended->contents.size(); ++i)
      destinations.publish(copies[i].destination, ended->contents[i]);
  }
  // The last block first, so that a pool loses ends before beginnings.
  for (auto copy = copies.rbegin(); copy != copies.rend(); ++copy) {
    MUTANT_OMITS(transfer_source_free, sources.release(copy->source));
    MUTANT_OMITS(transfer_destination_free, destinations.release(copy->destination));
  }
  running.erase(ended);
  return true;
}

bool Transfers::end(TransferId id) {
  if (id > last_told_) return false;
  return end(id, to_host_, device_, host_, true) || end(id, from_host_, host_, device_, true);
}

void Transfers::drop_all() {
  while (!to_host_.empty()) end(to_host_.front().transfer.id, to_host_, device_, host_, false);
  while (!from_host_.empty()) end(from_host_.front().transfer.id, from_host_, host_, device_, false);
  due_ = {};
}

void Transfers::count_references(IndexedVector<BlockId, std::int32_t>& device,
                                 IndexedVector<HostBlockId, std::int32_t>& host) const {
  const auto count = [](const auto& running, auto& sources, auto& destinations) {
    for (const auto& one : running) {
      for (const auto& copy : one.transfer.copies) {
        ++sources[copy.source];
        ++destinations[copy.destination];
      }
    }
  };
  count(to_host_, device, host);
  count(from_host_, host, device);
}

}  // namespace caudal
