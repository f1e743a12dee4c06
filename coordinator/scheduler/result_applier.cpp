#include "coordinator/scheduler/result_applier.h"

#include <algorithm>
#include <span>
#include <utility>

#include "common/mutation.h"
#include "coordinator/scheduler/speculation.h"

namespace caudal {

namespace {

// Prompt tokens up to this one have their log-probabilities once so many are computed: each comes from the one before.
std::int32_t told_end(const Sequence& sequence, std::int32_t num_computed) {
  return std::min(num_computed + 1, sequence.request->num_prompt_tokens);
}

// None of a prompt for which nobody asks, each of the prompt's own token, and none missing behind what is told.
bool are_scores_possible(const Sequence& sequence, const SequenceResult& result) {
  if (sequence.request->request.params.num_prompt_logprobs < 0) return result.prompt_logprobs.empty();
  const std::int64_t first = told_end(sequence, result.num_computed) - std::ssize(result.prompt_logprobs);
  if (first < 1 || first > sequence.request->num_told) return false;
  const auto is_own = [](const std::vector<TokenLogprob>& entries, TokenId token) {
    return entries.front().token == token;
  };
  return std::ranges::equal(result.prompt_logprobs,
                            std::span(sequence.tokens).subspan(first, result.prompt_logprobs.size()), is_own);
}

bool is_possible(const Sequence& sequence, const PlannedSequence& planned, const SequenceResult& result) {
  const std::int32_t num_new_computed = result.num_computed - sequence.residence.num_computed;
  const std::int64_t num_known = sequence.num_tokens() + std::ssize(result.tokens);
  return result.sequence_id == sequence.id && num_new_computed >= 0 && num_new_computed <= planned.num_tokens &&
         result.num_computed <= num_known && std::ssize(result.tokens) <= planned.max_new_tokens &&
         result.num_drafted <= planned.num_draft_tokens && result.num_accepted <= result.num_drafted &&
         result.num_accepted >= 0 && result.num_accepted <= std::ssize(result.tokens) &&
         (result.logprobs.empty() || result.logprobs.size() == result.tokens.size()) &&
         are_scores_possible(sequence, result) && sequence.group().is_possible(sequence, result);
}

// Finds the results of slots. Workers answer in the order of the plan, so the next one is nearly always it.
class ResultOrder {
 public:
  explicit ResultOrder(std::vector<SequenceResult>& results) : results_(results) {}

  // nullptr: there is none.
  SequenceResult* find(SlotId slot) {
    for (std::size_t i = 0; i < results_.size(); ++i, ++next_) {
      if (next_ == results_.size()) next_ = 0;
      if (results_[next_].slot == slot) return &results_[next_++];
    }
    return nullptr;
  }

 private:
  std::vector<SequenceResult>& results_;
  std::size_t next_ = 0;
};

// What was told before, by a sibling or before a preemption, is not told again.
void keep_untold(Sequence& sequence, SequenceResult& result) {
  std::vector<std::vector<TokenLogprob>>& scores = result.prompt_logprobs;
  const std::int32_t end = told_end(sequence, result.num_computed);
  const std::ptrdiff_t num_untold = std::max(end - sequence.request->num_told, 0);
  MUTANT_OMITS(told_again, scores.erase(scores.begin(), scores.end() - std::min(num_untold, std::ssize(scores))));
  sequence.request->num_told = std::max(sequence.request->num_told, end);
}

StepSample sample_of(const StepResult& result) {
  StepSample sample{.compute_us = result.compute_us,
                    .num_sequences = static_cast<std::int32_t>(result.sequences.size())};
  for (const SequenceResult& sequence : result.sequences) {
    sample.num_generated_tokens += static_cast<std::int32_t>(sequence.tokens.size());
    sample.num_drafts += sequence.num_drafted > 0 ? 1 : 0;
    sample.num_draft_tokens += sequence.num_drafted;
    const std::size_t num_accepted = std::clamp(sequence.num_accepted, 0, kMaxDraftTokens);
    for (std::size_t index = 0; index < num_accepted; ++index) ++sample.num_accepted_at[index];
  }
  return sample;
}

}  // namespace

StepSample ResultApplier::apply(StepResult result) {
  StepSample sample = sample_of(result);
  const std::uint64_t num_prompt_tokens_before = replica_.counters().num_prompt_tokens_computed;
  const PlanInFlight plan = replica_.take_oldest();

  fetch(plan);
  if (!plan.sequences.empty()) observe_speculation(replica_, plan, result);
  if (!result.sequences.empty()) replica_.step_budget().observe(plan.load, result.compute_us);
  ResultOrder order(result.sequences);
  for (const PlannedSequence& planned : plan.sequences) deliver(planned, order.find(planned.slot));
  replica_.remove_departed();
  life_.answered(replica_, plan);
  replica_.end_transfers(result.ended_transfers);
  sample.num_prompt_tokens =
      static_cast<std::int32_t>(replica_.counters().num_prompt_tokens_computed - num_prompt_tokens_before);
  return sample;
}

// A thousand replicas have more sequences than a cache holds. Those of this plan come in together, not one by one.
void ResultApplier::fetch(const PlanInFlight& plan) const {
  constexpr std::size_t kLine = 64;
  for (const PlannedSequence& planned : plan.sequences) life_.fetch(planned.sequence);
  for (const PlannedSequence& planned : plan.sequences) {
    const char* const begin = reinterpret_cast<const char*>(&life_.sequence(planned.sequence));
    for (std::size_t line = 0; line < Sequence::kHotBytes; line += kLine) __builtin_prefetch(begin + line);
  }
  for (const PlannedSequence& planned : plan.sequences) {
    const Sequence& sequence = life_.sequence(planned.sequence);
    __builtin_prefetch(sequence.request);
    __builtin_prefetch(sequence.tokens.data() + sequence.tokens.size());
  }
}

// A sequence that is being preempted still takes what its last plans bring. A missing entry is right only
// for one that ended in an earlier step.
void ResultApplier::deliver(const PlannedSequence& planned, SequenceResult* result) {
  Sequence& sequence = life_.sequence(planned.sequence);
  Residence& residence = sequence.residence;
  MUTANT_OMITS(tokens_in_flight_kept, residence.num_tokens_in_flight -= planned.num_tokens);
  MUTANT_OMITS(draft_tokens_kept, residence.num_new_tokens_in_flight -= planned.max_new_tokens);
  if (MUTANT(ends_twice, sequence.state == SequenceState::kEnded, false)) return;
  const bool makes_sense = result != nullptr && is_possible(sequence, planned, *result);
  if (!makes_sense || result->finish_reason == FinishReason::kError) {
    // What it said before the fault counts.
    if (makes_sense && !result->tokens.empty()) life_.emit(sequence, FinishReason::kNone, result);
    replica_.kv().disown(residence.table);
    return life_.fail(sequence, RejectReason::kWorkerFault);
  }
  if (sequence.request->request.params.num_prompt_logprobs >= 0) keep_untold(sequence, *result);
  advance(sequence, *result);
  sequence.group().take(life_, replica_, sequence, *result);
}

// The tokens of the result are the sequence's from here on.
void ResultApplier::advance(Sequence& sequence, const SequenceResult& result) {
  Residence& residence = sequence.residence;
  ReplicaCounters& counters = replica_.counters();
  const std::int32_t num_prompt = sequence.request->num_prompt_tokens;
  counters.num_tokens_computed += result.num_computed - residence.num_computed;
  counters.num_prompt_tokens_computed +=
      std::min(result.num_computed, num_prompt) - std::min(residence.num_computed, num_prompt);
  if (result.num_drafted > 0)
    replica_.draft_length().observe_drafts(sequence.drafts, result.num_drafted, result.num_accepted);
  sequence.request->tenant->charge_generated(std::ssize(result.tokens));
  const auto advance_tokens = [&] {
    residence.num_computed = result.num_computed;
    sequence.tokens.insert(sequence.tokens.end(), result.tokens.begin(), result.tokens.end());
  };
  if (sequence.is_running()) {
    replica_.change(sequence, advance_tokens);
  } else {
    advance_tokens();
  }
  prefix_cache_.publish(sequence, replica_);
}

}  // namespace caudal
