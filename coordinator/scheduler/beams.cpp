// Beams: beam search. The beams of a request come and go together; in between each of them is a sequence like any
// other, with one step per token. What differs: a worker sends its most likely next tokens instead of choosing one;
// once all beams have theirs, BeamSearch chooses for all, and a beam that the choice ends goes on from a sibling
// instead. It shares that sibling's full blocks and gets a copy of the partly filled one, in its old slot. Sequence i
// stands for position i of the search. After a preemption the first beam computes its tokens again, and the others
// enter behind what they share with it.
#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/policy/beam_search.h"
#include "coordinator/scheduler/groups.h"
#include "coordinator/scheduler/plan_builder.h"

namespace caudal {

namespace {

class Beams final : public SequenceGroup {
 public:
  Beams(RequestState& request, const SchedulerConfig& config);

  std::int32_t num_together() const override { return request_.request.num_running(); }
  std::span<Sequence> bound_to(Sequence&) override { return request_.sequences; }
  bool is_choice(const Sequence& beam) const override;
  std::span<Sequence> give_up(Sequence& choice) override;
  Sequence* enqueue(Sequence& beam) override;
  Sequence* dequeue(Sequence& beam) override;
  bool are_sampled() const override { return false; }

  void admit_others(PlanBuilder& plan, Sequence& first) override;
  bool must_enter(const Sequence& beam) const override { return move_of(beam).enters; }
  bool enter(PlanBuilder& plan, Sequence& beam, std::int32_t max_tokens) override;
  bool is_in_step(StepId step) const override { return planned_in_ == step; }
  void complete(const Sequence& beam, NewSequence& line) const override;
  void complete(const Sequence& beam, ScheduledSequence& line, StepId step) override;

  bool is_possible(const Sequence& beam, const SequenceResult& result) const override;
  void take(Lifecycle& life, ReplicaState& replica, Sequence& beam, SequenceResult& result) override;
  void check_integrity() const override;

 private:
  // How a beam differs from what its worker has in the slot.
  struct Move {
    bool enters = false;     // it goes on from a sibling's tokens: the blocks in its table are of no worth
    bool has_token = false;  // it has one token more
    bool is_spent = false;   // the search goes on without it, but the first beam is still to take over what it has
  };
  // A sibling whose first tokens a beam can take over.
  struct Source {
    const Sequence* sibling = nullptr;
    std::int32_t num_tokens = 0;
  };

  static std::size_t at(const Sequence& beam) { return static_cast<std::size_t>(beam.index); }
  Move& move_of(const Sequence& beam) { return moves_[at(beam)]; }
  const Move& move_of(const Sequence& beam) const { return moves_[at(beam)]; }
  std::int32_t num_shared(const Sequence& a, const Sequence& b) const;
  Source find_source(const Sequence& beam) const;
  bool has_all_candidates() const;
  void move_beams(ReplicaState& replica, const std::vector<std::int32_t>& parents);
  void move_beam(ReplicaState& replica, Sequence& beam, const Sequence& parent);
  void clear(ReplicaState& replica, Sequence& beam);
  void finish(Lifecycle& life);
  // Nobody may preempt them any more: they keep as many blocks as they can ever need.
  bool keep_blocks() const { return request_.sequences.front().num_preemptions >= config_.max_preemptions; }

  RequestState& request_;
  const SchedulerConfig& config_;
  BeamSearch search_;
  std::vector<Move> moves_;                            // by position
  std::vector<std::vector<TokenLogprob>> candidates_;  // by position; empty: they have not come yet
  std::vector<bool> unwanted_;                         // by choice: cancelled
  bool is_queued_ = false;                             // the first sequence stands in the waiting queue, for all
  StepId planned_in_ = 0;                              // the last step with work for one of them, where they run
};

Beams::Beams(RequestState& request, const SchedulerConfig& config)
    : request_(request),
      config_(config),
      search_(*request.request.beam, request.request.params.stop.stop_token_ids,
              request.request.params.sampling.num_logprobs),
      moves_(request.sequences.size()),
      candidates_(request.sequences.size()),
      unwanted_(request.request.num_sequences) {}

// --- coming and going ---

bool Beams::is_choice(const Sequence& beam) const { return at(beam) < unwanted_.size() && !unwanted_[at(beam)]; }

std::span<Sequence> Beams::give_up(Sequence& choice) {
  unwanted_[at(choice)] = true;
  const bool is_wanted = std::ranges::find(unwanted_, false) != unwanted_.end();
  return MUTANT(choice_cancels_all, is_wanted, false) ? std::span<Sequence>() : std::span(request_.sequences);
}

Sequence* Beams::enqueue(Sequence&) {
  const auto waits = [](const Sequence& beam) { return beam.state == SequenceState::kWaiting; };
  if (is_queued_ || MUTANT(beams_queued_singly, !std::ranges::all_of(request_.sequences, waits), false)) return nullptr;
  is_queued_ = true;
  return &request_.sequences.front();
}

Sequence* Beams::dequeue(Sequence&) { return std::exchange(is_queued_, false) ? &request_.sequences.front() : nullptr; }

// --- plans ---

// The others get their slots with the first one, and their blocks when it has computed what they share.
void Beams::admit_others(PlanBuilder& plan, Sequence& first) {
  is_queued_ = false;
  candidates_.assign(candidates_.size(), {});
  move_of(first) = {};
  KvManager& kv = plan.replica().kv();
  const Demand demand = demand_of(config_, first);
  const std::int32_t num_kept = keep_blocks() ? further_blocks(demand, first.residence.token_limit) : 0;
  for (Sequence& beam : std::span(request_.sequences).subspan(1)) {
    beam.started = true;  // its search has: only the first one tells how long it waited
    if (move_of(beam).is_spent) beam.tokens.clear();
    move_of(beam) = {.enters = !beam.tokens.empty()};
    plan.life().start(beam, plan.replica());
    CHECK(kv.grow(beam.residence.table, num_kept * kBlockSize));
  }
}

// All but the last token at the most, which has to be computed.
std::int32_t Beams::num_shared(const Sequence& a, const Sequence& b) const {
  const auto begin = request_.num_prompt_tokens;
  const auto [end, _] =
      std::mismatch(a.tokens.begin() + begin, a.tokens.end(), b.tokens.begin() + begin, b.tokens.end());
  return std::min(static_cast<std::int32_t>(end - a.tokens.begin()) + MUTANT(beam_takes_more, 0, 1),
                  a.num_tokens() - 1);
}

// The one with which it shares most.
Beams::Source Beams::find_source(const Sequence& beam) const {
  Source best;
  for (const Sequence& sibling : request_.sequences) {
    if (&sibling == &beam || move_of(sibling).enters || sibling.tokens.empty()) continue;
    const std::int32_t shared = num_shared(beam, sibling);
    if (best.sibling == nullptr || shared > best.num_tokens) best = {&sibling, shared};
  }
  CHECK_MSG(best.sibling != nullptr, "no beam is left to go on from");
  return best;
}

// A beam keeps what it has until the blocks that it needs are there for sure.
bool Beams::enter(PlanBuilder& plan, Sequence& beam, std::int32_t max_tokens) {
  ReplicaState& replica = plan.replica();
  KvManager& kv = replica.kv();
  Residence& residence = beam.residence;
  const Source source = find_source(beam);
  if (source.sibling->residence.num_computed < source.num_tokens) return false;  // it is still computing them
  const std::int32_t num_missing = beam.num_tokens() - source.num_tokens;
  const std::int32_t num_tokens = plan.chunk(num_missing);
  if (num_missing > max_tokens || num_tokens <= 0) return false;
  const std::int32_t num_known = entry_tokens(replica.info(), demand_of(config_, beam));
  const std::int32_t num_new = blocks_for(num_known) - source.num_tokens / kBlockSize;
  if (!plan.free_blocks(beam, num_new * kv.num_groups() - kv.num_exclusive(residence.table))) return false;

  MUTANT_ADDS(beam_blocks_leak, residence.table = {});
  kv.release(residence.table);
  std::optional<Fork> fork = kv.fork(source.sibling->residence.table, source.num_tokens);
  CHECK(fork.has_value());
  residence.table = std::move(fork->table);
  for (const BlockCopy& copy : fork->copies) MUTANT_OMITS(beam_not_copied, plan.copy_block(copy));
  CHECK(kv.grow(residence.table, num_known));
  replica.change(beam, [&] { residence.num_computed = source.num_tokens; });
  move_of(beam) = {};
  if (move_of(*source.sibling).is_spent) clear(replica, request_.sequences[at(*source.sibling)]);
  plan.send_whole(beam);
  plan.schedule(beam, num_tokens);
  return true;
}

void Beams::complete(const Sequence&, NewSequence& line) const {
  line.is_beam = true;
  line.params.sampling.num_logprobs = num_candidates(request_.request);
}

void Beams::complete(const Sequence& beam, ScheduledSequence& line, StepId step) {
  if (std::exchange(move_of(beam).has_token, false)) line.next_token = beam.tokens.back();
  planned_in_ = step;
}

// --- answers ---

// Candidates come with the last known token, and only with it.
bool Beams::is_possible(const Sequence& beam, const SequenceResult& result) const {
  const auto is_sane = [](const TokenLogprob& next) { return next.token >= 0 && std::isfinite(next.logprob); };
  const bool is_whole = result.num_computed == beam.num_tokens() && result.finish_reason == FinishReason::kNone;
  return is_whole != result.candidates.empty() && std::ranges::all_of(result.candidates, is_sane) &&
         (result.finish_reason == FinishReason::kNone || result.finish_reason == FinishReason::kError);
}

bool Beams::has_all_candidates() const {
  for (std::size_t i = 0; i < candidates_.size() - MUTANT(choice_too_early, 0, 1); ++i) {
    if (search_.is_live(i) && candidates_[i].empty()) return false;
  }
  return true;
}

void Beams::take(Lifecycle& life, ReplicaState& replica, Sequence& beam, SequenceResult& result) {
  if (!beam.is_running() || result.candidates.empty()) return;
  request_.tenant->charge_generated(1);
  candidates_[at(beam)] = std::move(result.candidates);
  if (!has_all_candidates()) return;
  const std::int32_t max_tokens = beam.residence.token_limit - request_.num_prompt_tokens;
  const std::vector<std::int32_t> parents = search_.advance(candidates_, max_tokens);
  candidates_.assign(candidates_.size(), {});
  if (parents.front() == BeamSearch::kNone) {
    finish(life);
  } else {
    move_beams(replica, parents);
  }
}

// Every beam has the tokens of its position from here on; plans bring them to the worker.
void Beams::move_beams(ReplicaState& replica, const std::vector<std::int32_t>& parents) {
  for (Sequence& beam : request_.sequences) {
    const std::int32_t from = parents[at(beam)];
    if (from == beam.index) {
      replica.change(beam, [&] { beam.tokens.push_back(search_.beams()[at(beam)].tokens.back()); });
      MUTANT_OMITS(beam_token_unsent, move_of(beam).has_token = true);
      if (!keep_blocks()) replica.kv().drop_hidden(beam.residence.table, beam.residence.num_computed);
    } else if (from != BeamSearch::kNone) {
      move_beam(replica, beam, request_.sequences[from]);
    } else if (parents.front() == beam.index) {  // fewer go on than there were, and the first had none
      move_of(beam) = {.is_spent = true};
    } else {
      clear(replica, beam);
    }
  }
}

void Beams::move_beam(ReplicaState& replica, Sequence& beam, const Sequence& parent) {
  const std::vector<TokenId>& generated = search_.beams()[at(beam)].tokens;
  // One of the parent's beams stays there, unless it is spent.
  const std::vector<TokenId>& parents_own = search_.beams()[at(parent)].tokens;
  CHECK_MSG(parents_own.empty() ||
                std::equal(generated.begin(), generated.end() - 1, parents_own.begin(), parents_own.end() - 1),
            "a beam goes on from another one's parent");
  beam.hashes = parent.hashes;
  move_of(beam) = {.enters = true};
  replica.change(beam, [&] {
    beam.tokens.assign(parent.tokens.begin(), parent.tokens.begin() + request_.num_prompt_tokens);
    beam.tokens.insert(beam.tokens.end(), generated.begin(), generated.end());
    beam.residence.num_computed = 0;
  });
}

// Until another choice needs the position.
void Beams::clear(ReplicaState& replica, Sequence& beam) {
  move_of(beam) = {};
  replica.change(beam, [&] {
    beam.tokens.clear();
    beam.residence.num_computed = 0;
  });
  if (!keep_blocks()) replica.kv().release(beam.residence.table);
}

// A search that has found fewer than were asked for (a tiny vocabulary) repeats the last one.
void Beams::finish(Lifecycle& life) {
  std::vector<Hypothesis> best = search_.take_best(request_.request.num_sequences);
  for (std::size_t choice = 0; choice < unwanted_.size(); ++choice) {
    if (unwanted_[choice]) continue;
    const Hypothesis& found = best[std::min(choice, best.size() - 1)];
    SequenceResult result;
    result.tokens = found.beam.tokens;
    result.logprobs = found.beam.logprobs;
    life.emit(request_.sequences[choice], found.finish_reason, &result);
  }
  for (Sequence& beam : request_.sequences) life.finish(beam);
}

// --- invariants ---

void Beams::check_integrity() const {
  const auto in_state = [&](SequenceState state) {
    return std::ranges::count(request_.sequences, state, &Sequence::state);
  };
  const std::ptrdiff_t width = std::ssize(request_.sequences);
  for (const SequenceState state : {SequenceState::kRunning, SequenceState::kEnded}) {
    CHECK_MSG(in_state(state) == 0 || in_state(state) == width, "beams part company");
  }
  CHECK_MSG(is_queued_ == (in_state(SequenceState::kWaiting) == width),
            "a beam search is queued too early or not at all");
  for (const Sequence& beam : request_.sequences) {
    if (beam.state == SequenceState::kEnded) continue;
    CHECK(beam.num_preemptions == request_.sequences.front().num_preemptions);
    const bool has_tokens = search_.is_live(at(beam)) || move_of(beam).is_spent;
    CHECK_MSG(has_tokens == !beam.tokens.empty(), "a beam has no tokens, or tokens that are nobody's");
    if (!search_.is_live(at(beam))) continue;
    const auto generated = std::span(beam.tokens).subspan(request_.num_prompt_tokens);
    CHECK_MSG(std::ranges::equal(generated, search_.beams()[at(beam)].tokens),
              "a beam has other tokens than the search gave it");
    if (!beam.is_running()) continue;
    const Move& move = move_of(beam);
    CHECK_MSG(candidates_[at(beam)].empty() || (beam.num_uncomputed() == 0 && !move.enters),
              "candidates of tokens that are not computed");
    if (move.has_token) CHECK(beam.num_uncomputed() == 1);
  }
}

}  // namespace

std::unique_ptr<SequenceGroup> make_beams(RequestState& request, const SchedulerConfig& config) {
  return std::make_unique<Beams>(request, config);
}

}  // namespace caudal
