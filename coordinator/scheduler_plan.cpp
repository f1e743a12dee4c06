// Scheduler::plan: running sequences first (decodes, then prompts in queue order), then waiting ones, as
// long as tokens, sequences and blocks last. What it changes is what the plan says; a phase that finds no
// room leaves nothing behind.
#include "common/check.h"
#include "coordinator/placement.h"
#include "coordinator/scheduler_draft.h"

namespace caudal {

// After this many preemptions a sequence is spared as long as another one of its rank can go.
static constexpr std::int32_t kSparedAfterPreemptions = 4;


std::optional<StepPlan> Scheduler::plan(ReplicaId id, Time now) {
  expire(now);
  Replica* replica = find_alive(id);
  if (replica == nullptr || std::ssize(replica->in_flight) >= config_.max_plans_in_flight)
    return std::nullopt;
  Draft draft{.replica = *replica,
              .left = replica->admission(config_, config_.step_tokens(replica->info)),
              .plan = {},
              .record = {},
              .prefills = {},
              .draft_lengths = draft_lengths(*replica)};
  const std::int32_t num_running_before = replica->num_running();
  schedule_running(draft);
  if (!draft.short_of_blocks) admit_waiting(draft);
  // A static batch that only the step's tokens kept small goes on filling; any other reason closes it.
  const bool is_full = replica->num_running() >= config_.batch_sequences(replica->info);
  const bool was_open = replica->batch_is_open || num_running_before == 0;
  replica->batch_is_open = was_open && draft.left.num_tokens() <= 0 && !is_full && waiting_.size() > 0;
  return commit(draft);
}

void Scheduler::schedule_running(Draft& draft) {
  Replica& replica = draft.replica;
  draft.plan.scheduled.reserve(replica.running.size());
  draft.record.sequences.reserve(replica.running.size());
  for (Sequence* sequence : replica.running) {
    ++draft.num_walked;
    if (sequence->state != SequenceState::kRunning) continue;  // preempted a moment ago
    const std::int32_t num_plannable = sequence->num_plannable();
    if (num_plannable > 1) draft.prefills.push_back(sequence);
    if (num_plannable == 1 && draft.left.num_tokens() > 0)
      schedule(draft, *sequence, 1, num_draft_tokens(draft, *sequence));
  }
  for (Sequence* sequence : draft.prefills) {
    if (sequence->state != SequenceState::kRunning) continue;
    const std::int32_t num_tokens = draft.left.chunk(sequence->num_plannable());
    if (num_tokens > 0) schedule(draft, *sequence, num_tokens);
  }
  if (draft.short_of_blocks) replica.remove_departed();
}

// Adds work for a running sequence, unless it has to wait for blocks.
void Scheduler::schedule(Draft& draft, Sequence& sequence, std::int32_t num_tokens,
                         std::int32_t num_draft_tokens) {
  Residence& residence = sequence.residence;
  const std::size_t num_known_blocks = residence.table.blocks.size();
  const std::int32_t max_tokens = num_tokens + num_draft_tokens;
  if (!make_room(draft, sequence, max_tokens)) return;

  const bool catches_up = sequence.max_computed() + num_tokens == sequence.max_known();
  const std::int32_t max_new_tokens = catches_up ? 1 + num_draft_tokens : 0;
  residence.num_plans_in_flight += 1;
  residence.num_tokens_in_flight += max_tokens;
  residence.num_new_tokens_in_flight += max_new_tokens;
  draft.left.take_tokens(max_tokens);
  draft.record.sequences.push_back({&sequence, residence.slot, max_tokens, max_new_tokens, num_draft_tokens});
  ScheduledSequence& line = draft.plan.scheduled.emplace_back();
  line.slot = residence.slot;
  line.num_tokens = num_tokens;
  line.num_draft_tokens = num_draft_tokens;
  line.new_blocks.assign(residence.table.blocks.begin() + num_known_blocks, residence.table.blocks.end());
}

// Grows the block table for `num_tokens` more tokens; preempts as long as that helps. False: not in this
// step. Blocks that plans in flight still name come back by themselves, so nobody leaves for those.
bool Scheduler::make_room(Draft& draft, Sequence& sequence, std::int32_t num_tokens) {
  Replica& replica = draft.replica;
  Residence& residence = sequence.residence;
  const std::int32_t num_needed = sequence.max_computed() + num_tokens;
  while (!replica.kv.grow(residence.table, num_needed)) {
    draft.short_of_blocks = true;
    const std::int32_t num_missing =
        blocks_for(num_needed) - static_cast<std::int32_t>(residence.table.blocks.size());
    if (replica.kv.pool().num_free() + replica.num_leaving_blocks >= num_missing) return false;
    Sequence& victim = choose_victim(draft, sequence);
    ++victim.num_preemptions;
    ++replica.num_preemptions;
    ++counters_.num_preemptions;
    leave(victim, SequenceState::kLeaving);
    if (&victim == &sequence) return false;
  }
  return true;
}

// Among those that are not in this plan yet, the needy one included: of the least urgent rank, first the
// ones that were not preempted too often, then the last in the queue's order. So the oldest sequence of a
// replica goes forward, whatever happens to the others.
Sequence& Scheduler::choose_victim(const Draft& draft, Sequence& needy) const {
  const auto better = [](const Sequence& a, const Sequence& b) {
    if (a.key.rank != b.key.rank) return a.key.rank > b.key.rank;
    const bool a_spared = a.num_preemptions >= kSparedAfterPreemptions;
    const bool b_spared = b.num_preemptions >= kSparedAfterPreemptions;
    return a_spared != b_spared ? b_spared : b.key < a.key;
  };
  Sequence* victim = &needy;
  const auto consider = [&](Sequence* sequence) {
    if (sequence->state == SequenceState::kRunning && better(*sequence, *victim)) victim = sequence;
  };
  for (std::size_t i = draft.num_walked; i < draft.replica.running.size(); ++i)
    consider(draft.replica.running[i]);
  for (Sequence* sequence : draft.prefills) consider(sequence);
  return *victim;
}

// In strict order: nobody overtakes a sequence that waits for room on this replica.
void Scheduler::admit_waiting(Draft& draft) {
  // Anew, because running sequences have just taken blocks.
  draft.left = draft.replica.admission(config_, draft.left.num_tokens());
  if (draft.left.exhausted() || waiting_.size() == 0) return;
  Placement placement(prefix_cache_, config_);
  for (const auto& [id, replica] : replicas_) {
    if (replica.alive) placement.add(replica);
  }
  for (auto position = waiting_.begin(); position != waiting_.end() && !draft.left.exhausted();) {
    Sequence& sequence = *position->second;
    if (PrefixCache::is_under_way(sequence)) {
      ++position;
      continue;
    }
    const Demand demand = demand_of(sequence);
    const std::optional<Placed> chosen = placement.choose(sequence, demand);
    if (!chosen && can_ever_fit(draft.replica.info, demand)) return;
    const bool is_here = chosen && chosen->candidate->replica == &draft.replica;
    if (is_here && draft.left.chunk(chosen->demand.num_uncached()) <= 0) return;
    if (chosen) chosen->candidate->take(chosen->demand);
    if (!chosen) placement.keep_for(demand);
    if (!is_here) {
      ++position;
      continue;
    }
    position = waiting_.erase(position);
    admit(draft, sequence);
  }
}

void Scheduler::admit(Draft& draft, Sequence& sequence) {
  Replica& replica = draft.replica;
  const Demand demand = demand_of(sequence);
  sequence.state = SequenceState::kRunning;
  Residence& residence = sequence.residence;
  if (const auto copy = prefix_cache_.enter(sequence, replica)) {
    draft.plan.block_copies.push_back(*copy);
    draft.record.copied.push_back(copy->source);
    replica.kv.keep(copy->source);
  }
  if (!std::exchange(sequence.started, true)) sequence.queue_us = now_ - sequence.request->request.arrival;
  // What its siblings find later is this request's own work.
  if (!std::exchange(sequence.request->started, true)) sequence.num_cached_tokens = residence.num_computed;
  residence.replica = replica.id;
  residence.slot = replica.free_slots.back();
  replica.free_slots.pop_back();
  residence.token_limit = token_limit(replica.info, demand);
  // All of what is known at once: a prompt that has begun never waits for blocks.
  CHECK(replica.kv.grow(residence.table, sequence.num_tokens()));
  replica.insert_running(sequence);
  replica.num_uncomputed_tokens += sequence.num_uncomputed();

  NewSequence& line = draft.plan.new_sequences.emplace_back();
  const Request& request = sequence.request->request;
  line.slot = residence.slot;
  line.sequence_id = sequence.id;
  line.tokens = sequence.tokens;
  line.num_prompt_tokens = demand.num_prompt_tokens;
  line.num_computed = residence.num_computed;
  line.blocks = residence.table.blocks;
  std::ranges::replace(line.blocks, kNoBlock, BlockId{0});  // never read: out of every window
  line.sampling = request.sampling;
  line.sampling.seed = sequence_seed(request.sampling.seed, sequence.index);
  line.stop = request.stop;
  line.speculative = speculative_mode(sequence);
  schedule(draft, sequence, draft.left.chunk(sequence.num_plannable()));
}

// A plan is worth sending when it computes something; slots to release wait for the next that does.
std::optional<StepPlan> Scheduler::commit(Draft& draft) {
  Replica& replica = draft.replica;
  if (draft.plan.scheduled.empty()) return std::nullopt;
  draft.plan.epoch = replica.epoch;
  draft.plan.step_id = draft.record.step_id = ++replica.last_step_id;
  draft.plan.released = std::exchange(replica.to_release, {});
  replica.in_flight.push_back(std::move(draft.record));
  return std::move(draft.plan);
}

}  // namespace caudal
