#include "tests/sim/simulation.h"

#include <array>
#include <utility>

namespace caudal::sim {

namespace {

// What all replicas have in common. Some models have layers with a window, beside others that see more.
ReplicaInfo draw_model(Random& random) {
  ReplicaInfo model;
  model.max_context_tokens = random.small(8, 160);
  model.model_digest = "toy";
  model.vocab_size = ToyModel::kVocabulary;
  if (random.chance(25)) model.kv_windows = {random.small(2, 60)};
  if (random.chance(15)) model.kv_windows.push_back(random.small(2, std::max(model.kv_windows.front(), 60)));
  return model;
}

EngineConfig draw_config(Random& random) {
  EngineConfig config;
  SchedulerConfig& scheduler = config.scheduler;
  scheduler.max_tokens_per_step = random.small(1, random.chance(50) ? 8 : 64);
  scheduler.max_num_sequences = random.small(1, 8);
  scheduler.max_waiting = random.small(4, 15);
  scheduler.max_plans_in_flight = random.chance(25) ? 1 : 2;
  scheduler.chunked_prefill = random.chance(75);
  scheduler.prefix_caching = random.chance(75);
  scheduler.max_preemptions = random.small(1, 6);
  scheduler.oldest_every = random.small(1, 4);
  if (random.chance(40)) scheduler.itl_target_us = random.draw(500, 4'000);
  if (random.chance(50)) scheduler.tenants = {.weights = {{"heavy", 4}, {"light", 1}}, .only_known = random.chance(20)};
  config.cluster.lease_us = 500'000;
  config.cluster.step_timeout_us = 900'000;
  config.cluster.beat_interval_us = 100'000;
  config.cluster.registration_us = 700'000;
  config.no_replica_wait_us = 400'000;
  return config;
}

constexpr Time kTick = 50'000;
constexpr std::uint64_t kMaxRequests = 60;
constexpr std::size_t kSlowBuffer = 8;  // events

}  // namespace

// Holds what a client was sent and has not read. One that reads too slowly is cut off, as the gateways do.
class Simulation::Sink final : public TokenSink {
 public:
  Sink(Simulation& simulation, bool slow) : simulation_(simulation), slow_(slow) {}

  void on_event(TokenEvent event) override {
    Environment& environment = simulation_.environment_;
    environment.trace.line(environment.now, "tokens", "request {} sequence {}: {} more, end {} {}", event.request_id,
                           event.sequence_index, event.tokens.size(), static_cast<int>(event.finish_reason),
                           static_cast<int>(event.reject));
    simulation_.output_.on_event(event);
    if (event.reject == RejectReason::kNoReplica) {
      simulation_.patience_.refused(simulation_.ledger_.promise(event.request_id), environment.now);
    }
    simulation_.ledger_.received(event, environment.now);
    if (slow_ && event.finish_reason == FinishReason::kNone && ++num_unread_ > kSlowBuffer) {
      if (!std::exchange(cut_off_, true)) simulation_.receive(CancelInput{event.request_id, std::nullopt});
    }
  }

 private:
  Simulation& simulation_;
  const bool slow_;
  std::size_t num_unread_ = 0;
  bool cut_off_ = false;
};

Simulation::Simulation(std::uint64_t seed, SimulationOptions options)
    : environment_(seed, options.print),
      network_(environment_),
      config_(draw_config(environment_.random)),
      model_(draw_model(environment_.random)),
      core_(config_, *this),
      record_(options.record),
      ledger_(config_.scheduler, model_.max_context_tokens, model_.kv_windows),
      membership_(config_.cluster),
      patience_(config_) {
  Random& random = environment_.random;
  const JobTiming timing{.beat_us = config_.cluster.beat_interval_us, .lease_us = config_.cluster.lease_us};
  for (std::int32_t job = random.small(1, 3); job > 0; --job) {
    const auto index = static_cast<std::int32_t>(jobs_.size());
    jobs_.emplace_back(environment_, network_, index, timing, model_);
    environment_.after(random.draw(0, 20'000), {EventKind::kStart, index});
  }
  clients_.resize(static_cast<std::size_t>(random.small(1, 6)));
  for (std::size_t client = 0; client < clients_.size(); ++client) {
    clients_[client].slow = random.chance(15);
    environment_.after(random.draw(0, 100'000), {EventKind::kClient, static_cast<std::int32_t>(client)});
  }
  // Some clusters are torn apart all the time, in others work piles up.
  forks_ = random.chance(60);
  chaos_period_ = random.draw(50'000, 2'000'000);
  client_period_ = random.draw(10'000, 150'000);
  environment_.loss_per_mille = random.small(0, 2);
  environment_.after(0, {EventKind::kTurn, 1});
  environment_.after(random.draw(0, 100'000), {EventKind::kChaos});
}

Simulation::~Simulation() = default;

SimulatedJob* Simulation::job_of(const Event& event) {
  switch (event.kind) {
    case EventKind::kStart:
    case EventKind::kBeat:
    case EventKind::kStepDone:
      return &jobs_[event.a];
    case EventKind::kToWorker: {
      const std::int32_t job = network_.link(event.a).job;
      return job < 0 ? nullptr : &jobs_[job];
    }
    default:
      return nullptr;
  }
}

void Simulation::step() {
  ++num_steps_;
  const Event event = environment_.next();
  const SimulatedJob* job = job_of(event);
  if (job != nullptr && job->paused_until() > environment_.now) return environment_.at(job->paused_until(), event);
  dispatch(event);
}

void Simulation::dispatch(const Event& event) {
  switch (event.kind) {
    case EventKind::kTurn:
      return wake(event);
    case EventKind::kToWorker: {
      auto message = network_.arrive_at_worker(event.a);
      SimulatedJob* job = job_of(event);
      if (message && job != nullptr) job->receive(event.a, std::move(*message));
      return;
    }
    case EventKind::kToCoordinator: {
      auto message = network_.arrive_at_coordinator(event.a);
      if (message) receive(PeerInput{Network::peer_of(event.a), std::move(message)});
      return;
    }
    case EventKind::kPeerGone:
      return receive(PeerInput{Network::peer_of(event.a), std::nullopt});
    case EventKind::kStart:
      return jobs_[event.a].start();
    case EventKind::kBeat:
      return jobs_[event.a].beat(event.b, event.c);
    case EventKind::kStepDone:
      return jobs_[event.a].finish_step(event.b, event.c);
    case EventKind::kClient:
      return act(event.a);
    case EventKind::kChaos:
      return make_trouble();
  }
}

// --- the coordinator's process ---

void Simulation::receive(Input input) {
  inbox_.push_back(std::move(input));
  if (std::exchange(wakes_, true)) return;
  environment_.after(environment_.random.draw(0, 300), {EventKind::kTurn});
}

// Turns come with the inbox, and by the clock (event.a).
void Simulation::wake(const Event& event) {
  if (environment_.now < stalled_until_) return environment_.at(stalled_until_, event);
  if (event.a == 0 && !std::exchange(wakes_, false)) return;
  turn();
  if (event.a != 0) environment_.after(kTick, event);
}

void Simulation::turn() {
  const Time now = environment_.now;
  const Time gap = now - std::exchange(last_turn_, now);
  std::vector<Input> inputs = std::exchange(inbox_, {});
  if (record_) log_.push_back({now, inputs});
  for (Input& input : inputs) std::visit([&](auto& what) { take(what); }, input);
  if (gap >= 2 * config_.cluster.beat_interval_us) membership_.stalled(gap, now);
  core_.finish_turn(now);
  check_turn();
}

void Simulation::take(Request& request) {
  const Time now = environment_.now;
  const RequestId id = request.id;
  const SchedulerStats before = core_.scheduler().stats();
  ledger_.submitted(request);
  core_.submit(std::move(request), std::make_shared<Sink>(*this, clients_[id % clients_.size()].slow), now);
  ledger_.accepted(id, before, core_.scheduler().stats());
}

void Simulation::take(CancelInput& cancel) {
  if (cancel.index) {
    ledger_.cancelled(cancel.id, *cancel.index);
    core_.cancel(cancel.id, *cancel.index, environment_.now);
  } else {
    ledger_.cancelled(cancel.id);
    core_.cancel(cancel.id, environment_.now);
  }
}

// A result counts when it comes from rank 0 of a replica, of its epoch, and answers its oldest plan (S13).
void Simulation::take(PeerInput& input) {
  const Time now = environment_.now;
  if (!input.message) return core_.take_peer_gone(input.peer, now);
  membership_.heard(input.peer, *input.message, now);
  const auto* result = std::get_if<StepResult>(&*input.message);
  if (result == nullptr) return core_.take(input.peer, std::move(*input.message), now);

  const auto side =
      std::ranges::find_if(replicas_, [&](const auto& entry) { return entry.second.rank_zero == input.peer; });
  const bool counts = side != replicas_.end() && side->second.epoch == result->epoch &&
                      side->second.next_answer == result->step_id && side->second.plans.num_unanswered() > 0;
  if (side != replicas_.end() && side->second.epoch == result->epoch &&
      environment_.lies.contains({result->epoch, result->step_id})) {
    const ReplicaId id = side->first;
    core_.take(input.peer, std::move(*input.message), now);
    CHECK_MSG(!replicas_.contains(id), "a replica stays though its answer cannot be true");
    return;
  }
  if (environment_.random.per_mille(20)) old_results_.push_back(*result);
  std::vector<std::pair<SequenceId, std::int32_t>> computed;
  for (const SequenceResult& entry : result->sequences) computed.emplace_back(entry.sequence_id, entry.num_computed);
  const std::uint64_t num_stale = num_stale_;
  const StepResult answer = *result;
  core_.take(input.peer, std::move(*input.message), now);
  CHECK_MSG(counts == (num_stale == num_stale_), "a result was applied that does not count, or the other way round");
  if (!counts) return;
  for (const auto& [sequence, num_tokens] : computed) {
    for (const std::uint64_t prefix : ledger_.prefixes(sequence, num_tokens)) side->second.computed.insert(prefix);
  }
  ++side->second.next_answer;
  side->second.plans.answered(answer);
  membership_.applied(side->first, now);
}

void Simulation::check_turn() {
  const Scheduler& scheduler = core_.scheduler();
  for (const auto& [replica, sequence] : std::exchange(admissions_, {})) {
    const Stream& stream = ledger_.admitted(sequence, static_cast<std::int32_t>(num_losses_));
    const auto side = replicas_.find(replica);
    // A block can be read by others only once an answer has confirmed it, and only under its salt (S4).
    if (side != replicas_.end() && sequence.num_computed >= kBlockSize && !ledger_.may_fork(sequence.sequence_id)) {
      const std::uint64_t found = ledger_.prefixes(sequence.sequence_id, sequence.num_computed).back();
      CHECK_MSG(side->second.computed.contains(found), "a prefix was found that nobody has computed under this salt");
    }
    if (stream.num_admissions == 1 && side != replicas_.end()) {
      queue_.started(config_.scheduler, ledger_, stream, side->second.info, replicas_.size());
    }
  }
  scheduler.check_integrity();
  ledger_.check(scheduler.stats());
  membership_.check(core_, environment_.now);
  patience_.check(ledger_, environment_.now);
  QueueChecker::Replicas replicas;
  for (const auto& [id, side] : replicas_) {
    replicas.emplace(id, side.info);
    CHECK_MSG(scheduler.replica_stats(id).num_used_blocks <= side.plans.num_named_blocks() + num_kept_for_beams(side),
              "blocks are held that no plan has named");
  }
  QueueChecker::check_work_conserving(scheduler, ledger_, replicas, config_.scheduler.prefix_caching);
}

// Beams that were preempted as often as may be hold what they can ever need; cancelled ones until their plans are
// answered.
std::int32_t Simulation::num_kept_for_beams(const ReplicaSide& side) const {
  std::map<RequestId, const Promise*> searches;
  const auto add = [&](const Promise& promise) {
    if (promise.request.beam) searches.emplace(promise.request.id, &promise);
  };
  ledger_.for_each_live([&](const Promise& promise, const Stream&) { add(promise); });
  for (const SequenceId sequence : side.plans.sequences_in_flight()) add(ledger_.promise_of(sequence));
  std::int32_t num_blocks = 0;
  for (const auto& [id, promise] : searches) {
    const std::int32_t num_tokens = promise->num_prompt_tokens() + promise->request.params.stop.max_tokens;
    num_blocks += promise->request.num_running() * blocks_for(num_tokens) * model_.num_kv_groups();
  }
  return num_blocks;
}

void Simulation::on_stale_result() {
  ++num_stale_;
  output_.on_stale_result();
}

void Simulation::send(std::vector<Peer> peers, ToWorker message) {
  output_.send(peers, message);
  if (const auto* plan = std::get_if<StepPlan>(&message)) {
    const auto side =
        std::ranges::find_if(replicas_, [&](const auto& entry) { return entry.second.epoch == plan->epoch; });
    CHECK_MSG(side != replicas_.end(), "a plan for an epoch that is gone");
    CHECK_MSG(core_.cluster().ranks(side->first) == peers, "a plan does not go to all ranks");
    side->second.plans.sent(*plan);
    membership_.sent_plan(side->first, environment_.now);
    for (const NewSequence& sequence : plan->new_sequences) {
      admissions_.emplace_back(side->first, sequence);
      side->second.slots[sequence.slot] = sequence.sequence_id;
    }
    for (const ScheduledSequence& scheduled : plan->scheduled) {
      if (scheduled.next_token) ledger_.went_on(side->second.slots.at(scheduled.slot), *scheduled.next_token);
    }
    environment_.trace.line(environment_.now, "plan",
                            "replica {} epoch {} step {}: {} sequences, {} new, {} released, {:x}", side->first,
                            plan->epoch, plan->step_id, plan->scheduled.size(), plan->new_sequences.size(),
                            plan->released.size(), sim::digest(*plan));
    if (!plan->transfers_to_host.empty() || !plan->transfers_from_host.empty()) {
      environment_.trace.line(environment_.now, "transfer", "replica {} step {}: {} to the host, {} back", side->first,
                              plan->step_id, plan->transfers_to_host.size(), plan->transfers_from_host.size());
    }
    num_from_host_ += plan->transfers_from_host.size();
  } else {
    environment_.trace.line(environment_.now, "send", "message {} to {} ranks", message.index(), peers.size());
  }
  for (const Peer& peer : peers) network_.send_to_worker(peer, message);
}

void Simulation::on_joined(const Cluster::Joined& joined) {
  const std::vector<Peer>& ranks = core_.cluster().ranks(joined.id);
  membership_.joined(joined, ranks, environment_.now);
  patience_.joined(joined);
  replicas_.emplace(joined.id, ReplicaSide{.info = joined.info,
                                           .plans = PlanChecker(config_.scheduler, joined.info, joined.epoch),
                                           .rank_zero = ranks.front(),
                                           .epoch = joined.epoch});
  output_.on_joined(joined);
  environment_.trace.line(environment_.now, "joined", "replica {} epoch {}: {} blocks", joined.id, joined.epoch,
                          joined.info.num_blocks);
}

void Simulation::on_lost(const Cluster::Lost& lost) {
  ++num_losses_;
  membership_.lost(lost, environment_.now);
  patience_.lost(lost, environment_.now);
  replicas_.erase(lost.id);
  output_.on_lost(lost);
  environment_.trace.line(environment_.now, "lost", "replica {}", lost.id);
}

// --- clients and faults ---

Request Simulation::draw_request() {
  Random& random = environment_.random;
  Request request;
  request.id = ++last_request_id_;
  request.arrival = environment_.now;
  if (random.chance(50)) {  // a beginning that others share
    const std::int32_t length = random.small(0, 60);
    const std::int32_t text = random.small(0, 2);
    for (std::int32_t i = 0; i < length; ++i)
      request.prompt.push_back((7 * i * (text + 1) + text) % ToyModel::kVocabulary);
  }
  for (std::int32_t i = random.small(1, random.chance(70) ? 12 : 70); i > 0; --i) {
    request.prompt.push_back(random.small(0, ToyModel::kVocabulary - 1));
  }
  if (random.chance(20)) request.cache_salt = "salt";
  request.params.sampling.seed = random.word();
  request.params.stop.max_tokens = random.small(1, random.chance(20) ? 10 : 90);
  request.params.stop.min_tokens = random.small(0, std::min(5, request.params.stop.max_tokens));
  if (random.chance(40)) request.params.stop.stop_token_ids = {random.small(0, 31), random.small(0, 31)};
  request.num_sequences = forks_ && random.chance(30) ? random.small(2, 4) : 1;
  if (forks_ && random.chance(15)) {
    request.num_sequences = random.small(1, 3);
    request.beam = toy_beam_params(request.num_sequences, random.word());
  }
  if (!request.beam && request.id % 4 == 3)
    request.params.num_prompt_logprobs = static_cast<std::int32_t>(request.id % 3);
  request.priority = random.chance(80) ? 0 : random.small(-1, 1);
  if (random.chance(15)) request.deadline = environment_.now + random.draw(0, 200'000);
  if (random.chance(15)) request.ttft_target_us = random.draw(1, 100'000);
  if (random.chance(15)) request.tpot_target_us = random.draw(500, 4'000);
  if (random.chance(60)) request.tenant = std::array{"heavy", "light", "stranger"}[random.draw(0, 2)];
  return request;
}

void Simulation::act(std::int32_t index) {
  Random& random = environment_.random;
  Client& client = clients_[index];
  if (last_request_id_ < kMaxRequests && environment_.faults) {
    Request request = draw_request();
    client.requests.push_back(request.id);
    environment_.trace.line(environment_.now, "submit", "request {}: {} tokens, up to {} more, n {}", request.id,
                            request.prompt.size(), request.params.stop.max_tokens, request.num_sequences);
    receive(std::move(request));
    environment_.after(random.draw(1'000, client_period_), {EventKind::kClient, index});
  }
  if (!client.requests.empty() && environment_.faults && random.chance(25)) {
    const RequestId id = client.requests[random.draw(0, std::ssize(client.requests) - 1)];
    const bool all = random.chance(50);
    const std::int32_t which = random.small(-1, 3);
    environment_.trace.line(environment_.now, "cancel", "request {} sequence {}", id, all ? 99 : which);
    receive(CancelInput{id, all ? std::nullopt : std::optional(which)});
  }
}

void Simulation::make_trouble() {
  if (!environment_.faults) return;
  Random& random = environment_.random;
  SimulatedJob& job = jobs_[random.draw(0, std::ssize(jobs_) - 1)];
  switch (random.draw(0, 9)) {
    case 0:
      job.die();
      break;
    case 1:
      job.fail();
      break;
    case 2:
    case 3:
      job.reconnect();
      break;
    case 4:
      job.pause(random.draw(1'000, random.chance(30) ? 1'500'000 : 200'000));
      break;
    case 5:
      job.register_nonsense();
      break;
    case 6:  // the coordinator stands still: everything waits in the inbox
      stalled_until_ = environment_.now + random.draw(10'000, random.chance(20) ? 1'500'000 : 150'000);
      break;
    default:
      if (!job.up() || old_results_.empty()) break;
      if (random.chance(30)) old_results_.front().epoch += 1'000;  // of no epoch yet
      network_.send_to_coordinator(job.rank_zero_link(), old_results_.front());
      old_results_.pop_front();
  }
  environment_.after(random.draw(1'000, chaos_period_), {EventKind::kChaos});
}

void Simulation::finish() {
  environment_.faults = false;
  const Time deadline = environment_.now + 120'000'000;
  const auto all_served = [&] { return ledger_.num_live() == 0 && inbox_.empty(); };
  // Three leases and timeouts clear what the faults have left; from then on nothing may go wrong.
  const Time calm = environment_.now + 3'000'000;
  while (environment_.now < calm || !all_served()) {
    step();
    CHECK_MSG(environment_.now < deadline, "the cluster does not come to an end");
  }
  const std::uint64_t num_losses = num_losses_;
  const Time end = environment_.now + 2 * config_.cluster.lease_us;
  while (environment_.now < end) step();
  CHECK_MSG(num_losses_ == num_losses, "a replica was lost without a fault");
  CHECK_MSG(replicas_.size() == jobs_.size(), "a job found no way back");
  for (const auto& [id, side] : replicas_) {
    const ReplicaStats stats = core_.scheduler().replica_stats(id);
    CHECK_MSG(stats.num_used_blocks == 0 && stats.num_plans_in_flight == 0 && stats.num_transfers == 0,
              "blocks, plans or transfers leaked");
  }
}

void Simulation::check_replay() const {
  CHECK(record_);
  CHECK_MSG(replay(config_, log_) == output_.sum(), "a replay of the same inputs goes another way");
}

}  // namespace caudal::sim
