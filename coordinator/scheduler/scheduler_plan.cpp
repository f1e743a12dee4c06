// Scheduler::plan: running sequences first (decodes, then prompts in queue order), then waiting ones, as
// long as tokens, sequences and blocks last. What it changes is what the plan says; a phase that finds no
// room leaves nothing behind.
#include <set>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/scheduler/placement.h"
#include "coordinator/scheduler/scheduler_draft.h"

namespace caudal {

// Of two targets; 0 is none.
static Time tighter(Time a, Time b) { return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b); }

std::vector<ReplicaId> Scheduler::due(Time now) {
  expire(now);
  if (!is_placed_ && waiting_.size() > 0) place_waiting();
  return {due_.begin(), due_.end()};
}

std::optional<StepPlan> Scheduler::plan(ReplicaId id, Time now) {
  expire(now);
  due_.erase(id);
  Replica* replica = find_alive(id);
  if (replica == nullptr || std::ssize(replica->in_flight) >= config_.max_plans_in_flight + MUTANT(plan_too_many, 0, 1))
    return std::nullopt;
  Draft draft{.replica = *replica,
              .left = replica->admission(config_, config_.step_tokens(replica->info)),
              .plan = {},
              .record = {},
              .prefills = {},
              .draft_lengths = draft_lengths(*replica)};
  schedule_running(draft);
  if (!draft.short_of_blocks) admit_waiting(draft);
  return commit(draft);
}

void Scheduler::schedule_running(Draft& draft) {
  Replica& replica = draft.replica;
  draft.plan.scheduled.reserve(replica.running.size());
  draft.record.sequences.reserve(replica.running.size());
  for (Sequence* sequence : replica.running) {
    ++draft.num_walked;
    if (sequence->state != SequenceState::kRunning) continue;  // preempted a moment ago
    if (sequence->move.enters) {
      if (!enter_beam(draft, *sequence, 1)) draft.prefills.push_back(sequence);
      continue;
    }
    const std::int32_t num_plannable = sequence->num_plannable();
    if (num_plannable > MUTANT(two_tokens_left, 1, 2)) draft.prefills.push_back(sequence);
    if (num_plannable != 1 || draft.left.num_tokens() <= 0) continue;
    draft.itl_target_us = tighter(draft.itl_target_us, sequence->tpot_target_us);
    schedule(draft, *sequence, 1, num_draft_tokens(draft, *sequence));
  }
  limit_prompts(draft);
  for (Sequence* sequence : draft.prefills) {
    if (sequence->state != SequenceState::kRunning) continue;
    if (sequence->move.enters) {
      enter_beam(draft, *sequence, sequence->num_tokens());
      continue;
    }
    const std::int32_t num_tokens = draft.left.chunk(sequence->num_plannable());
    if (num_tokens > 0) schedule(draft, *sequence, num_tokens);
  }
  if (draft.short_of_blocks) replica.remove_departed();
}

// With a target for the time between tokens, prompts get what the decodes of this step leave of it.
void Scheduler::limit_prompts(Draft& draft) {
  StepLoad& load = draft.record.load;
  load.num_decode_tokens = config_.step_tokens(draft.replica.info) - draft.left.num_tokens();
  const Time target_us = tighter(config_.itl_target_us, draft.itl_target_us);
  if (target_us == 0 || load.num_decode_tokens == 0 || !config_.chunked_prefill) return;
  draft.left.limit_tokens(draft.replica.step_budget.prompt_tokens(load.num_decode_tokens, target_us));
}

// Adds work for a running sequence, unless it has to wait for blocks.
void Scheduler::schedule(Draft& draft, Sequence& sequence, std::int32_t num_tokens, std::int32_t num_draft_tokens) {
  Residence& residence = sequence.residence;
  const std::size_t num_known_blocks = residence.table.blocks.size();
  const std::int32_t max_tokens = num_tokens + num_draft_tokens;
  if (!make_room(draft, sequence, MUTANT(drafts_without_room, max_tokens, num_tokens))) return;

  const bool catches_up = sequence.max_computed() + num_tokens == sequence.max_known();
  const std::int32_t max_new_tokens =
      MUTANT(token_amid_prompt, catches_up && !sequence.is_beam() ? 1 + num_draft_tokens : 0, 1);
  residence.num_plans_in_flight += 1;
  residence.num_tokens_in_flight += max_tokens;
  residence.num_new_tokens_in_flight += max_new_tokens;
  draft.left.take_tokens(
      MUTANT(decodes_uncounted, MUTANT(drafts_uncounted, max_tokens, num_tokens), max_tokens > 1 ? max_tokens : 0));
  draft.record.sequences.push_back({&sequence, residence.slot, max_tokens, max_new_tokens, num_draft_tokens});
  ScheduledSequence& line = draft.plan.scheduled.emplace_back();
  line.slot = residence.slot;
  line.num_tokens = num_tokens;
  line.num_draft_tokens = num_draft_tokens;
  line.new_blocks.assign(residence.table.blocks.begin() + num_known_blocks, residence.table.blocks.end());
  if (!sequence.is_beam()) return;
  if (std::exchange(sequence.move.has_token, false)) line.next_token = sequence.tokens.back();
  sequence.request->beams->planned_in = draft.replica.last_step_id + 1;
}

// Grows the block table for `num_tokens` more tokens; preempts as long as that helps. False: not in this
// step. Blocks that plans in flight still name come back by themselves, so nobody leaves for those.
bool Scheduler::make_room(Draft& draft, Sequence& sequence, std::int32_t num_tokens) {
  Residence& residence = sequence.residence;
  const std::int32_t num_needed = sequence.max_computed() + num_tokens;
  const auto num_blocks = static_cast<std::int32_t>(residence.table.blocks.size());
  return free_blocks(draft, sequence, blocks_for(num_needed) - num_blocks) &&
         draft.replica.kv.grow(residence.table, num_needed);
}

bool Scheduler::free_blocks(Draft& draft, Sequence& sequence, std::int32_t num_blocks) {
  Replica& replica = draft.replica;
  while (replica.kv.pool().num_free() < num_blocks) {
    draft.short_of_blocks = true;
    if (replica.kv.pool().num_free() + replica.num_leaving_blocks >= num_blocks) return false;
    Sequence* victim = choose_victim(draft, sequence);
    if (victim == nullptr) return false;
    preempt(*victim);
    if (MUTANT(planned_though_preempted, sequence.state != SequenceState::kRunning, false)) return false;
  }
  return true;
}

// Among those that are not in this plan yet, the needy one included, and may be preempted: the least urgent
// rank, then the tenant that was served most, then the last in the queue's order. nullptr: nobody, because siblings
// of the needy beam are in this plan.
Sequence* Scheduler::choose_victim(const Draft& draft, Sequence& needy) const {
  const auto better = [](const Sequence& a, const Sequence& b) {
    if (a.key.rank != b.key.rank) return a.key.rank > b.key.rank;
    const std::int64_t a_served = a.request->tenant->service;
    const std::int64_t b_served = b.request->tenant->service;
    return a_served != b_served ? a_served > b_served : b.key < a.key;
  };
  Sequence* victim = is_in_plan(draft, needy) ? nullptr : &needy;
  const auto consider = [&](Sequence* sequence) {
    if (sequence->state != SequenceState::kRunning) return;
    if (MUTANT(endless_preemption, sequence->num_preemptions >= config_.max_preemptions, false)) return;
    if (is_in_plan(draft, *sequence)) return;
    if (victim == nullptr || better(*sequence, *victim)) victim = sequence;
  };
  for (std::size_t i = draft.num_walked; i < draft.replica.running.size(); ++i) consider(draft.replica.running[i]);
  for (Sequence* sequence : draft.prefills) consider(sequence);
  return victim;
}

// Takes what the queue has for this replica, as far as it fits now.
void Scheduler::admit_waiting(Draft& draft) {
  Replica& replica = draft.replica;
  // Anew, because running sequences have just taken blocks.
  draft.left = replica.admission(config_, draft.left.num_tokens());
  if (draft.left.exhausted() || waiting_.size() == 0) return;
  if (!is_placed_) place_waiting();
  const auto placed = placed_.find(replica.id);
  if (placed == placed_.end()) return;
  while (!placed->second.empty()) {
    Sequence& sequence = *placed->second.front();
    Demand demand = demand_of(sequence);
    demand.cached = prefix_cache_.probe(sequence, replica);
    if (!draft.left.admits(demand)) return;
    placed->second.pop_front();
    waiting_.erase(sequence);
    draft.left.take_room(demand);
    admit(draft, sequence);
  }
}

// Says for all replicas at once where the waiting sequences go, in the order of turns: nobody overtakes a sequence
// that waits for room on a replica that could hold it. Holds until something changes; a thousand replicas must
// not each walk the queue.
void Scheduler::place_waiting() {
  is_placed_ = true;
  Placement placement(prefix_cache_, config_);
  for (const auto& [id, replica] : replicas_) {
    if (replica.alive) placement.add(replica);
  }
  std::set<const RequestState*> computing;  // prompts that siblings of these requests need not compute
  QueueWalk walk(waiting_);
  while (Sequence* sequence = walk.next()) {
    if (PrefixCache::is_under_way(*sequence)) continue;
    if (PrefixCache::shares_prompt(*sequence) && computing.contains(sequence->request)) continue;
    const Demand demand = demand_of(*sequence);
    if (const std::optional<Placed> chosen = placement.choose(*sequence, demand)) {
      chosen->candidate->take(chosen->demand);
      walk.count_turn();
      placed_[chosen->candidate->replica->id].push_back(sequence);
      MUTANT_OMITS(placed_not_due, due_.insert(chosen->candidate->replica->id));
      if (PrefixCache::will_compute_for_siblings(*sequence, chosen->demand.cached)) computing.insert(sequence->request);
    } else if (MUTANT(small_overtakes, !placement.close(*sequence, demand), false)) {
      return;
    }
  }
}

void Scheduler::admit(Draft& draft, Sequence& sequence) {
  Replica& replica = draft.replica;
  const Demand demand = demand_of(sequence);
  sequence.state = SequenceState::kRunning;
  ++counters_.num_running;
  Residence& residence = sequence.residence;
  if (const auto copy = prefix_cache_.enter(sequence, replica)) copy_block(draft, *copy);
  if (!std::exchange(sequence.started, true)) sequence.queue_us = now_ - sequence.request->request.arrival;
  // What its siblings find later is this request's own work.
  if (!std::exchange(sequence.request->started, true)) sequence.num_cached_tokens = residence.num_computed;
  residence.replica = replica.id;
  residence.slot = replica.free_slots.back();
  residence.is_told = true;
  replica.free_slots.pop_back();
  residence.token_limit = token_limit(replica.info, demand);
  // All of what is known at once: a prompt that has begun never waits for blocks.
  CHECK(replica.kv.grow(residence.table, entry_tokens(replica.info, demand)));
  swap_in(draft, sequence);
  replica.insert_running(sequence);
  replica.num_uncomputed_tokens += sequence.num_uncomputed();

  enter(draft, sequence);
  if (sequence.is_beam()) admit_beams(draft, sequence);
  schedule(draft, sequence, draft.left.chunk(sequence.num_plannable()));
}

void Scheduler::copy_block(Draft& draft, const BlockCopy& copy) {
  MUTANT_OMITS(fork_not_copied, draft.plan.block_copies.push_back(copy));
  MUTANT_ADDS(copy_source_free, return);
  draft.record.copied.push_back(copy.source);
  draft.replica.kv.keep(copy.source);
}

// Tells the worker all of a sequence.
void Scheduler::enter(Draft& draft, const Sequence& sequence) {
  const Residence& residence = sequence.residence;
  const Request& request = sequence.request->request;
  NewSequence& line = draft.plan.new_sequences.emplace_back();
  line.slot = residence.slot;
  line.sequence_id = sequence.id;
  line.tokens = sequence.tokens;
  MUTANT_ADDS(resumes_without_output, line.tokens.resize(sequence.request->num_prompt_tokens));
  line.num_prompt_tokens = MUTANT(output_is_prompt, sequence.request->num_prompt_tokens, sequence.num_tokens());
  line.num_computed = residence.num_computed;
  line.blocks = residence.table.blocks;
  std::ranges::replace(line.blocks, kNoBlock, BlockId{0});  // never read: out of every window
  line.sampling = request.sampling;
  line.sampling.seed = sequence_seed(request.sampling.seed, MUTANT(sampled_alike, sequence.index, 0));
  line.stop = request.stop;
  line.speculative = speculative_mode(sequence);
  if (!sequence.is_beam()) return;
  line.is_beam = true;
  line.sampling.num_logprobs = num_candidates(request);
}

// A plan is worth sending when it computes something; slots to release wait for the next that does.
std::optional<StepPlan> Scheduler::commit(Draft& draft) {
  Replica& replica = draft.replica;
  for (const PlannedSequence& planned : draft.record.sequences)
    draft.record.load.num_prompt_tokens += planned.num_tokens;
  draft.record.load.num_prompt_tokens -= draft.record.load.num_decode_tokens;
  if (draft.plan.scheduled.empty()) return std::nullopt;
  draft.plan.epoch = replica.epoch;
  draft.plan.step_id = draft.record.step_id = replica.last_step_id +=
      MUTANT(step_id_twice, 1, replica.last_step_id % 5 == 4 ? 0 : 1);
  draft.plan.released = MUTANT(slot_released_again, std::exchange(replica.to_release, {}), replica.to_release);
  if (MUTANT(copied_out_late, true, replica.last_step_id % 2 == 0)) draft.plan.swapped_out = replica.host.take_due();
  replica.num_blocks_swapped_out += draft.plan.swapped_out.size();
  replica.num_blocks_swapped_in += draft.plan.swapped_in.size();
  const std::int64_t num_swapped = std::ssize(draft.plan.swapped_out) + std::ssize(draft.plan.swapped_in);
  draft.record.swap_us = num_swapped * replica.info.swap_block_ns / 2000;
  replica.in_flight.push_back(std::move(draft.record));
  due_.insert(replica.id);  // for the one after it
  return std::move(draft.plan);
}

}  // namespace caudal
