#include "coordinator/scheduler/placement.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/policy/scheduler_config.h"
#include "coordinator/scheduler/replica_state.h"

namespace caudal {

namespace {

// With the tokens that are left beside its decodes: prompts that it computes at the moment delay a sequence,
// which is a matter of cost, but do not keep it out.
Admission admission_of(const SchedulerConfig& config, const ReplicaState& replica) {
  return replica.admission(config, config.step_tokens(replica.info()) - replica.num_running());
}

std::int64_t load_of(const ReplicaState& replica) {
  return replica.num_uncomputed_tokens() + Placement::kRunningTokens * replica.num_running() +
         std::ssize(replica.plans_in_flight());
}

}  // namespace

std::int64_t Placement::Candidate::take(const Demand& demand) {
  admission.take(demand);
  return demand.num_uncached() + kRunningTokens;
}

// --- what changes ---

void Placement::replica_joined(const ReplicaState& replica) {
  replica_lost(replica.id());
  if (replica.id() >= candidates_.size()) candidates_.resize(replica.id() + 1);
  candidates_[replica.id()] =
      std::make_unique<Candidate>(Candidate{.replica = &replica, .admission = admission_of(config_, replica)});
  Candidate& candidate = *candidates_[replica.id()];
  set_load(candidate, load_of(replica));
  peers_of(replica.info().model).by_speed.emplace(std::pair(candidate.prompt_token_ns, replica.id()), &candidate);
  mark_stale(candidate);
  invalidate();
}

void Placement::replica_changed(const ReplicaState& replica) {
  Candidate* candidate = find(replica.id());
  if (candidate == nullptr) return;
  mark_stale(*candidate);
  // One that has nothing to do takes whoever waits elsewhere.
  if (!are_all_placed_ || replica.running().empty()) invalidate();
}

void Placement::replica_planned(const ReplicaState& replica) {
  if (Candidate* candidate = find(replica.id())) mark_stale(*candidate);
}

void Placement::replica_lost(ReplicaId id) {
  Candidate* candidate = find(id);
  if (candidate == nullptr) return;
  Peers& peers = peers_of(candidate->replica->info().model);
  if (candidate->is_listed) peers.by_load.erase({candidate->load, id});
  peers.by_speed.erase({candidate->prompt_token_ns, id});
  occupied_.erase(id);
  candidates_[id] = nullptr;
  invalidate();
}

void Placement::sequence_waits(SequenceId id) {
  if (are_all_placed_) {
    arrived_.push_back(id);
  } else {
    invalidate();
  }
}

// --- candidates ---

Placement::Peers& Placement::peers_of(ModelId model) {
  if (model >= peers_.size()) peers_.resize(model + 1);
  return peers_[model];
}

// Replicas without room are not listed: where all are full, nobody walks them.
void Placement::set_load(Candidate& candidate, std::int64_t load) {
  const ReplicaId id = candidate.replica->id();
  const bool is_listed = !candidate.admission.exhausted();
  const std::int64_t before = std::exchange(candidate.load, load);
  const bool was_listed = std::exchange(candidate.is_listed, is_listed);
  if (was_listed && is_listed && before == load) return;
  auto& by_load = peers_of(candidate.replica->info().model).by_load;
  if (was_listed && is_listed) {  // its node moves, without a new one
    auto node = by_load.extract({before, id});
    node.key().first = load;
    by_load.insert(std::move(node));
  } else if (was_listed) {
    by_load.erase({before, id});
  } else if (is_listed) {
    by_load.emplace(std::pair(load, id), &candidate);
  }
}

void Placement::set_speed(Candidate& candidate, std::int64_t prompt_token_ns) {
  const std::int64_t before = std::exchange(candidate.prompt_token_ns, prompt_token_ns);
  if (before == prompt_token_ns) return;
  auto& by_speed = peers_of(candidate.replica->info().model).by_speed;
  auto node = by_speed.extract({before, candidate.replica->id()});
  node.key().first = prompt_token_ns;
  by_speed.insert(std::move(node));
}

void Placement::mark_stale(Candidate& candidate) {
  if (!std::exchange(candidate.is_stale, true)) stale_.push_back(candidate.replica->id());
}

// Copies anew what changed replicas have left, and takes off it what those need that are placed there.
void Placement::refresh() {
  for (const ReplicaId id : std::exchange(stale_, {})) {
    Candidate* candidate = find(id);
    if (candidate == nullptr || !candidate->is_stale) continue;  // lost; or it is another one by now
    const ReplicaState& replica = *candidate->replica;
    candidate->admission = admission_of(config_, replica);
    candidate->is_stale = false;
    std::int64_t load = load_of(replica);
    for (const Placed& placed : candidate->placed) load += candidate->take(placed.demand);
    set_load(*candidate, load);
    set_speed(*candidate, replica.step_budget().prompt_token_ns());
  }
}

// --- places ---

void Placement::clear() {
  for (const ReplicaId id : std::exchange(occupied_, {})) {
    Candidate* candidate = find(id);
    candidate->placed.clear();
    mark_stale(*candidate);
  }
  for (const ReplicaId id : std::exchange(closed_, {})) {
    if (Candidate* candidate = find(id)) candidate->is_closed = false;
  }
  computing_.clear();
}

void Placement::update(std::set<ReplicaId>& due) {
  if (waiting_.size() == 0) {
    clear();
    arrived_.clear();
    is_valid_ = are_all_placed_ = true;
    return;
  }
  if (is_valid_) {
    if (arrived_.empty()) return;
    refresh();
    for (const SequenceId id : std::exchange(arrived_, {})) {
      // Without room for all of them the order of turns decides.
      if (is_valid_ && place(sequences_[id], due) == Outcome::kNoRoom) invalidate();
    }
    if (is_valid_) return;
  }
  arrived_.clear();
  clear();
  refresh();
  is_valid_ = are_all_placed_ = true;
  place_all(due);
}

// In the order of turns: nobody overtakes a sequence that waits for room on a replica that could hold it.
void Placement::place_all(std::set<ReplicaId>& due) {
  QueueWalk walk(waiting_);
  while (Sequence* sequence = walk.next()) {
    if (place(*sequence, due) != Outcome::kNoRoom) continue;
    are_all_placed_ = false;
    if (MUTANT(small_overtakes, !close(demand_of(config_, *sequence)), false)) return;
  }
}

Placement::Outcome Placement::place(Sequence& sequence, std::set<ReplicaId>& due) {
  const RequestId request = sequence.request->request.id;
  if (PrefixCache::is_under_way(sequence) || (PrefixCache::shares_prompt(sequence) && computing_.contains(request))) {
    are_all_placed_ = false;
    return Outcome::kPassed;
  }
  const Choice chosen = choose(sequence, demand_of(config_, sequence));
  if (chosen.candidate == nullptr) return Outcome::kNoRoom;
  Candidate& candidate = *chosen.candidate;
  const ReplicaId id = candidate.replica->id();
  set_load(candidate, candidate.load + candidate.take(chosen.demand));
  candidate.placed.push_back({sequence.id, chosen.demand});
  occupied_.insert(id);
  waiting_.count_turn(sequence);
  MUTANT_OMITS(placed_not_due, due.insert(id));
  if (PrefixCache::will_compute_for_siblings(sequence, chosen.demand.cached)) computing_.insert(request);
  return Outcome::kPlaced;
}

std::vector<PrefixHolder> Placement::find_holders(Sequence& sequence) {
  const Peers& peers = peers_of(sequence.request->request.model);
  if (peers.by_speed.empty()) return {};
  const ReplicaInfo& any = peers.by_speed.begin()->second->replica->info();
  return cache_.find_holders(sequence, any.model_digest, kMaxHolders);
}

// The cheapest one that has room for the sequence, the first of equals. Some may have to answer a plan before they can
// take it. No candidate: no room anywhere.
Placement::Choice Placement::choose(Sequence& sequence, const Demand& demand) {
  Choice best;
  const std::vector<PrefixHolder> holders = find_holders(sequence);
  const auto look_at = [&](ReplicaId id) {
    if (Candidate* candidate = find(id)) consider(*candidate, sequence, demand, best);
  };
  for (const PrefixHolder& holder : holders) look_at(holder.replica);
  if (sequence.request->sequences.size() > 1) {
    for (const Sequence& sibling : sequence.request->sequences) {
      if (sibling.is_running()) look_at(sibling.residence.replica);
    }
  }
  // If the index has named all that have something, the first one with room is the best of the others.
  std::size_t num_left = holders.size() < kMaxHolders ? 1 : kMaxHolders;
  Demand hoped = demand;  // nobody has more of it
  if (!holders.empty())
    hoped.cached = {.num_tokens = holders[0].num_blocks * kBlockSize, .num_blocks = holders[0].num_blocks};
  for (const auto& [key, candidate] : peers_of(demand.model).by_load) {
    if (best.candidate != nullptr && key.first + kNewTokenCost * hoped.num_uncached() > best.cost) break;
    if (!candidate->admission.has_room(hoped)) continue;
    if (consider(*candidate, sequence, demand, best) && --num_left == 0) break;
  }
  return best;
}

// Whether it has room for the sequence.
bool Placement::consider(Candidate& candidate, Sequence& sequence, const Demand& demand, Choice& best) const {
  if (candidate.is_closed || candidate.admission.exhausted()) return false;
  Demand here = demand;
  here.cached = cache_.probe(sequence, *candidate.replica);
  if (!candidate.admission.admits(here)) return false;
  const std::int64_t cost = candidate.load + kNewTokenCost * here.num_uncached();
  const bool is_first = best.candidate == nullptr || candidate.replica->id() < best.candidate->replica->id();
  if (best.candidate == nullptr || cost < best.cost || (cost == best.cost && is_first)) best = {&candidate, here, cost};
  return true;
}

// Nobody may overtake the sequence where it could ever fit. False: then nobody is left.
bool Placement::close(const Demand& demand) {
  bool is_any_open = false;
  std::vector<Candidate*> closing;
  for (const Peers& peers : peers_) {
    for (const auto& [key, candidate] : peers.by_load) {
      if (candidate->is_closed) continue;
      const bool is_wanted = can_ever_fit(candidate->replica->info(), demand);
      if (is_wanted) closing.push_back(candidate);
      is_any_open |= !is_wanted;
    }
  }
  if (!is_any_open) return false;
  for (Candidate* candidate : closing) {
    candidate->is_closed = true;
    closed_.push_back(candidate->replica->id());
  }
  return true;
}

std::optional<SequenceId> Placement::first(ReplicaId id) const {
  const Candidate* candidate = find(id);
  if (candidate == nullptr || candidate->placed.empty()) return std::nullopt;
  return candidate->placed.front().id;
}

void Placement::take_first(ReplicaId id) {
  Candidate* candidate = find(id);
  candidate->placed.pop_front();
  if (candidate->placed.empty()) occupied_.erase(id);
  mark_stale(*candidate);
}

void Placement::leave_rest(ReplicaId id) {
  if (occupied_.contains(id)) are_all_placed_ = false;
}

Time Placement::best_case_us(Sequence& sequence) {
  refresh();
  std::optional<Time> best;
  const auto look_at = [&](const ReplicaState& replica) {
    const StepBudget& measured = replica.step_budget();
    const std::int64_t num_uncached =
        sequence.num_tokens() - std::int64_t{cache_.probe(sequence, replica).num_blocks} * kBlockSize;
    const Time here = (num_uncached * measured.prompt_token_ns() / 1000 + measured.decode_us(1)) / 2;
    best = std::min(best.value_or(here), here);
  };
  for (const PrefixHolder& holder : find_holders(sequence)) {
    if (const Candidate* candidate = find(holder.replica)) look_at(*candidate->replica);
  }
  const Peers& peers = peers_of(sequence.request->request.model);
  if (!peers.by_speed.empty()) look_at(*peers.by_speed.begin()->second->replica);
  return best.value_or(0);
}

void Placement::check_integrity() const {
  for (const std::unique_ptr<Candidate>& candidate : candidates_) {
    if (candidate == nullptr) continue;
    CHECK_MSG(candidate->replica->is_alive(), "a place on a replica that is gone");
    CHECK(candidate->placed.empty() != occupied_.contains(candidate->replica->id()));
    if (!is_valid_) continue;
    for (const Placed& placed : candidate->placed) {
      CHECK_MSG(sequences_[placed.id].state == SequenceState::kWaiting, "a place for a sequence that does not wait");
    }
  }
}

}  // namespace caudal
