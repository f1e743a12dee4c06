#include "coordinator/scheduler/replica_state.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/policy/scheduler_config.h"

namespace caudal {

ReplicaState::ReplicaState(BlockIndex& index, ReplicaId id, Epoch epoch, const ReplicaInfo& info)
    : id_(id),
      epoch_(epoch),
      info_(info),
      kv_(index, id, info.num_blocks, info.num_host_blocks, info.kv_windows),
      draft_length_(info) {
  for (std::int32_t slot = info.max_num_sequences - 1; slot >= 0; --slot) free_slots_.push_back(SlotId::of(slot));
}

Admission ReplicaState::admission(const SchedulerConfig& config, std::int32_t num_tokens_left) const {
  return Admission(
      config, info_,
      {.num_running = num_running(), .num_free_blocks = kv_.pool().num_free(), .num_tokens_left = num_tokens_left});
}

void ReplicaState::admit(Sequence& sequence, std::int32_t token_limit) {
  CHECK(!free_slots_.empty());
  sequence.state = SequenceState::kRunning;
  Residence& residence = sequence.residence;
  residence.replica = id_;
  residence.slot = free_slots_.back();
  free_slots_.pop_back();
  residence.token_limit = token_limit;
  const auto by_key = [](const Sequence* a, const Sequence* b) { return a->key < b->key; };
  const auto position = std::upper_bound(running_.begin(), running_.end(), &sequence, by_key);
  running_.insert(MUTANT(running_unordered, position, running_.end()), &sequence);
  num_uncomputed_tokens_ += sequence.num_uncomputed();
}

void ReplicaState::send_whole(Sequence& sequence) {
  if (std::exchange(sequence.residence.is_sent, true)) to_release_.push_back(sequence.residence.slot);
}

void ReplicaState::leave(Sequence& sequence, SequenceState next) {
  Residence& residence = sequence.residence;
  if (residence.is_sent) MUTANT_OMITS(slot_release_unsent, to_release_.push_back(residence.slot));
  MUTANT_OMITS(slot_lost, free_slots_.push_back(residence.slot));
  num_leaving_blocks_ += residence.table.num_held();
  num_uncomputed_tokens_ -= sequence.num_uncomputed();
  residence.slot = kNoSlot;
  sequence.state = next;
  has_departed_ = true;
}

void ReplicaState::remove_departed() {
  if (!std::exchange(has_departed_, false)) return;
  std::erase_if(running_, [](const Sequence* sequence) { return !sequence->is_running(); });
}

void ReplicaState::give_blocks_back(Sequence& sequence) {
  num_leaving_blocks_ -= sequence.residence.table.num_held();
  MUTANT_OMITS(blocks_leak, kv_.release(sequence.residence.table));
}

// A plan that only waits for a transfer holds up nobody: the next plan ends it.
bool ReplicaState::may_plan(std::int32_t max_plans_in_flight) const {
  const auto computes = [](const PlanInFlight& plan) { return !plan.sequences.empty(); };
  return std::ssize(in_flight_) <= max_plans_in_flight + MUTANT(plan_too_many, 0, 1) &&
         std::ranges::count_if(in_flight_, computes) < max_plans_in_flight + MUTANT(plan_too_many, 0, 1);
}

bool ReplicaState::must_hear_of_transfers() const {
  return kv_.transfers().are_due() || (kv_.transfers().num_running() > 0 && in_flight_.empty());
}

void ReplicaState::send(StepPlan& plan, PlanInFlight record) {
  plan.epoch = epoch_;
  last_step_id_ += MUTANT(step_id_twice, 1, last_step_id_ % 5 == 4 ? 0 : 1);
  plan.step_id = record.step_id = last_step_id_;
  plan.released = MUTANT(slot_released_again, std::exchange(to_release_, {}), to_release_);
  DueTransfers due = kv_.transfers().take_due();
  for (const TransferToHost& transfer : due.to_host) counters_.num_blocks_to_host += transfer.copies.size();
  for (const TransferFromHost& transfer : due.from_host) counters_.num_blocks_from_host += transfer.copies.size();
  plan.transfers_to_host = std::move(due.to_host);
  MUTANT_OMITS(no_blocks_back, plan.transfers_from_host = std::move(due.from_host));
  MUTANT_OMITS(transfer_unconfirmed, plan.confirmed_transfers = std::exchange(unconfirmed_, {}));
  in_flight_.push_back(std::move(record));
}

bool ReplicaState::is_answered_by(const StepResult& result) const {
  if (MUTANT(past_epoch_applied, result.epoch != epoch_, false) || in_flight_.empty()) return false;
  return MUTANT(any_step_answers, result.step_id == in_flight_.front().step_id, result.step_id != 0);
}

PlanInFlight ReplicaState::take_oldest() {
  PlanInFlight plan = std::move(in_flight_.front());
  in_flight_.erase(in_flight_.begin());
  return plan;
}

void ReplicaState::end_transfers(const std::vector<TransferId>& ended) {
  for (const TransferId id : ended) {
    if (!kv_.transfers().end(id)) continue;
    unconfirmed_.push_back(id);
    for (Sequence* sequence : running_) {
      if (sequence->residence.arrives == id) sequence->residence.arrives = 0;
    }
  }
}

void ReplicaState::lose() {
  is_alive_ = false;
  kv_.disown_all();
}

void ReplicaState::check_integrity(const SchedulerConfig& config) const {
  IndexedVector<SlotId, bool> is_used(info_.max_num_sequences);
  std::int64_t num_uncomputed_tokens = 0;
  for (const Sequence* sequence : running_) {
    CHECK(sequence->is_running() && sequence->residence.replica == id_);
    is_used[sequence->residence.slot] = true;
    num_uncomputed_tokens += sequence->num_uncomputed();
  }
  for (const SlotId slot : free_slots_) {
    CHECK_MSG(!is_used[slot], "a slot is free and in use, or free twice");
    is_used[slot] = true;
  }
  CHECK_MSG(std::ranges::all_of(is_used, [](bool used) { return used; }), "a slot is lost");
  CHECK(num_uncomputed_tokens == num_uncomputed_tokens_);
  const auto by_key = [](const Sequence* a, const Sequence* b) { return a->key < b->key; };
  CHECK(std::ranges::is_sorted(running_, by_key));
  CHECK(num_running() <= config.batch_sequences(info_));
  CHECK(std::ssize(in_flight_) <= config.max_plans_in_flight + 1);
}

}  // namespace caudal
