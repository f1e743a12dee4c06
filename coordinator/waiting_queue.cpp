#include "coordinator/waiting_queue.h"

#include "common/check.h"

namespace caudal {

void WaitingQueue::insert(Sequence& sequence) {
  CHECK(queue_.emplace(sequence.key, &sequence).second);
  const auto& deadline = sequence.request->request.deadline;
  if (deadline && !sequence.started) deadlines_.emplace(*deadline, sequence.key);
}

WaitingQueue::Iterator WaitingQueue::erase(Iterator position) {
  const Sequence& sequence = *position->second;
  if (const auto& deadline = sequence.request->request.deadline) deadlines_.erase({*deadline, sequence.key});
  return queue_.erase(position);
}

void WaitingQueue::erase(const Sequence& sequence) {
  const auto position = queue_.find(sequence.key);
  CHECK(position != queue_.end());
  erase(position);
}

Sequence* WaitingQueue::find_expired(Time now) const {
  if (deadlines_.empty() || deadlines_.begin()->first >= now) return nullptr;
  return queue_.at(deadlines_.begin()->second);
}

}  // namespace caudal
