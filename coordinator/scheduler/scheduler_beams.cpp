// Scheduler: beam search. The beams of a request come and go together; in between each of them is a sequence like any
// other, with one step per token. What differs: its next token is chosen once all have told their candidates, and a
// beam that the choice ends goes on from a sibling instead. It shares that sibling's full blocks and gets a copy of
// the partly filled one, in its old slot. How beams are ranked is BeamSearch's.
#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/scheduler/scheduler_draft.h"

namespace caudal {

namespace {

// A sibling whose first tokens a beam can take over.
struct Source {
  const Sequence* sibling = nullptr;
  std::int32_t num_tokens = 0;
};

// All but the last token at the most, which has to be computed.
std::int32_t num_shared(const Sequence& a, const Sequence& b) {
  const auto begin = a.request->num_prompt_tokens;
  const auto [end, _] =
      std::mismatch(a.tokens.begin() + begin, a.tokens.end(), b.tokens.begin() + begin, b.tokens.end());
  return std::min(static_cast<std::int32_t>(end - a.tokens.begin()) + MUTANT(beam_takes_more, 0, 1),
                  a.num_tokens() - 1);
}

// The one with which it shares most; none while that one is still computing it.
std::optional<Source> find_source(const Sequence& beam) {
  Source best;
  for (const Sequence& sibling : beam.request->sequences) {
    if (&sibling == &beam || sibling.move.enters || sibling.tokens.empty()) continue;
    const std::int32_t shared = num_shared(beam, sibling);
    if (best.sibling == nullptr || shared > best.num_tokens) best = {&sibling, shared};
  }
  CHECK_MSG(best.sibling != nullptr, "no beam is left to go on from");
  if (best.sibling->residence.num_computed < best.num_tokens) return std::nullopt;
  return best;
}

}  // namespace

bool Scheduler::is_in_plan(const Draft& draft, const Sequence& sequence) {
  return sequence.is_beam() && sequence.request->beams->planned_in == draft.replica.last_step_id + 1;
}

// The others get their slots with the first one, and their blocks when it has computed what they share. Where nobody
// may be preempted any more they hold as many blocks as they can ever need.
void Scheduler::admit_beams(Draft& draft, Sequence& first) {
  Replica& replica = draft.replica;
  RequestState& request = *first.request;
  const Demand demand = demand_of(first);
  request.beams->is_queued = false;
  request.beams->candidates.assign(request.sequences.size(), {});
  first.move = {};
  for (Sequence& beam : std::span(request.sequences).subspan(1)) {
    --counters_.num_waiting;
    ++counters_.num_running;
    beam.state = SequenceState::kRunning;
    beam.started = true;
    beam.move = {.enters = !beam.tokens.empty()};
    Residence& residence = beam.residence;
    residence.replica = replica.id;
    residence.slot = replica.free_slots.back();
    replica.free_slots.pop_back();
    residence.token_limit = first.residence.token_limit;
    const std::int32_t num_kept = demand.never_preempted ? further_beam_blocks(demand, residence.token_limit) : 0;
    CHECK(replica.kv.grow(residence.table, num_kept * kBlockSize));
    replica.insert_running(beam);
    replica.num_uncomputed_tokens += beam.num_uncomputed();
  }
}

// Puts a beam that goes on from a sibling into the plan. False: not in this step, or it has to compute more than
// `max_tokens` tokens itself (after a preemption).
bool Scheduler::enter_beam(Draft& draft, Sequence& beam, std::int32_t max_tokens) {
  Replica& replica = draft.replica;
  Residence& residence = beam.residence;
  const std::optional<Source> source = find_source(beam);
  if (!source || beam.num_tokens() - source->num_tokens > max_tokens) return false;
  const std::int32_t num_tokens = draft.left.chunk(beam.num_tokens() - source->num_tokens);
  if (num_tokens <= 0) return false;

  replica.num_uncomputed_tokens += std::exchange(residence.num_computed, 0);
  MUTANT_ADDS(beam_blocks_leak, residence.table = {});
  replica.kv.release(residence.table);
  const std::int32_t num_known = entry_tokens(replica.info, demand_of(beam));
  if (!free_blocks(draft, beam, blocks_for(num_known) - source->num_tokens / kBlockSize)) return false;
  std::optional<Fork> fork = replica.kv.fork(source->sibling->residence.table, source->num_tokens);
  CHECK(fork.has_value());
  residence.table = std::move(fork->table);
  if (fork->copy) MUTANT_OMITS(beam_not_copied, copy_block(draft, *fork->copy));
  CHECK(replica.kv.grow(residence.table, num_known));
  residence.num_computed = source->num_tokens;
  replica.num_uncomputed_tokens -= residence.num_computed;

  if (std::exchange(residence.is_told, true)) replica.to_release.push_back(residence.slot);
  beam.move = {};
  enter(draft, beam);
  schedule(draft, beam, num_tokens);
  return true;
}

void Scheduler::take_candidates(Replica& replica, Sequence& beam, std::vector<TokenLogprob> candidates) {
  RequestState& request = *beam.request;
  BeamGroup& group = *request.beams;
  request.tenant->charge_generated(1);
  group.candidates[static_cast<std::size_t>(beam.index)] = std::move(candidates);
  for (std::size_t place = 0; place < group.candidates.size() - MUTANT(choice_too_early, 0, 1); ++place) {
    if (group.search.is_live(place) && group.candidates[place].empty()) return;
  }
  const auto parents =
      group.search.advance(std::exchange(group.candidates, {}), beam.residence.token_limit - request.num_prompt_tokens);
  group.candidates.resize(request.sequences.size());
  if (parents.front() == BeamSearch::kNone) {
    finish_beams(request);
  } else {
    move_beams(replica, request, parents);
  }
}

// Every beam has the tokens of its place from here on; plans bring them to the worker.
void Scheduler::move_beams(Replica& replica, RequestState& request, const std::vector<std::int32_t>& parents) {
  const bool keeps_blocks = request.sequences.front().num_preemptions >= config_.max_preemptions;
  for (Sequence& beam : request.sequences) {
    Residence& residence = beam.residence;
    const std::int32_t num_uncomputed_before = beam.num_uncomputed();
    const std::int32_t from = parents[static_cast<std::size_t>(beam.index)];
    const std::vector<TokenId>& generated = request.beams->search.beams()[static_cast<std::size_t>(beam.index)].tokens;
    if (from == beam.index) {
      beam.tokens.push_back(generated.back());
      MUTANT_OMITS(beam_token_unsent, beam.move.has_token = true);
      if (!keeps_blocks)
        replica.kv.drop(residence.table, hidden_blocks(replica.info.attention_window, residence.num_computed));
    } else if (from != BeamSearch::kNone) {
      const Sequence& parent = request.sequences[static_cast<std::size_t>(from)];
      beam.hashes = parent.hashes;
      beam.tokens.assign(parent.tokens.begin(), parent.tokens.begin() + request.num_prompt_tokens);
      beam.tokens.insert(beam.tokens.end(), generated.begin(), generated.end());
      beam.move.enters = true;
    } else {  // until another choice needs the place
      beam.tokens.clear();
      beam.move = {};
      residence.num_computed = 0;
      if (!keeps_blocks) replica.kv.release(residence.table);
    }
    replica.num_uncomputed_tokens += beam.num_uncomputed() - num_uncomputed_before;
  }
}

// A search that has found fewer than were asked for (a tiny vocabulary) tells the last one again.
void Scheduler::finish_beams(RequestState& request) {
  std::vector<Hypothesis> best = request.beams->search.take_best(request.request.num_sequences);
  for (std::size_t choice = 0; choice < request.beams->unwanted.size(); ++choice) {
    if (request.beams->unwanted[choice]) continue;
    const Hypothesis& told = best[std::min(choice, best.size() - 1)];
    SequenceResult result;
    result.tokens = told.beam.tokens;
    result.logprobs = told.beam.logprobs;
    emit(request.sequences[choice], told.finish_reason, &result);
  }
  for (Sequence& beam : request.sequences) {
    ++counters_.num_finished;
    end(beam);
  }
}

void Scheduler::cancel_choice(RequestState& request, std::int32_t choice) {
  std::vector<bool>& unwanted = request.beams->unwanted;
  unwanted[static_cast<std::size_t>(choice)] = true;
  const bool is_unwanted = std::ranges::find(unwanted, false) == unwanted.end();
  if (MUTANT(choice_cancels_all, is_unwanted, true)) cancel(request, request.sequences);
}

void Scheduler::check_beams(const RequestState& request) const {
  const BeamGroup& group = *request.beams;
  const auto in_state = [&](SequenceState state) {
    return static_cast<std::size_t>(std::ranges::count(request.sequences, state, &Sequence::state));
  };
  const std::size_t width = request.sequences.size();
  for (const SequenceState state : {SequenceState::kRunning, SequenceState::kEnded}) {
    CHECK_MSG(in_state(state) == 0 || in_state(state) == width, "beams part company");
  }
  CHECK_MSG(group.is_queued == (in_state(SequenceState::kWaiting) == width),
            "a beam search is queued too early or not at all");
  for (std::size_t place = 0; place < width; ++place) {
    const Sequence& beam = request.sequences[place];
    const std::vector<TokenId>& generated = group.search.beams()[place].tokens;
    if (beam.state == SequenceState::kEnded) continue;
    CHECK(beam.num_preemptions == request.sequences.front().num_preemptions);
    CHECK_MSG(group.search.is_live(place) == !beam.tokens.empty(), "a beam has no tokens, or tokens that are nobody's");
    if (beam.tokens.empty()) continue;
    CHECK_MSG(std::ranges::equal(std::span(beam.tokens).subspan(static_cast<std::size_t>(request.num_prompt_tokens)),
                                 generated),
              "a beam has other tokens than the search gave it");
    if (beam.state != SequenceState::kRunning) continue;
    if (!group.candidates[place].empty())
      CHECK_MSG(beam.num_uncomputed() == 0 && !beam.move.enters, "candidates of tokens that are not computed");
    if (beam.move.has_token) CHECK(beam.num_uncomputed() == 1);
  }
}

}  // namespace caudal
