#include "coordinator/sequence/waiting_queue.h"

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

WaitingQueue::Age WaitingQueue::age(const Sequence& sequence) {
  return {sequence.request->request.arrival, sequence.id};
}

void WaitingQueue::insert(Sequence& sequence) {
  tenants_.begin_waiting(*sequence.request->tenant, num_waiting_with(sequence));
  link(sequence);
  const std::optional<Time> alarm = MUTANT(deadline_when_started, sequence.alarm(), sequence.request->request.deadline);
  if (alarm) alarms_.emplace(*alarm, sequence.id);
}

void WaitingQueue::erase(Sequence& sequence) {
  unlink(sequence);
  if (const auto alarm = sequence.alarm()) MUTANT_OMITS(deadline_outlives, alarms_.erase({*alarm, sequence.id}));
  tenants_.end_waiting(*sequence.request->tenant, num_waiting_with(sequence));
}

void WaitingQueue::link(Sequence& sequence) {
  CHECK(by_age_.insert(age(sequence)).second);
  const Tenant& tenant = *sequence.request->tenant;
  Rank& rank = ranks_[sequence.key.rank];
  const auto [entry, is_new] = rank.lanes.try_emplace(tenant.id);
  Lane& lane = entry->second;
  if (is_new) {
    lane.service_seen = tenant.service;
    rank.order.emplace(lane.service_seen, tenant.id);
  }
  CHECK(lane.sequences.insert(sequence.key).second);
}

void WaitingQueue::unlink(Sequence& sequence) {
  CHECK(by_age_.erase(age(sequence)) == 1);
  const auto rank = ranks_.find(sequence.key.rank);
  const auto lane = rank->second.lanes.find(sequence.request->tenant->id);
  CHECK(lane->second.sequences.erase(sequence.key) == 1);
  if (!lane->second.sequences.empty()) return;
  rank->second.order.erase({lane->second.service_seen, lane->first});
  rank->second.lanes.erase(lane);
  if (rank->second.lanes.empty()) ranks_.erase(rank);
}

Sequence& WaitingQueue::front() {
  if (oldest_every_ > 0 && turns_to_oldest_ == oldest_every_ - 1) return sequences_[by_age_.begin()->second];
  Rank& rank = ranks_.begin()->second;
  for (;;) {
    const std::uint64_t tenant_id = rank.order.begin()->second;
    Lane& lane = rank.lanes.at(tenant_id);
    Sequence& first = sequences_[lane.sequences.begin()->sequence_id];
    const std::int64_t service = first.request->tenant->service;
    if (lane.service_seen == service) return first;
    rank.order.erase(rank.order.begin());
    lane.service_seen = service;
    rank.order.emplace(service, tenant_id);
  }
}

// Once in the life of a sequence: its prompt is charged, and the next turn comes.
void WaitingQueue::count_turn(Sequence& sequence) {
  if (std::exchange(sequence.had_turn, true)) return;
  sequence.request->tenant->charge_prompt(sequence.request->num_prompt_tokens);
  if (oldest_every_ > 0) turns_to_oldest_ = (turns_to_oldest_ + 1) % oldest_every_;
}

Sequence* WaitingQueue::find_alarm(Time now) const {
  if (alarms_.empty() || alarms_.begin()->first >= now) return nullptr;
  return &sequences_[alarms_.begin()->second];
}

void WaitingQueue::check_integrity() const {
  for (const auto& [at, id] : alarms_) {
    const auto is_it = [wanted = id](const Age& age) { return age.second == wanted; };
    CHECK_MSG(std::ranges::any_of(by_age_, is_it), "an alarm outlives its sequence");
    CHECK_MSG(sequences_[id].alarm() == at, "an alarm at another time than the sequence asks for");
  }
}

QueueWalk::~QueueWalk() {
  for (const SequenceId id : shown_) queue_.link(queue_.sequences_[id]);
}

Sequence* QueueWalk::next() {
  if (queue_.size() == 0) return nullptr;
  Sequence& sequence = queue_.front();
  queue_.unlink(sequence);
  shown_.push_back(sequence.id);
  return &sequence;
}

}  // namespace caudal
