#include "tests/sim/simulated_job.h"

#include <utility>

#include "tests/sim/plan_checker.h"

namespace caudal::sim {

SimulatedJob::SimulatedJob(Environment& environment, Network& network, std::int32_t index, const JobTiming& timing,
                           const ReplicaInfo& model)
    : environment_(environment), network_(network), index_(index), timing_(timing), info_(model) {}

// Another life may have another pool: down to one that holds hardly a request.
void SimulatedJob::start() {
  if (up()) return;
  Random& random = environment_.random;
  ++life_;
  info_.num_blocks = random.small(environment_.faults ? 1 : 12, 14) * info_.num_kv_groups();
  info_.max_num_sequences = random.small(1, 12);
  info_.max_tokens_per_step = random.small(1, 80);
  info_.max_draft_tokens = random.small(0, kMaxDraftTokens);
  info_.topology.tensor = random.small(1, 2);
  info_.num_host_blocks = random.chance(15) ? 0 : random.small(1, 30) * info_.num_kv_groups();
  info_.swap_block_ns =
      random.chance(85) ? 1 : random.draw(0, 4'000'000);  // else dearer than computing again, or unknown
  worker_epoch_ = 0;
  ranks_.resize(static_cast<std::size_t>(info_.topology.num_ranks()));
  environment_.trace.line(environment_.now, "start", "job {} life {}: {} ranks, {} blocks, {} slots, {} tokens a step",
                          index_, life_, info_.topology.num_ranks(), info_.num_blocks, info_.max_num_sequences,
                          info_.max_tokens_per_step);
  for (std::int32_t rank = 0; rank < info_.topology.num_ranks(); ++rank) {
    ranks_[rank] = {
        .link = network_.connect(index_, rank), .epoch = 0, .steps_done = 0, .heard = environment_.now, .plans = {}};
    send_registration(rank);
    environment_.after(random.draw(0, timing_.beat_us), {EventKind::kBeat, index_, rank, life_});
  }
}

void SimulatedJob::send_registration(std::int32_t rank) {
  network_.send_to_coordinator(ranks_[rank].link, Register{.replica_key = fmt::format("{}.{}", index_, life_),
                                                           .rank = static_cast<std::uint32_t>(rank),
                                                           .info = info_,
                                                           .build_version = "simulated"});
}

// As a rank of another model or protocol would, or one that repeats itself.
void SimulatedJob::register_nonsense() {
  if (!up()) return;
  Register message{.replica_key = "stranger", .rank = 0, .info = info_, .build_version = {}};
  message.info.topology.tensor = 2;
  if (environment_.random.chance(50)) {
    message.protocol_version += 1;
  } else {
    message.info.model_digest = "another";
  }
  network_.send_to_coordinator(network_.connect(-1, 0), message);
  send_registration(0);
}

void SimulatedJob::receive(std::int32_t link, ToWorker message) {
  const auto found = std::ranges::find(ranks_, link, &Rank::link);
  if (found == ranks_.end()) return;
  Rank& rank = *found;
  rank.heard = environment_.now;
  if (const auto* welcome = std::get_if<Welcome>(&message)) {
    CHECK_MSG(welcome->epoch > rank.epoch, "an epoch was used again");
    rank.epoch = welcome->epoch;
    rank.steps_done = 0;
    rank.plans.clear();
  } else if (auto* plan = std::get_if<StepPlan>(&message)) {
    if (plan->epoch != rank.epoch) return;
    rank.plans.push_back(std::move(*plan));
    start_step();
  } else if (std::holds_alternative<RegisterAgain>(message)) {
    send_registration(static_cast<std::int32_t>(found - ranks_.begin()));
  } else if (std::holds_alternative<Shutdown>(message) || std::holds_alternative<Refused>(message)) {
    exit();
  }
}

// All ranks look at the head of their queue; who is behind by an epoch drops it.
void SimulatedJob::start_step() {
  const auto none_waits = [](const Rank& rank) { return rank.plans.empty(); };
  while (!running_ && up() && std::ranges::none_of(ranks_, none_waits)) {
    Epoch newest = 0;
    for (const Rank& rank : ranks_) newest = std::max(newest, rank.plans.front().epoch);
    bool all_newest = true;
    for (Rank& rank : ranks_) {
      if (rank.plans.front().epoch == newest) continue;
      rank.plans.pop_front();
      all_newest = false;
    }
    if (!all_newest) continue;
    const StepPlan& plan = ranks_[0].plans.front();
    if (plan.epoch != worker_epoch_) {
      worker_.emplace(info_);
      worker_epoch_ = plan.epoch;
      last_step_ = 0;
    }
    for (const Rank& rank : ranks_) {
      if (rank.plans.front().step_id != last_step_ + 1) return exit();  // one was lost on the way
      CHECK_MSG(digest(rank.plans.front()) == digest(plan), "the ranks of a replica get different plans");
    }
    ++last_step_;
    running_ = plan;
    for (Rank& rank : ranks_) rank.plans.pop_front();
    environment_.after(step_time(), {EventKind::kStepDone, index_, static_cast<std::int32_t>(last_step_), life_});
  }
  // A plan that only waits for a transfer ends when all ranks have the next one.
  if (running_ && running_->scheduled.empty() && up() && std::ranges::none_of(ranks_, none_waits)) {
    answer(SimulatedWorker::WaitedFor::kNextPlan);
    start_step();
  }
}

Time SimulatedJob::step_time() {
  Random& random = environment_.random;
  return running_->scheduled.empty() ? random.draw(500, 200'000) : random.draw(500, 20'000);
}

void SimulatedJob::finish_step(std::int32_t step, std::uint64_t life) {
  if (life != life_ || !running_ || running_->step_id != static_cast<StepId>(step)) return;
  answer(SimulatedWorker::WaitedFor::kTransfer);
  start_step();
}

void SimulatedJob::answer(SimulatedWorker::WaitedFor waited_for) {
  StepResult result = worker_->run(*running_, waited_for);
  running_.reset();
  for (Rank& rank : ranks_) ++rank.steps_done;
  if (environment_.faults && environment_.random.per_mille(2)) lie(result);
  // Only rank 0 may answer; a confused one must not count.
  const bool all_answer = environment_.faults && environment_.random.per_mille(20);
  if (all_answer) network_.send_to_coordinator(ranks_.back().link, result);
  network_.send_to_coordinator(ranks_.front().link, std::move(result));
}

void SimulatedJob::lie(StepResult& result) {
  environment_.lies.emplace(result.epoch, result.step_id);
  environment_.trace.line(environment_.now, "lie", "job {} step {}", index_, result.step_id);
  SequenceResult& line = result.sequences.empty() ? result.sequences.emplace_back() : result.sequences.front();
  switch (environment_.random.draw(0, 6)) {
    case 0:
      result.compute_us = std::int64_t{1} << 62;
      break;
    case 1:
      result.sequences.resize(static_cast<std::size_t>(info_.max_num_sequences) + 1);
      break;
    case 2:
      line.num_computed = 1 << 30;
      break;
    case 3:
      line.tokens.assign(100, 1);
      break;
    case 4:
      line.tokens = {info_.vocab_size};
      break;
    case 5:
      line.num_drafted = -1;
      break;
    default:
      line.candidates.assign(1000, {.token = 1, .logprob = 0.0F});
  }
}

void SimulatedJob::beat(std::int32_t index, std::uint64_t life) {
  if (life != life_ || !up()) return;
  Rank& rank = ranks_[index];
  if (environment_.now - rank.heard > timing_.lease_us) return exit();
  network_.send_to_coordinator(rank.link, Beat{rank.epoch, rank.steps_done, running_.has_value()});
  environment_.after(timing_.beat_us, {EventKind::kBeat, index_, index, life_});
}

void SimulatedJob::exit() {
  ++num_exits_;
  die();
}

void SimulatedJob::die() {
  if (!up()) return;
  environment_.trace.line(environment_.now, "exit", "job {} life {}", index_, life_);
  for (const Rank& rank : ranks_) network_.cut(rank.link);
  ranks_.clear();
  running_.reset();
  environment_.after(environment_.random.draw(1'000, 300'000), {EventKind::kStart, index_});
}

void SimulatedJob::fail() {
  if (!up()) return;
  const Rank& rank = ranks_.back();
  network_.send_to_coordinator(rank.link, Failed{rank.epoch, "simulated"});
  die();
}

void SimulatedJob::reconnect() {
  if (!up()) return;
  const std::int32_t index = environment_.random.small(0, static_cast<std::int32_t>(ranks_.size()) - 1);
  environment_.trace.line(environment_.now, "reconnect", "job {} rank {}", index_, index);
  network_.cut(ranks_[index].link);
  ranks_[index].link = network_.connect(index_, index);
}

}  // namespace caudal::sim
