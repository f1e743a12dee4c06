// Lifecycle::check_integrity: the invariants, each with its reason. Reads everything, changes nothing.
#include <algorithm>

#include "common/check.h"
#include "coordinator/scheduler/lifecycle.h"

namespace caudal {

void Lifecycle::check_integrity() const {
  SchedulerStats seen;
  requests_.for_each([&](RequestId id, const RequestState* held) {
    const RequestState& request = *held;
    std::int32_t num_held = 0;
    for (const Sequence& sequence : request.sequences) {
      CHECK(sequence.request == &request && request.request.id == id && &sequences_[sequence.id] == &sequence);
      seen.num_waiting += sequence.state == SequenceState::kWaiting ? 1 : 0;
      seen.num_running += sequence.state == SequenceState::kRunning ? 1 : 0;
      seen.num_leaving += sequence.state == SequenceState::kLeaving ? 1 : 0;
      num_held += sequence.state != SequenceState::kEnded || sequence.residence.num_plans_in_flight > 0 ? 1 : 0;
      check_sequence(sequence);
    }
    CHECK_MSG(num_held == request.num_held && num_held > 0, "a request outlives its sequences");
    request.group->check_integrity();
  });
  const SchedulerStats counted = stats();
  CHECK_MSG(seen.num_waiting == counted.num_waiting && seen.num_running == counted.num_running &&
                seen.num_leaving == counted.num_leaving,
            "a sequence is in no state or in two");
  for (const auto& [arrival, id] : waiting_.by_age()) CHECK(sequences_[id].state == SequenceState::kWaiting);
  waiting_.check_integrity();
  placement_.check_integrity();
  check_tenants();
  for (const auto& [id, replica] : replicas_) check_replica(replica);
}

void Lifecycle::check_tenants() const {
  for (const auto& [name, tenant] : tenants_.all()) {
    std::int32_t num_requests = 0, num_waiting = 0;
    requests_.for_each([&, &mine = tenant](RequestId, const RequestState* request) {
      num_requests += request->tenant == &mine ? 1 : 0;
    });
    for (const auto& [arrival, id] : waiting_.by_age()) {
      const Sequence& sequence = sequences_[id];
      if (sequence.request->tenant == &tenant) num_waiting += WaitingQueue::num_waiting_with(sequence);
    }
    CHECK_MSG(num_requests == tenant.num_requests && num_waiting == tenant.num_waiting, "a tenant lost count");
  }
}

void Lifecycle::check_sequence(const Sequence& sequence) const {
  const Residence& residence = sequence.residence;
  const std::int32_t num_blocks = static_cast<std::int32_t>(residence.table.blocks.size());
  switch (sequence.state) {
    case SequenceState::kWaiting:
      CHECK(num_blocks == 0 && residence.num_plans_in_flight == 0);
      break;
    case SequenceState::kRunning:
      CHECK(residence.slot != kNoSlot);
      CHECK_MSG(sequence.max_known() <= residence.token_limit, "planned past the end");
      CHECK_MSG(sequence.max_computed() <= std::min(sequence.max_known(), residence.token_limit - 1),
                "planned a token that cannot be known");
      CHECK_MSG(sequence.max_computed() <= replicas_.at(residence.replica).kv().capacity(residence.table),
                "plans in flight lack a block");
      break;
    case SequenceState::kLeaving:
      CHECK(residence.slot == kNoSlot && residence.num_plans_in_flight > 0);
      break;
    case SequenceState::kEnded:
      CHECK((num_blocks > 0) == (residence.num_plans_in_flight > 0));
      break;
  }
  CHECK_MSG(
      !residence.is_arriving() || (sequence.is_running() && residence.num_plans_in_flight == 0 &&
                                   replicas_.at(residence.replica).kv().transfers().is_running(residence.arrives)),
      "blocks arrive for nobody, or are computed with before they are there");
  CHECK_MSG(sequence.num_preemptions <= config_.max_preemptions, "preempted too often");
  CHECK(residence.num_plans_in_flight >= 0 && residence.num_plans_in_flight <= config_.max_plans_in_flight);
}

// What is summed over all sequences that have something here; the rest the replica knows itself.
void Lifecycle::check_replica(const ReplicaState& replica) const {
  const BlockPool<Tier::kDevice>& pool = replica.kv().pool();
  IndexedVector<BlockId, std::int32_t> num_holders(pool.num_blocks());
  std::int32_t num_leaving_blocks = 0;
  std::size_t num_plans = 0;
  requests_.for_each([&](RequestId, const RequestState* request) {
    for (const Sequence& sequence : request->sequences) {
      const Residence& residence = sequence.residence;
      // A beam may run without blocks yet.
      if ((residence.table.blocks.empty() && !sequence.is_running()) || residence.replica != replica.id()) continue;
      for (const BlockId block : residence.table.blocks) {
        if (block != kNoBlock) ++num_holders[block];
      }
      num_plans += static_cast<std::size_t>(residence.num_plans_in_flight);
      if (!sequence.is_running()) num_leaving_blocks += residence.table.num_held();
    }
  });
  for (const PlanInFlight& plan : replica.plans_in_flight()) {
    for (const BlockId block : plan.copied) ++num_holders[block];
    num_plans -= plan.sequences.size();
  }
  IndexedVector<HostBlockId, std::int32_t> num_host_holders(replica.kv().host().num_blocks());
  replica.kv().transfers().count_references(num_holders, num_host_holders);
  for (const HostBlockId block : num_host_holders.ids()) {
    CHECK_MSG(replica.kv().host().num_references(block) == num_host_holders[block], "host memory is held by nobody");
  }
  for (const BlockId block : pool.ids()) {
    CHECK_MSG(pool.num_references(block) == num_holders[block], "reference count is not the number of holders");
  }
  CHECK(num_leaving_blocks == replica.num_leaving_blocks());
  CHECK(replica.is_alive() || replica.kv().transfers().num_running() == 0);
  CHECK_MSG(num_plans == 0, "a plan in flight names a sequence that does not know");
  replica.check_integrity(config_);
}

}  // namespace caudal
