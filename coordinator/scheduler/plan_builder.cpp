#include "coordinator/scheduler/plan_builder.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

namespace {

// Of two targets; 0 is none.
Time tighter(Time a, Time b) { return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b); }

// Who is rather preempted: the less urgent, then who belongs to the tenant that was served more, then the later one.
bool is_better_victim(const Sequence& a, const Sequence& b) {
  if (a.key.rank != b.key.rank) return a.key.rank > b.key.rank;
  const std::int64_t a_served = a.request->tenant->service;
  const std::int64_t b_served = b.request->tenant->service;
  return a_served != b_served ? a_served > b_served : b.key < a.key;
}

// Log-probabilities in the answer to one plan: some 10 MB. More than that wait for later ones.
constexpr std::int64_t kMaxLogprobs = 1 << 20;

}  // namespace

PlanBuilder::PlanBuilder(Lifecycle& life, const PrefixCache& prefix_cache, ReplicaState& replica)
    : life_(life),
      config_(life.config()),
      prefix_cache_(prefix_cache),
      replica_(replica),
      left_(replica.admission(config_, config_.step_tokens(replica.info()))),
      speculation_(replica, config_.speculative) {}

// --- running sequences ---

void PlanBuilder::schedule_running() {
  plan_.scheduled.reserve(replica_.running().size());
  record_.sequences.reserve(replica_.running().size());
  schedule_decodes();
  limit_prompts();
  schedule_prompts();
  if (short_of_blocks_) replica_.remove_departed();
}

void PlanBuilder::schedule_decodes() {
  for (Sequence* sequence : replica_.running()) {
    ++num_walked_;
    if (!sequence->is_running()) continue;  // preempted a moment ago
    if (sequence->group().must_enter(*sequence)) {
      if (!sequence->group().enter(*this, *sequence, 1)) prompts_.push_back(sequence);
      continue;
    }
    const std::int32_t num_plannable = sequence->num_plannable();
    if (num_plannable > MUTANT(two_tokens_left, 1, 2)) prompts_.push_back(sequence);
    if (num_plannable != 1 || left_.num_tokens() <= 0) continue;
    itl_target_us_ = tighter(itl_target_us_, sequence->tpot_target_us);
    const auto num_to_come = static_cast<std::int32_t>(replica_.running().size() - num_walked_);
    schedule(*sequence, 1, speculation_.num_draft_tokens(*sequence, left_.num_tokens() - num_to_come));
  }
}

void PlanBuilder::schedule_prompts() {
  for (Sequence* sequence : prompts_) {
    if (!sequence->is_running()) continue;
    if (sequence->group().must_enter(*sequence)) {
      sequence->group().enter(*this, *sequence, sequence->num_tokens());
      continue;
    }
    const std::int32_t num_tokens = chunk(sequence->num_plannable());
    if (num_tokens > 0) schedule(*sequence, num_tokens);
  }
}

// With a target for the time between tokens, prompts get what the decodes of this step leave of it.
void PlanBuilder::limit_prompts() {
  record_.load.num_decode_tokens = config_.step_tokens(replica_.info()) - left_.num_tokens();
  const Time target_us = tighter(config_.itl_target_us, itl_target_us_);
  if (target_us == 0 || record_.load.num_decode_tokens == 0 || !config_.chunked_prefill) return;
  left_.limit_tokens(replica_.step_budget().prompt_tokens(record_.load.num_decode_tokens, target_us));
}

void PlanBuilder::schedule(Sequence& sequence, std::int32_t num_tokens, std::int32_t num_draft_tokens) {
  Residence& residence = sequence.residence;
  SequenceGroup& group = sequence.group();
  const std::size_t num_known_blocks = residence.table.blocks.size();
  num_tokens = limit_logprobs(sequence, num_tokens, num_draft_tokens);
  if (num_tokens == 0) return;
  const std::int32_t max_tokens = num_tokens + num_draft_tokens;
  if (!make_room(sequence, MUTANT(drafts_without_room, max_tokens, num_tokens))) return;

  const bool catches_up = sequence.max_computed() + num_tokens == sequence.max_known();
  const std::int32_t max_new_tokens =
      MUTANT(token_amid_prompt, catches_up && group.are_sampled() ? 1 + num_draft_tokens : 0, 1);
  residence.num_plans_in_flight += 1;
  residence.num_tokens_in_flight += max_tokens;
  residence.num_new_tokens_in_flight += max_new_tokens;
  left_.take_tokens(
      MUTANT(decodes_uncounted, MUTANT(drafts_uncounted, max_tokens, num_tokens), max_tokens > 1 ? max_tokens : 0));
  record_.sequences.push_back({sequence.id, residence.slot, max_tokens, max_new_tokens, num_draft_tokens});
  ScheduledSequence& line = plan_.scheduled.emplace_back();
  line.slot = residence.slot;
  line.num_tokens = num_tokens;
  line.num_draft_tokens = num_draft_tokens;
  line.new_blocks.assign(residence.table.blocks.begin() + static_cast<std::ptrdiff_t>(num_known_blocks),
                         residence.table.blocks.end());
  group.complete(sequence, line, replica_.next_step_id());
}

// How many of the tokens it may compute in this step, whose answer tells the log-probabilities that it asks for. The
// first one that asks gets on in any case.
std::int32_t PlanBuilder::limit_logprobs(const Sequence& sequence, std::int32_t num_tokens,
                                         std::int32_t num_draft_tokens) {
  const GenerationParams& params = sequence.request->request.params;
  const SamplingParams& sampling = params.sampling;
  const std::int64_t per_prompt_token = sequence.must_tell_prompt() ? 1 + params.num_prompt_logprobs : 0;
  const std::int64_t per_sample =
      sampling.num_logprobs >= 0 ? 1 + sampling.num_logprobs + std::ssize(sampling.logprob_token_ids) : 0;
  if (per_prompt_token == 0 && per_sample == 0) return num_tokens;
  const std::int64_t samples = per_sample * (1 + num_draft_tokens);
  const std::int64_t left = kMaxLogprobs - num_logprobs_ - samples;
  if (num_logprobs_ > 0 && left < per_prompt_token) return 0;
  if (per_prompt_token > 0)
    num_tokens = static_cast<std::int32_t>(std::clamp<std::int64_t>(left / per_prompt_token, 1, num_tokens));
  num_logprobs_ += samples + per_prompt_token * num_tokens;
  return num_tokens;
}

// Grows the block table for `num_tokens` more tokens. False: not in this step.
bool PlanBuilder::make_room(Sequence& sequence, std::int32_t num_tokens) {
  BlockTable& table = sequence.residence.table;
  const std::int32_t num_needed = sequence.max_computed() + num_tokens;
  return free_blocks(sequence, replica_.kv().num_missing(table, num_needed)) && replica_.kv().grow(table, num_needed);
}

bool PlanBuilder::free_blocks(Sequence& needy, std::int32_t num_blocks) {
  const BlockPool<Tier::kDevice>& pool = replica_.kv().pool();
  while (pool.num_free() < num_blocks) {
    short_of_blocks_ = true;
    const std::int32_t num_departing = replica_.kv().transfers().num_departing();
    if (pool.num_free() + replica_.num_leaving_blocks() + num_departing >= num_blocks) return false;
    Sequence* victim = choose_victim(needy);
    if (victim == nullptr) return false;
    life_.preempt(*victim);
    if (MUTANT(planned_though_preempted, !needy.is_running(), false)) return false;
  }
  return true;
}

// Among those that are not in this plan yet and may be preempted, the needy one included. nullptr: nobody, because
// some that are bound to the needy one are in this plan.
Sequence* PlanBuilder::choose_victim(Sequence& needy) const {
  const auto is_in_plan = [&](const Sequence& sequence) {
    return sequence.group().is_in_step(replica_.next_step_id());
  };
  Sequence* victim = is_in_plan(needy) ? nullptr : &needy;
  const auto consider = [&](Sequence* sequence) {
    if (!sequence->is_running()) return;
    if (MUTANT(endless_preemption, sequence->num_preemptions >= config_.max_preemptions, false)) return;
    if (is_in_plan(*sequence)) return;
    if (victim == nullptr || is_better_victim(*sequence, *victim)) victim = sequence;
  };
  for (std::size_t i = num_walked_; i < replica_.running().size(); ++i) consider(replica_.running()[i]);
  for (Sequence* sequence : prompts_) consider(sequence);
  return victim;
}

// --- waiting sequences ---

// Takes what the queue has for this replica, as far as it fits now.
void PlanBuilder::admit_waiting() {
  if (short_of_blocks_ || life_.waiting().size() == 0) return;
  left_ = replica_.admission(config_, left_.num_tokens());  // anew: running sequences have just taken blocks
  if (left_.exhausted()) return;
  Placement& placement = life_.placement();
  placement.update(life_.due());
  while (const std::optional<SequenceId> first = placement.first(replica_.id())) {
    Sequence& sequence = life_.sequence(*first);
    Demand demand = demand_of(config_, sequence);
    demand.cached = prefix_cache_.probe(sequence, replica_);
    if (!left_.admits(demand)) return placement.leave_rest(replica_.id());
    placement.take_first(replica_.id());
    life_.waiting().erase(sequence);
    left_.take_room(demand);
    admit(sequence, demand);
  }
}

void PlanBuilder::admit(Sequence& sequence, const Demand& demand) {
  for (const BlockCopy& copy : prefix_cache_.enter(sequence, replica_)) copy_block(copy);
  // All of what is known at once: a prompt that has begun never waits for blocks.
  CHECK(replica_.kv().grow(sequence.residence.table, entry_tokens(replica_.info(), demand)));
  life_.start(sequence, replica_);
  send_whole(sequence);
  sequence.group().admit_others(*this, sequence);
  const std::int32_t num_tokens = chunk(sequence.num_plannable());
  if (num_tokens > 0) schedule(sequence, num_tokens);  // else its blocks have to arrive first
}

// --- lines of the plan ---

void PlanBuilder::copy_block(const BlockCopy& copy) {
  MUTANT_OMITS(fork_not_copied, plan_.block_copies.push_back(copy));
  MUTANT_ADDS(copy_source_free, return);
  record_.copied.push_back(copy.source);
  replica_.kv().keep(copy.source);
}

void PlanBuilder::send_whole(Sequence& sequence) {
  replica_.send_whole(sequence);
  const Residence& residence = sequence.residence;
  const Request& request = sequence.request->request;
  NewSequence& line = plan_.new_sequences.emplace_back();
  line.slot = residence.slot;
  line.sequence_id = sequence.id;
  line.tokens = sequence.tokens;
  MUTANT_ADDS(resumes_without_output, line.tokens.resize(sequence.request->num_prompt_tokens));
  line.num_prompt_tokens = MUTANT(output_is_prompt, sequence.request->num_prompt_tokens, sequence.num_tokens());
  line.num_computed = residence.num_computed;
  line.blocks = residence.table.blocks;
  line.params = request.params;
  line.params.sampling.seed = sequence_seed(request.params.sampling.seed, MUTANT(sampled_alike, sequence.index, 0));
  if (!sequence.must_tell_prompt()) line.params.num_prompt_logprobs = -1;
  line.params.speculative = speculative_mode(sequence, config_.speculative);
  sequence.group().complete(sequence, line);
}

std::optional<StepPlan> PlanBuilder::finish() {
  if (plan_.scheduled.empty() && !replica_.must_hear_of_transfers()) return std::nullopt;
  StepLoad& load = record_.load;
  for (const PlannedSequence& planned : record_.sequences) load.num_prompt_tokens += planned.num_tokens;
  load.num_prompt_tokens -= load.num_decode_tokens;
  replica_.send(plan_, std::move(record_));
  life_.due().insert(replica_.id());  // for the plan after it
  life_.placement().replica_planned(replica_);
  return std::move(plan_);
}

}  // namespace caudal
