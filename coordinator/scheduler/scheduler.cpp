// Scheduler: who is there. Requests and replicas come and go; a sequence changes its state only here.
#include "coordinator/scheduler/scheduler.h"

#include <limits>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

Scheduler::Scheduler(SchedulerConfig config, std::unique_ptr<QueuePolicy> policy)
    : config_(std::move(config)),
      prefix_cache_(config_, block_index_),
      policy_(std::move(policy)),
      tenants_(config_.tenants),
      waiting_(tenants_, config_.oldest_every) {}

namespace {

// Whether somebody waits to hear of it.
bool is_choice(const Sequence& sequence) {
  const RequestState& request = *sequence.request;
  if (!request.beams) return true;
  return sequence.index < request.request.num_sequences &&
         !request.beams->unwanted[static_cast<std::size_t>(sequence.index)];
}

}  // namespace

Demand Scheduler::demand_of(const Sequence& sequence) const {
  return {.num_prompt_tokens = sequence.request->num_prompt_tokens,
          .max_new_tokens = sequence.request->request.stop.max_tokens,
          .num_tokens = sequence.num_tokens(),
          .cached = {},
          .never_preempted = MUTANT(endless_preemption, sequence.num_preemptions >= config_.max_preemptions, false),
          .num_beams = sequence.is_beam() ? sequence.request->request.num_running() : 1};
}

// Half of what the fastest replica is measured to need, with what it has cached: a slow neighbour must not turn
// requests away. 0 while any replica is unmeasured.
Time Scheduler::best_case_us(Sequence& sequence) const {
  const Request& request = sequence.request->request;
  if (!request.deadline && request.ttft_target_us == 0) return 0;  // nobody asks
  std::optional<Time> best;
  for (const auto& [id, replica] : replicas_) {
    if (!replica.alive) continue;
    const StepBudget& measured = replica.step_budget;
    const std::int64_t num_uncached =
        sequence.num_tokens() - std::int64_t{prefix_cache_.probe(sequence, replica).num_blocks} * kBlockSize;
    const Time here = (num_uncached * measured.prompt_token_ns() / 1000 + measured.decode_us(1)) / 2;
    best = std::min(best.value_or(here), here);
  }
  return best.value_or(0);
}

RejectReason Scheduler::too_late(const RequestState& state) const {
  const std::optional<Time>& deadline = state.request.deadline;
  if (!deadline ||
      now_ + MUTANT(deadline_early, 0, 40'000) + MUTANT(hopeless_early, 1, 20) * state.best_case_us <= *deadline)
    return RejectReason::kNone;
  return now_ > *deadline ? RejectReason::kDeadline : RejectReason::kHopeless;
}

void Scheduler::forget(RequestState& request) {
  MUTANT_OMITS(tenant_kept, tenants_.leave(*request.tenant));
  requests_.erase(request.request.id);
}

bool Scheduler::fits_somewhere(const Demand& demand) const {
  const auto fits = [&](const auto& entry) {
    const ReplicaInfo& info = entry.second.info;
    return can_ever_fit(info, demand) && demand.num_beams <= config_.batch_sequences(info);
  };
  return replicas_.empty() || std::ranges::any_of(replicas_, fits);
}

Replica* Scheduler::find_alive(ReplicaId id) {
  const auto found = replicas_.find(id);
  return found != replicas_.end() && found->second.alive ? &found->second : nullptr;
}

RejectReason Scheduler::submit(Request request, Time now) {
  observe(now);
  CHECK(!request.prompt.empty() && request.stop.max_tokens >= 1 && request.num_sequences >= 1);
  const auto num_prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
  Demand demand{num_prompt_tokens, request.stop.max_tokens, num_prompt_tokens};
  if (request.beam) demand.num_beams = request.num_running();
  if (MUTANT(tenant_let_in, !tenants_.admits(request.tenant), false)) return RejectReason::kUnknownTenant;
  const auto is_too_wide = [&](const auto& entry) {
    return demand.num_beams > config_.batch_sequences(entry.second.info);
  };
  if (!replicas_.empty() && std::ranges::all_of(replicas_, is_too_wide)) return RejectReason::kTooMany;
  if (!fits_somewhere(demand)) return RejectReason::kTooLong;
  if (request.num_running() > config_.max_waiting) return RejectReason::kTooMany;
  if (num_waiting() > config_.max_waiting - MUTANT(bound_forgets_n, request.num_running(), 1))
    return RejectReason::kQueueFull;

  const auto [entry, is_new] = requests_.try_emplace(request.id);
  CHECK_MSG(is_new, "a request id was used twice");
  RequestState& state = entry->second;
  const std::vector<TokenId> prompt = std::exchange(request.prompt, {});
  state.request = std::move(request);
  state.tenant = &tenants_.enter(state.request.tenant);
  state.num_prompt_tokens = num_prompt_tokens;
  state.num_held = state.request.num_running();
  if (state.request.beam) state.beams = begin_search(state.request);
  state.sequences.resize(state.num_held);
  for (std::int32_t index = 0; index < state.num_held; ++index) {
    Sequence& sequence = state.sequences[index];
    sequence.id = ++last_sequence_id_;
    sequence.index = index;
    sequence.request = &state;
    sequence.key = policy_->key(state.request, sequence.id, sequence.in_time);
    if (index == 0 || !state.beams) sequence.tokens = prompt;
    sequence.tpot_target_us = state.request.tpot_target_us;
  }
  state.best_case_us = best_case_us(state.sequences.front());
  if (const RejectReason late = too_late(state); late != RejectReason::kNone) {
    last_sequence_id_ -= state.num_held;  // a refused request leaves nothing behind
    forget(state);
    return late;
  }
  counters_.num_accepted += state.num_held;
  counters_.num_prompt_tokens += num_prompt_tokens;
  for (Sequence& sequence : state.sequences) wait(sequence);
  unplace();
  return RejectReason::kNone;
}

void Scheduler::cancel(RequestId id, Time now) {
  observe(now);
  const auto found = requests_.find(id);
  if (found != requests_.end()) cancel(found->second, found->second.sequences);
}

void Scheduler::cancel(RequestId id, std::int32_t sequence_index, Time now) {
  observe(now);
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  RequestState& request = found->second;
  if (sequence_index < 0 || sequence_index >= request.request.num_sequences) return;
  if (request.beams) return cancel_choice(request, sequence_index);
  cancel(request, std::span(&request.sequences[sequence_index], 1));
}

void Scheduler::cancel(RequestState& request, std::span<Sequence> sequences) {
  MUTANT_OMITS(placed_though_cancelled, unplace());
  ++request.num_held;  // stays while we walk it
  for (Sequence& sequence : sequences) {
    if (sequence.state == SequenceState::kEnded) continue;
    if (MUTANT(cancel_lost_leaving, false, sequence.state == SequenceState::kLeaving)) continue;
    ++counters_.num_cancelled;
    end(sequence);
  }
  for (auto& [replica_id, replica] : replicas_) replica.remove_departed();
  if (--request.num_held == 0) forget(request);
}

void Scheduler::replica_joined(ReplicaId id, Epoch epoch, const ReplicaInfo& info, Time now) {
  replica_lost(id, now);
  replicas_.erase(id);
  replicas_.try_emplace(id, block_index_, id, epoch, info);
  unplace();
  fail_misfits(RejectReason::kTooLong);
}

void Scheduler::fail_misfits(RejectReason reason) {
  const auto& waiting = waiting_.by_age();
  for (auto position = waiting.begin(); position != waiting.end();) {
    Sequence& sequence = *(position++)->second;
    if (!fits_somewhere(demand_of(sequence))) fail(sequence, reason);
  }
}

// The same way as a preemption: everyone leaves, and every plan counts as answered.
void Scheduler::replica_lost(ReplicaId id, Time now) {
  observe(now);
  Replica* replica = find_alive(id);
  if (replica == nullptr) return;
  replica->alive = false;
  MUTANT_OMITS(placed_on_lost, unplace());
  for (Sequence* sequence : replica->running) leave(*sequence, SequenceState::kLeaving);
  replica->running.clear();
  for (const PlanInFlight& plan : std::exchange(replica->in_flight, {})) answered(*replica, plan);
  MUTANT_OMITS(host_outlives_epoch, replica->host.drop_all());
  replica->kv.disown_all();
}

void Scheduler::replica_forgotten(ReplicaId id, Time now) {
  observe(now);
  const auto found = replicas_.find(id);
  if (found == replicas_.end() || found->second.alive) return;
  replicas_.erase(found);
  const bool is_any_up = std::ranges::any_of(replicas_, [](const auto& entry) { return entry.second.alive; });
  if (is_any_up) fail_misfits(RejectReason::kNoReplica);  // else they wait for one, as all do: see give_up()
}

void Scheduler::give_up(Time arrived_before, Time now) {
  observe(now);
  const auto& waiting = waiting_.by_age();
  for (auto position = waiting.begin(); position != waiting.end() && position->first.first < arrived_before;) {
    Sequence& sequence = *(position++)->second;
    const bool has_deadline = !sequence.started && sequence.request->request.deadline;
    if (!has_deadline) fail(sequence, RejectReason::kNoReplica);
  }
}

void Scheduler::expire(Time now) {
  observe(now);
  while (Sequence* sequence = waiting_.find_alarm(now_)) {
    unplace();
    const RequestState& request = *sequence->request;
    if (const RejectReason late = too_late(request); late != RejectReason::kNone) {
      fail(*sequence, late);
      continue;
    }
    waiting_.erase(*sequence);  // too late for its target: those that can still be in time go first
    sequence->in_time = false;
    sequence->key = policy_->key(request.request, sequence->id, sequence->in_time);
    waiting_.insert(*sequence);
  }
}

std::vector<TokenEvent> Scheduler::take_events() { return std::exchange(events_, {}); }

void Scheduler::leave(Sequence& sequence, SequenceState next) {
  Residence& residence = sequence.residence;
  Replica& replica = replicas_.at(residence.replica);
  due_.insert(replica.id);  // there is room for others
  if (residence.is_told) MUTANT_OMITS(slot_release_unsent, replica.to_release.push_back(residence.slot));
  MUTANT_OMITS(slot_lost, replica.free_slots.push_back(residence.slot));
  replica.num_leaving_blocks += residence.table.num_held();
  replica.num_uncomputed_tokens -= sequence.num_uncomputed();
  residence.slot = -1;
  sequence.state = next;
  --counters_.num_running;
  if (MUTANT(freed_before_last_plan, residence.num_plans_in_flight == 0, true)) settle(sequence);
}

void Scheduler::end(Sequence& sequence) {
  switch (sequence.state) {
    case SequenceState::kRunning:
      return leave(sequence, SequenceState::kEnded);
    case SequenceState::kLeaving:
      sequence.state = SequenceState::kEnded;
      return;
    case SequenceState::kWaiting:
      stop_waiting(sequence);
      MUTANT_OMITS(host_outlives_cancel, drop_host_copy(sequence));
      sequence.state = SequenceState::kEnded;
      return settle(sequence);
    case SequenceState::kEnded:
      CHECK_MSG(false, "a sequence ended twice");
  }
}

void Scheduler::fail(Sequence& sequence, RejectReason reason) {
  unplace();
  const auto fail_one = [&](Sequence& one) {
    MUTANT_OMITS(failed_uncounted, ++counters_.num_failed);
    ++one.request->tenant->num_refused;
    if (is_choice(one)) {
      emit(one, FinishReason::kError);
      events_.back().reject = reason;
    }
    end(one);
  };
  if (!sequence.is_beam()) return fail_one(sequence);
  RequestState& request = *sequence.request;
  ++request.num_held;  // stays while we walk it
  for (Sequence& beam : request.sequences) fail_one(beam);
  if (--request.num_held == 0) forget(request);
}

void Scheduler::settle(Sequence& sequence) {
  Residence& residence = sequence.residence;
  if (!residence.table.blocks.empty()) {
    Replica& replica = replicas_.at(residence.replica);
    replica.num_leaving_blocks -= residence.table.num_held();
    if (sequence.state == SequenceState::kLeaving) swap_out(sequence, replica);
    MUTANT_OMITS(blocks_leak, replica.kv.release(residence.table));
    due_.insert(replica.id);
  }
  residence = {};
  RequestState& request = *sequence.request;
  if (sequence.state == SequenceState::kLeaving) {
    sequence.state = SequenceState::kWaiting;
    MUTANT_OMITS(preempted_forgotten, wait(sequence));
  } else if (--request.num_held == 0) {
    forget(request);
  }
}

void Scheduler::wait(Sequence& sequence) {
  if (!sequence.is_beam()) return waiting_.insert(sequence);
  ++counters_.num_waiting;
  RequestState& request = *sequence.request;
  const auto waits = [](const Sequence& beam) { return beam.state == SequenceState::kWaiting; };
  if (request.beams->is_queued || MUTANT(beams_queued_singly, !std::ranges::all_of(request.sequences, waits), false))
    return;
  request.beams->is_queued = true;
  --counters_.num_waiting;
  waiting_.insert(request.sequences.front());
}

// Of beams the first in the queue comes first.
void Scheduler::stop_waiting(Sequence& sequence) {
  if (sequence.is_beam() && (sequence.index > 0 || !std::exchange(sequence.request->beams->is_queued, false))) {
    --counters_.num_waiting;
  } else {
    waiting_.erase(sequence);
  }
}

void Scheduler::preempt(Sequence& sequence) {
  Replica& replica = replicas_.at(sequence.residence.replica);
  unplace();
  const auto preempt_one = [&](Sequence& one) {
    ++one.num_preemptions;
    ++replica.num_preemptions;
    ++counters_.num_preemptions;
    leave(one, SequenceState::kLeaving);
  };
  if (!sequence.is_beam()) return preempt_one(sequence);
  MUTANT_ADDS(beam_preempted_alone, return preempt_one(sequence));
  for (Sequence& beam : sequence.request->sequences) preempt_one(beam);
}

void Scheduler::answered(Replica& replica, const PlanInFlight& plan) {
  for (const BlockId block : plan.copied) replica.kv.let_go(block);
  for (const PlannedSequence& planned : plan.sequences) {
    Sequence& sequence = *planned.sequence;
    const bool is_last = --sequence.residence.num_plans_in_flight == 0;
    const bool is_settled = is_last && sequence.state != SequenceState::kRunning;
    if (MUTANT(freed_before_second_plan, is_settled, is_settled || sequence.state == SequenceState::kEnded))
      settle(sequence);
  }
}

void Scheduler::emit(Sequence& sequence, FinishReason finish_reason, SequenceResult* result) {
  TokenEvent event;
  event.request_id = sequence.request->request.id;
  event.sequence_index = MUTANT(wrong_sequence, sequence.index, 0);
  event.replica = sequence.residence.replica;
  event.finish_reason = finish_reason;
  event.queue_us = std::exchange(sequence.queue_us, 0);
  event.num_cached_tokens = std::exchange(sequence.num_cached_tokens, 0);
  if (result != nullptr) {
    counters_.num_generated_tokens += MUTANT(tokens_per_event, result->tokens.size(), 2);
    event.tokens = std::move(result->tokens);
    event.logprobs = std::move(result->logprobs);
    event.num_drafted = result->num_drafted;
    event.num_accepted = result->num_accepted;
  }
  events_.push_back(std::move(event));
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = counters_;
  stats.num_waiting = num_waiting();
  stats.num_leaving =
      static_cast<std::int32_t>(stats.num_accepted - stats.num_finished - stats.num_cancelled - stats.num_failed) -
      stats.num_waiting - stats.num_running;
  return stats;
}

Time Scheduler::oldest_wait(Time now) const {
  const auto& waiting = waiting_.by_age();
  return waiting.empty() ? 0 : std::max<Time>(now - waiting.begin()->first.first, 0);
}

ReplicaStats Scheduler::replica_stats(ReplicaId id) const {
  const auto found = replicas_.find(id);
  if (found == replicas_.end()) return {};
  const Replica& replica = found->second;
  const BlockPool& pool = replica.kv.pool();
  ReplicaStats stats{.alive = replica.alive,
                     .epoch = replica.epoch,
                     .num_running = replica.num_running(),
                     .num_plans_in_flight = static_cast<std::int32_t>(replica.in_flight.size()),
                     .num_blocks = pool.num_blocks(),
                     .num_used_blocks = pool.num_blocks() - pool.num_free(),
                     .num_cached_blocks = pool.num_cached(),
                     .num_kv_tokens = 0,
                     .num_preemptions = replica.num_preemptions,
                     .num_tokens_computed = replica.num_tokens_computed,
                     .num_prompt_tokens_computed = replica.num_prompt_tokens_computed,
                     .num_prefix_tokens_queried = replica.num_prefix_tokens_queried,
                     .num_prefix_tokens_hit = replica.num_prefix_tokens_hit,
                     .num_host_blocks = replica.host.num_blocks(),
                     .num_used_host_blocks = replica.host.num_blocks() - replica.host.num_free(),
                     .num_swapped = replica.host.num_copies(),
                     .num_sequences_swapped_out = replica.num_sequences_swapped_out,
                     .num_sequences_swapped_in = replica.num_sequences_swapped_in,
                     .num_blocks_swapped_out = replica.num_blocks_swapped_out,
                     .num_blocks_swapped_in = replica.num_blocks_swapped_in,
                     .decode_us = replica.step_budget.decode_us(1),
                     .prompt_token_ns = replica.step_budget.prompt_token_ns()};
  for (const Sequence* sequence : replica.running) {
    const Residence& residence = sequence->residence;
    stats.num_kv_tokens += residence.num_computed - residence.table.num_dropped * kBlockSize;
  }
  return stats;
}

}  // namespace caudal
