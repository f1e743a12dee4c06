#include "coordinator/scheduler/lifecycle.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/scheduler/groups.h"
#include "coordinator/scheduler/prefix_cache.h"

namespace caudal {

// Keeps a request while its sequences are walked: it is forgotten with the last one that ends.
class Lifecycle::Hold {
 public:
  Hold(Lifecycle& life, RequestState& request) : life_(life), request_(request) { ++request_.num_held; }
  ~Hold() {
    if (--request_.num_held == 0) life_.forget(request_);
  }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

 private:
  Lifecycle& life_;
  RequestState& request_;
};

Lifecycle::Lifecycle(const SchedulerConfig& config, const PrefixCache& prefix_cache)
    : config_(config),
      prefix_cache_(prefix_cache),
      tenants_(config.tenants),
      waiting_(sequences_, tenants_, config.oldest_every),
      placement_(config, prefix_cache, sequences_, waiting_) {}

Lifecycle::~Lifecycle() {
  requests_.for_each([this](RequestId, RequestState* request) { arena_.erase(*request); });
}

// --- requests ---

RequestState& Lifecycle::add(Request request, const QueuePolicy& policy) {
  RequestState& state = arena_.make();
  CHECK_MSG(requests_.insert(request.id, &state) != nullptr, "a request id was used twice");
  std::vector<TokenId> prompt = std::exchange(request.prompt, {});
  state.request = std::move(request);
  state.tenant = &tenants_.enter(state.request.tenant);
  state.num_prompt_tokens = static_cast<std::int32_t>(prompt.size());
  state.num_told = state.request.params.num_prompt_logprobs >= 0 ? 1 : state.num_prompt_tokens;
  state.num_held = state.request.num_running();
  state.sequences.resize(state.num_held);
  make_group(state, config_);
  state.sequences.front().tokens = std::move(prompt);
  for (std::int32_t index = 0; index < state.num_held; ++index) {
    Sequence& sequence = state.sequences[index];
    sequence.id = ++last_sequence_id_;
    sequence.index = index;
    sequence.request = &state;
    sequence.key = policy.key(state.request, sequence.id, sequence.in_time);
    if (index > 0 && state.group->are_sampled()) sequence.tokens = state.sequences.front().tokens;
    sequence.tpot_target_us = state.request.tpot_target_us;
    sequences_.insert(sequence);
  }
  return state;
}

void Lifecycle::refuse(RequestState& request) {
  last_sequence_id_ -= request.sequences.size();
  forget(request);
}

void Lifecycle::accept(RequestState& request) {
  counters_.num_accepted += request.sequences.size();
  counters_.num_prompt_tokens += static_cast<std::uint64_t>(request.num_prompt_tokens);
  for (Sequence& sequence : request.sequences) wait(sequence);
}

RequestState* Lifecycle::find(RequestId id) {
  RequestState* const* found = requests_.find(id);
  return found == nullptr ? nullptr : *found;
}

void Lifecycle::forget(RequestState& request) {
  for (const Sequence& sequence : request.sequences) sequences_.erase(sequence.id);
  MUTANT_OMITS(tenant_kept, tenants_.leave(*request.tenant));
  requests_.erase(request.request.id);
  arena_.erase(request);
}

// --- replicas ---

bool Lifecycle::is_any_alive() const {
  return std::ranges::any_of(replicas_, [](const auto& entry) { return entry.second.is_alive(); });
}

void Lifecycle::join(BlockIndex& index, ReplicaId id, Epoch epoch, const ReplicaInfo& info) {
  if (const auto lost = replicas_.find(id); lost != replicas_.end()) {
    replaced_.emplace(lost->second.epoch(), lost->second.info());
    replicas_.erase(lost);
  }
  const auto [entry, is_new] = replicas_.try_emplace(id, index, id, epoch, info);
  if (id >= alive_.size()) alive_.resize(id + 1);
  alive_[id] = &entry->second;
  placement_.replica_joined(entry->second);
}

void Lifecycle::lose(ReplicaState& replica) {
  replica.lose();
  alive_[replica.id()] = nullptr;
  MUTANT_OMITS(placed_on_lost, placement_.replica_lost(replica.id()));
  for (Sequence* sequence : replica.running()) leave(*sequence, SequenceState::kLeaving);
  replica.remove_departed();
  while (!replica.plans_in_flight().empty()) answered(replica, replica.take_oldest());
}

bool Lifecycle::forget_lost(Epoch epoch) {
  const auto is_it = [&](const auto& entry) { return !entry.second.is_alive() && entry.second.epoch() == epoch; };
  return replaced_.erase(epoch) + std::erase_if(replicas_, is_it) > 0;
}

bool Lifecycle::fits_somewhere(const Demand& demand) const {
  const auto has_model = [&](const ReplicaInfo& info) { return info.model == demand.model; };
  return !knows(has_model) || knows([&](const ReplicaInfo& info) { return can_ever_fit(config_, info, demand); });
}

// --- ways of a sequence ---

void Lifecycle::wait(Sequence& sequence) {
  ++counters_.num_waiting;
  Sequence* queued = sequence.group().enqueue(sequence);
  if (queued == nullptr) return;
  waiting_.insert(*queued);
  placement_.sequence_waits(queued->id);
}

void Lifecycle::start(Sequence& sequence, ReplicaState& replica) {
  --counters_.num_waiting;
  ++counters_.num_running;
  if (!std::exchange(sequence.started, true)) sequence.queue_us = now_ - sequence.request->request.arrival;
  // What its siblings find later is this request's own work.
  if (!std::exchange(sequence.request->started, true)) sequence.num_cached_tokens = sequence.residence.num_computed;
  replica.admit(sequence, token_limit(replica.info(), demand_of(config_, sequence)));
}

void Lifecycle::preempt(Sequence& sequence) {
  ReplicaState& replica = replicas_.at(sequence.residence.replica);
  for (Sequence& one : sequence.group().bound_to(sequence)) {
    ++one.num_preemptions;
    ++replica.counters().num_preemptions;
    ++counters_.num_preemptions;
    leave(one, SequenceState::kLeaving);
    MUTANT_ADDS(beam_preempted_alone, return);
  }
}

void Lifecycle::leave(Sequence& sequence, SequenceState next) {
  ReplicaState& replica = replicas_.at(sequence.residence.replica);
  replica.leave(sequence, next);
  due_.insert(replica.id());  // there is room for others
  placement_.replica_changed(replica);
  --counters_.num_running;
  if (MUTANT(freed_before_last_plan, sequence.residence.num_plans_in_flight == 0, true)) settle(sequence);
}

void Lifecycle::settle(Sequence& sequence) {
  if (!sequence.residence.table.blocks.empty()) {
    ReplicaState& replica = replicas_.at(sequence.residence.replica);
    if (sequence.state == SequenceState::kLeaving) prefix_cache_.save(sequence, replica);
    replica.give_blocks_back(sequence);
    due_.insert(replica.id());
    placement_.replica_changed(replica);
  }
  sequence.residence = {};
  RequestState& request = *sequence.request;
  if (sequence.state == SequenceState::kLeaving) {
    sequence.state = SequenceState::kWaiting;
    MUTANT_OMITS(preempted_forgotten, wait(sequence));
  } else if (--request.num_held == 0) {
    forget(request);
  }
}

void Lifecycle::end(Sequence& sequence) {
  switch (sequence.state) {
    case SequenceState::kRunning:
      return leave(sequence, SequenceState::kEnded);
    case SequenceState::kLeaving:
      sequence.state = SequenceState::kEnded;
      return;
    case SequenceState::kWaiting:
      --counters_.num_waiting;
      if (Sequence* queued = sequence.group().dequeue(sequence)) {
        waiting_.erase(*queued);
        MUTANT_OMITS(placed_though_cancelled, placement_.invalidate());
      }
      sequence.state = SequenceState::kEnded;
      return settle(sequence);
    case SequenceState::kEnded:
      CHECK_MSG(false, "a sequence ended twice");
  }
}

void Lifecycle::finish(Sequence& sequence) {
  MUTANT_OMITS(finished_uncounted, ++counters_.num_finished);
  end(sequence);
}

void Lifecycle::cancel(std::span<Sequence> sequences) {
  if (sequences.empty()) return;
  const Hold hold(*this, *sequences.front().request);
  for (Sequence& sequence : sequences) {
    if (sequence.state == SequenceState::kEnded) continue;
    if (MUTANT(cancel_lost_leaving, false, sequence.state == SequenceState::kLeaving)) continue;
    ++counters_.num_cancelled;
    const ReplicaId replica = sequence.residence.replica;
    const bool ran = sequence.is_running();
    end(sequence);
    if (!ran) continue;
    replicas_.at(replica).remove_departed();
    placement_.replica_changed(replicas_.at(replica));
  }
}

void Lifecycle::fail(Sequence& sequence, RejectReason reason) {
  const Hold hold(*this, *sequence.request);
  for (Sequence& one : sequence.group().bound_to(sequence)) {
    MUTANT_OMITS(failed_uncounted, ++counters_.num_failed);
    ++one.request->tenant->num_refused;
    if (one.group().is_choice(one)) {
      emit(one, FinishReason::kError);
      events_.back().reject = reason;
    }
    end(one);
  }
}

void Lifecycle::answered(ReplicaState& replica, const PlanInFlight& plan) {
  for (const BlockId block : plan.copied) replica.kv().let_go(block);
  for (const PlannedSequence& planned : plan.sequences) {
    Sequence& sequence = sequences_[planned.sequence];
    const bool is_last = --sequence.residence.num_plans_in_flight == 0;
    const bool is_settled = is_last && !sequence.is_running();
    if (MUTANT(freed_before_second_plan, is_settled, is_settled || sequence.state == SequenceState::kEnded))
      settle(sequence);
  }
}

void Lifecycle::give_up_target(Sequence& sequence, const QueuePolicy& policy) {
  waiting_.erase(sequence);
  sequence.in_time = false;
  sequence.key = policy.key(sequence.request->request, sequence.id, sequence.in_time);
  waiting_.insert(sequence);
  placement_.invalidate();
}

void Lifecycle::emit(Sequence& sequence, FinishReason finish_reason, SequenceResult* result) {
  TokenEvent event;
  event.request_id = sequence.request->request.id;
  event.sequence_index = MUTANT(wrong_sequence, sequence.index, 0);
  event.replica = sequence.residence.replica;
  event.finish_reason = finish_reason;
  if (!std::exchange(sequence.announced, true)) {
    event.queue_us = sequence.queue_us;
    event.num_cached_tokens = sequence.num_cached_tokens;
  }
  if (result != nullptr) {
    counters_.num_generated_tokens += MUTANT(tokens_per_event, result->tokens.size(), 2);
    event.tokens = std::move(result->tokens);
    event.logprobs = std::move(result->logprobs);
    event.num_drafted = result->num_drafted;
    event.num_accepted = result->num_accepted;
    event.prompt_logprobs = std::move(result->prompt_logprobs);
  }
  events_.push_back(std::move(event));
}

// The next turn has about as many.
std::vector<TokenEvent> Lifecycle::take_events() {
  std::vector<TokenEvent> events = std::exchange(events_, {});
  events_.reserve(events.size());
  return events;
}

SchedulerStats Lifecycle::stats() const {
  SchedulerStats stats = counters_;
  stats.num_leaving =
      static_cast<std::int32_t>(stats.num_accepted - stats.num_finished - stats.num_cancelled - stats.num_failed) -
      stats.num_waiting - stats.num_running;
  return stats;
}

}  // namespace caudal
