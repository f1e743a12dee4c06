// Scheduler::check_integrity: the invariants, each with its reason. Reads everything, changes nothing.
#include <algorithm>

#include "common/check.h"
#include "coordinator/scheduler/scheduler.h"

namespace caudal {

namespace {

void check_slots(const Replica& replica) {
  std::vector<bool> slot_used(replica.info.max_num_sequences, false);
  for (const Sequence* sequence : replica.running) {
    CHECK(sequence->state == SequenceState::kRunning && sequence->residence.replica == replica.id);
    slot_used[sequence->residence.slot] = true;
  }
  for (const SlotId slot : replica.free_slots) {
    CHECK_MSG(!slot_used[slot], "a slot is free and in use, or free twice");
    slot_used[slot] = true;
  }
  CHECK_MSG(std::ranges::all_of(slot_used, [](bool used) { return used; }), "a slot is lost");
}

}  // namespace

void Scheduler::check_integrity() const {
  SchedulerStats seen;
  for (const auto& [id, request] : requests_) {
    std::int32_t num_held = 0;
    for (const Sequence& sequence : request.sequences) {
      CHECK(sequence.request == &request && request.request.id == id);
      const SequenceState state = sequence.state;
      seen.num_waiting += state == SequenceState::kWaiting ? 1 : 0;
      seen.num_running += state == SequenceState::kRunning ? 1 : 0;
      seen.num_leaving += state == SequenceState::kLeaving ? 1 : 0;
      num_held += state != SequenceState::kEnded || sequence.residence.num_plans_in_flight > 0 ? 1 : 0;
      check_sequence(sequence);
    }
    CHECK_MSG(num_held == request.num_held && num_held > 0, "a request outlives its sequences");
    if (request.beams) check_beams(request);
  }
  const SchedulerStats told = stats();
  CHECK_MSG(seen.num_waiting == told.num_waiting && seen.num_running == told.num_running &&
                seen.num_leaving == told.num_leaving,
            "a sequence is in no state or in two");
  for (const auto& [age, sequence] : waiting_.by_age()) CHECK(sequence->state == SequenceState::kWaiting);
  waiting_.check_integrity();
  for (const auto& [name, tenant] : tenants_.all()) {
    std::int32_t num_requests = 0, num_waiting = 0;
    for (const auto& [id, request] : requests_) num_requests += request.tenant == &tenant ? 1 : 0;
    for (const auto& [age, sequence] : waiting_.by_age()) num_waiting += sequence->request->tenant == &tenant ? 1 : 0;
    CHECK_MSG(num_requests == tenant.num_requests && num_waiting == tenant.num_waiting, "a tenant lost count");
  }
  for (const auto& [replica, sequences] : placed_) {
    CHECK_MSG(replicas_.at(replica).alive, "a place on a replica that is gone");
    for (const Sequence* sequence : sequences) {
      CHECK_MSG(sequence->state == SequenceState::kWaiting, "a place for a sequence that does not wait");
    }
  }
  block_index_.check_integrity();
  std::size_t num_published = 0;
  for (const auto& [id, replica] : replicas_) {
    num_published += replica.kv.pool().check_integrity();
    check_replica(replica);
  }
  CHECK_MSG(num_published == block_index_.num_locations(), "the index finds a block that nobody published");
}

void Scheduler::check_sequence(const Sequence& sequence) const {
  const Residence& residence = sequence.residence;
  const std::int32_t num_blocks = static_cast<std::int32_t>(residence.table.blocks.size());
  switch (sequence.state) {
    case SequenceState::kWaiting:
      CHECK(num_blocks == 0 && residence.num_plans_in_flight == 0);
      break;
    case SequenceState::kRunning:
      CHECK(residence.slot >= 0);
      CHECK_MSG(sequence.max_known() <= residence.token_limit, "planned past the end");
      CHECK_MSG(sequence.max_computed() <= std::min(sequence.max_known(), residence.token_limit - 1),
                "planned a token that cannot be known");
      CHECK_MSG(blocks_for(sequence.max_computed()) <= num_blocks, "plans in flight lack a block");
      break;
    case SequenceState::kLeaving:
      CHECK(residence.slot == -1 && residence.num_plans_in_flight > 0);
      break;
    case SequenceState::kEnded:
      CHECK((num_blocks > 0) == (residence.num_plans_in_flight > 0));
      break;
  }
  CHECK_MSG(!sequence.host.exists() || sequence.state == SequenceState::kWaiting, "KV in host memory outlives its use");
  CHECK_MSG(sequence.num_preemptions <= config_.max_preemptions, "preempted too often");
  CHECK(residence.num_plans_in_flight >= 0 && residence.num_plans_in_flight <= config_.max_plans_in_flight);
}

void Scheduler::check_replica(const Replica& replica) const {
  const BlockPool& pool = replica.kv.pool();
  replica.host.check_integrity();
  std::int32_t num_host_copies = 0;
  std::vector<std::int32_t> num_holders(pool.num_blocks(), 0);
  std::int32_t num_leaving_blocks = 0;
  std::int64_t num_uncomputed_tokens = 0;
  std::size_t num_plans = 0;
  for (const auto& [id, request] : requests_) {
    for (const Sequence& sequence : request.sequences) {
      const Residence& residence = sequence.residence;
      num_host_copies += sequence.host.exists() && sequence.host.replica == replica.id ? 1 : 0;
      const bool is_running = sequence.state == SequenceState::kRunning;  // a beam may do so without blocks yet
      if ((residence.table.blocks.empty() && !is_running) || residence.replica != replica.id) continue;
      for (const BlockId block : residence.table.blocks) {
        if (block != kNoBlock) ++num_holders[block];
      }
      num_plans += residence.num_plans_in_flight;
      if (is_running) {
        num_uncomputed_tokens += sequence.num_uncomputed();
      } else {
        num_leaving_blocks += residence.table.num_held();
      }
    }
  }
  for (const PlanInFlight& plan : replica.in_flight) {
    for (const BlockId block : plan.copied) ++num_holders[block];
  }
  for (BlockId block = 0; block < pool.num_blocks(); ++block) {
    CHECK_MSG(pool.num_references(block) == num_holders[block], "reference count is not the number of holders");
  }
  CHECK(num_leaving_blocks == replica.num_leaving_blocks);
  CHECK_MSG(num_host_copies == replica.host.num_copies(),
            "host memory keeps something for nobody, or nothing for somebody");
  CHECK(replica.alive || num_host_copies == 0);
  CHECK(num_uncomputed_tokens == replica.num_uncomputed_tokens);
  for (const PlanInFlight& plan : replica.in_flight) num_plans -= plan.sequences.size();
  CHECK_MSG(num_plans == 0, "a plan in flight names a sequence that does not know");

  const auto by_key = [](const Sequence* a, const Sequence* b) { return a->key < b->key; };
  CHECK(std::ranges::is_sorted(replica.running, by_key));
  CHECK(replica.num_running() <= config_.batch_sequences(replica.info));
  CHECK(std::ssize(replica.in_flight) <= config_.max_plans_in_flight);
  check_slots(replica);
}

}  // namespace caudal
