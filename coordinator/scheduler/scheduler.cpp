#include "coordinator/scheduler/scheduler.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/scheduler/plan_builder.h"
#include "coordinator/scheduler/result_applier.h"

namespace caudal {

Scheduler::Scheduler(SchedulerConfig config, std::unique_ptr<QueuePolicy> policy)
    : config_(std::move(config)),
      prefix_cache_(config_, block_index_),
      policy_(std::move(policy)),
      life_(config_, prefix_cache_) {}

// --- requests ---

RejectReason Scheduler::reason_to_refuse(const Request& request) const {
  Demand demand;
  demand.num_prompt_tokens = demand.num_tokens = static_cast<std::int32_t>(request.prompt.size());
  demand.max_new_tokens = request.params.stop.max_tokens;
  demand.model = request.model;
  if (request.beam) demand.num_together = request.num_running();
  const auto has_model = [&](const ReplicaInfo& info) { return info.model == request.model; };
  const auto is_wide_enough = [&](const ReplicaInfo& info) {
    return has_model(info) && demand.num_together <= config_.batch_sequences(info);
  };
  if (MUTANT(tenant_let_in, !life_.tenants().admits(request.tenant), false)) return RejectReason::kUnknownTenant;
  if (life_.knows(has_model) && !life_.knows(is_wide_enough)) return RejectReason::kTooMany;
  if (!life_.fits_somewhere(demand)) return RejectReason::kTooLong;
  if (request.num_running() > config_.max_waiting) return RejectReason::kTooMany;
  const std::int32_t num_left = config_.max_waiting - num_waiting();
  if (num_left < MUTANT(bound_forgets_n, request.num_running(), 1)) return RejectReason::kQueueFull;
  return RejectReason::kNone;
}

RejectReason Scheduler::submit(Request request, Time now) {
  life_.observe(now);
  CHECK(!request.prompt.empty() && request.params.stop.max_tokens >= 1 && request.num_sequences >= 1);
  if (const RejectReason reason = reason_to_refuse(request); reason != RejectReason::kNone) return reason;
  const bool is_urgent = request.deadline || request.ttft_target_us > 0;
  RequestState& state = life_.add(std::move(request), *policy_);
  if (is_urgent) state.best_case_us = life_.placement().best_case_us(state.sequences.front());
  const RejectReason late = too_late(state);
  if (late == RejectReason::kNone) {
    life_.accept(state);
  } else {
    life_.refuse(state);
  }
  return late;
}

RejectReason Scheduler::too_late(const RequestState& state) const {
  const std::optional<Time>& deadline = state.request.deadline;
  if (!deadline) return RejectReason::kNone;
  const Time best = life_.now() + MUTANT(hopeless_early, 1, 20) * state.best_case_us;
  if (best + MUTANT(deadline_early, 0, 40'000) <= *deadline) return RejectReason::kNone;
  return life_.now() > *deadline ? RejectReason::kDeadline : RejectReason::kHopeless;
}

void Scheduler::cancel(RequestId id, Time now) {
  life_.observe(now);
  if (RequestState* request = life_.find(id)) life_.cancel(request->sequences);
}

void Scheduler::cancel(RequestId id, std::int32_t sequence_index, Time now) {
  life_.observe(now);
  RequestState* request = life_.find(id);
  if (request == nullptr || sequence_index < 0 || sequence_index >= request->request.num_sequences) return;
  life_.cancel(request->group->give_up(request->sequences[sequence_index]));
}

void Scheduler::expire(Time now) {
  life_.observe(now);
  while (Sequence* sequence = life_.waiting().find_alarm(life_.now())) {
    if (const RejectReason late = too_late(*sequence->request); late != RejectReason::kNone) {
      life_.fail(*sequence, late);
    } else {
      life_.give_up_target(*sequence, *policy_);  // those that can still be in time go first
    }
  }
}

void Scheduler::give_up(ModelId model, Time arrived_before, Time now) {
  life_.observe(now);
  const auto& waiting = life_.waiting().by_age();
  for (auto position = waiting.begin(); position != waiting.end() && position->first < arrived_before;) {
    Sequence& sequence = life_.sequence((position++)->second);
    const Request& request = sequence.request->request;
    const bool has_deadline = !sequence.started && request.deadline;
    if (request.model == model && !has_deadline) life_.fail(sequence, RejectReason::kNoReplica);
  }
}

Time Scheduler::oldest_wait(Time now) const {
  const auto& waiting = life_.waiting().by_age();
  return waiting.empty() ? 0 : std::max<Time>(now - waiting.begin()->first, 0);
}

// --- replicas ---

void Scheduler::replica_joined(ReplicaId id, Epoch epoch, const ReplicaInfo& info, Time now) {
  replica_lost(id, now);
  life_.join(block_index_, id, epoch, info);
  fail_misfits(RejectReason::kTooLong);
}

void Scheduler::replica_lost(ReplicaId id, Time now) {
  life_.observe(now);
  if (ReplicaState* replica = life_.find_alive(id)) life_.lose(*replica);
}

void Scheduler::replica_forgotten(Epoch epoch, Time now) {
  life_.observe(now);
  if (!life_.forget_lost(epoch)) return;
  if (life_.is_any_alive()) fail_misfits(RejectReason::kNoReplica);  // else they wait for one, as all do: see give_up()
}

void Scheduler::fail_misfits(RejectReason reason) {
  const auto& waiting = life_.waiting().by_age();
  for (auto position = waiting.begin(); position != waiting.end();) {
    Sequence& sequence = life_.sequence((position++)->second);
    if (!life_.fits_somewhere(demand_of(config_, sequence))) life_.fail(sequence, reason);
  }
}

// --- steps ---

std::vector<ReplicaId> Scheduler::due(Time now) {
  expire(now);
  life_.placement().update(life_.due());
  return {life_.due().begin(), life_.due().end()};
}

std::optional<StepPlan> Scheduler::plan(ReplicaId id, Time now) {
  expire(now);
  life_.due().erase(id);
  ReplicaState* replica = life_.find_alive(id);
  if (replica == nullptr || !replica->may_plan(config_.max_plans_in_flight)) return std::nullopt;
  PlanBuilder builder(life_, prefix_cache_, *replica);
  builder.schedule_running();
  builder.admit_waiting();
  return builder.finish();
}

std::optional<StepSample> Scheduler::apply(ReplicaId id, StepResult result, Time now) {
  life_.observe(now);
  ReplicaState* replica = life_.find_alive(id);
  if (replica == nullptr || !replica->is_answered_by(result)) return std::nullopt;
  MUTANT_OMITS(answered_not_due, life_.due().insert(id));
  const StepSample sample = ResultApplier(life_, prefix_cache_, *replica).apply(std::move(result));
  life_.placement().replica_changed(*replica);
  return sample;
}

ReplicaStats Scheduler::replica_stats(ReplicaId id) const {
  const auto found = life_.replicas().find(id);
  if (found == life_.replicas().end()) return {};
  const ReplicaState& replica = found->second;
  const BlockPool<Tier::kDevice>& pool = replica.kv().pool();
  const BlockPool<Tier::kHost>& host = replica.kv().host();
  const ReplicaCounters& counters = replica.counters();
  ReplicaStats stats{.alive = replica.is_alive(),
                     .epoch = replica.epoch(),
                     .num_running = replica.num_running(),
                     .num_plans_in_flight = static_cast<std::int32_t>(replica.plans_in_flight().size()),
                     .num_blocks = pool.num_blocks(),
                     .num_used_blocks = pool.num_blocks() - pool.num_free(),
                     .num_cached_blocks = pool.num_cached(),
                     .num_kv_tokens = 0,
                     .num_preemptions = counters.num_preemptions,
                     .num_tokens_computed = counters.num_tokens_computed,
                     .num_prompt_tokens_computed = counters.num_prompt_tokens_computed,
                     .num_prefix_tokens_queried = counters.num_prefix_tokens_queried,
                     .num_prefix_tokens_hit = counters.num_prefix_tokens_hit,
                     .num_host_blocks = host.num_blocks(),
                     .num_used_host_blocks = host.num_blocks() - host.num_free() + host.num_cached(),
                     .num_arriving = 0,
                     .num_transfers = replica.kv().transfers().num_running(),
                     .num_sequences_to_host = counters.num_sequences_to_host,
                     .num_sequences_from_host = counters.num_sequences_from_host,
                     .num_blocks_to_host = counters.num_blocks_to_host,
                     .num_blocks_from_host = counters.num_blocks_from_host,
                     .decode_us = replica.step_budget().decode_us(1),
                     .prompt_token_ns = replica.step_budget().prompt_token_ns()};
  for (const Sequence* sequence : replica.running()) {
    const Residence& residence = sequence->residence;
    stats.num_arriving += residence.is_arriving() ? 1 : 0;
    stats.num_kv_tokens += residence.num_computed - replica.kv().num_dropped(residence.table, 0) * kBlockSize;
  }
  return stats;
}

void Scheduler::check_integrity() const {
  life_.check_integrity();
  block_index_.check_integrity();
  std::size_t num_published = 0;
  for (const auto& [id, replica] : life_.replicas())
    num_published += replica.kv().pool().check_integrity() + replica.kv().host().check_integrity();
  CHECK_MSG(num_published == block_index_.num_locations(), "the index finds a block that nobody published");
}

}  // namespace caudal
