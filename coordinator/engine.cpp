#include "coordinator/engine.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/log.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxInputs = 1 << 16;
constexpr auto kTick = 100ms;  // renews leases and looks at deadlines when nothing else happens

Time monotonic_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

StepSample sample_of(const StepResult& result) {
  StepSample sample{.duration = std::chrono::microseconds(result.compute_us),
                    .num_sequences = static_cast<std::int32_t>(result.sequences.size())};
  for (const SequenceResult& sequence : result.sequences) {
    sample.num_generated_tokens += static_cast<std::int32_t>(sequence.tokens.size());
  }
  return sample;
}

}  // namespace

Engine::Engine(EngineConfig config, std::unique_ptr<WorkerLink> link, Metrics& metrics)
    : config_(std::move(config)),
      metrics_(metrics),
      scheduler_(config_.scheduler),
      cluster_(config_.cluster),
      inputs_(kMaxInputs),
      link_(std::move(link)) {
  last_turn_ = monotonic_now();
  link_->start([this](LinkEvent event) { inputs_.push(std::move(event)); });
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Engine::~Engine() {
  thread_.request_stop();
  thread_.join();
  inputs_.close();
}

Result<RequestId> Engine::submit(Request request, std::shared_ptr<TokenSink> sink) {
  const RequestId id = next_request_id_++;
  request.id = id;
  request.arrival = monotonic_now();
  if (!inputs_.try_push(Submit{std::move(request), std::move(sink)})) {
    return Error{"the intake is full", ""};
  }
  return id;
}

void Engine::cancel(RequestId id) { inputs_.push(Cancel{id, std::nullopt}); }

void Engine::cancel(RequestId id, std::int32_t sequence_index) { inputs_.push(Cancel{id, sequence_index}); }

void Engine::abort_all() { inputs_.push(AbortAll{}); }

ServiceStatus Engine::status() const {
  const bool alive = monotonic_now() - last_turn_ < config_.patience_us;
  return {.ready = ready_ && alive,
          .num_replicas = num_replicas_,
          .num_running = num_running_,
          .num_waiting = num_waiting_,
          .max_context_tokens = max_context_tokens_};
}

void Engine::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<Input> inputs = inputs_.drain_for(kTick);
    const Time now = monotonic_now();
    for (Input& input : inputs) {
      std::visit([&](auto& what) { take(what, now); }, input);
    }
    carry_out(cluster_.on_tick(now), now);
    send_plans(now);
    hand_out_events();
    publish_status(now);
  }
  say_goodbye();
}

void Engine::take(Submit& input, Time now) {
  if (cluster_.replicas().empty() && !input.request.deadline) {
    input.request.deadline = now + config_.no_replica_wait_us;
  }
  const RequestId id = input.request.id;
  const std::int32_t num_sequences = input.request.num_sequences;
  clients_.emplace(id, Client{std::move(input.sink), std::vector<bool>(static_cast<std::size_t>(num_sequences))});
  const RejectReason reject = scheduler_.submit(std::move(input.request), now);
  if (reject == RejectReason::kNone) return;
  for (std::int32_t i = 0; i < num_sequences; ++i) {
    hand_out({.request_id = id,
              .sequence_index = i,
              .tokens = {},
              .logprobs = {},
              .finish_reason = FinishReason::kError,
              .reject = reject});
  }
}

void Engine::take(Cancel& input, Time now) {
  const auto client = clients_.find(input.id);
  if (client == clients_.end()) return;
  if (!input.sequence_index) {
    scheduler_.cancel(input.id, now);
    clients_.erase(client);
    return;
  }
  const std::int32_t index = *input.sequence_index;
  if (index < 0 || index >= std::ssize(client->second.finished)) return;
  scheduler_.cancel(input.id, index, now);
  finish(client, index);
}

void Engine::take(AbortAll&, Time now) {
  for (const auto& [id, client] : clients_) scheduler_.cancel(id, now);
  abort_clients();
}

void Engine::take(LinkEvent& input, Time now) {
  if (std::holds_alternative<LinkEvent::PeerGone>(input.what)) {
    carry_out(cluster_.on_peer_gone(input.peer, now), now);
    return;
  }
  FromWorker& message = std::get<FromWorker>(input.what);
  if (const auto* registration = std::get_if<Register>(&message)) {
    carry_out(cluster_.on_register(input.peer, *registration, now), now);
  } else if (const auto* beat = std::get_if<Beat>(&message)) {
    carry_out(cluster_.on_beat(input.peer, *beat, now), now);
  } else if (const auto* failed = std::get_if<Failed>(&message)) {
    carry_out(cluster_.on_failed(input.peer, *failed, now), now);
  } else {
    take_result(input.peer, std::get<StepResult>(std::move(message)), now);
  }
}

void Engine::take_result(const Peer& peer, StepResult result, Time now) {
  const auto replica = cluster_.replica_for_result(peer, result.epoch);
  StepSample sample = sample_of(result);
  const std::uint64_t computed_before = replica ? scheduler_.replica_stats(*replica).num_prompt_tokens_computed : 0;
  if (!replica || !scheduler_.apply(*replica, std::move(result), now)) {
    metrics_.stale_message();
    return;
  }
  cluster_.on_result(*replica, now);
  if (sample.num_sequences == 0) return;  // all of them had ended in the step before
  const auto computed = scheduler_.replica_stats(*replica).num_prompt_tokens_computed - computed_before;
  sample.num_prompt_tokens = static_cast<std::int32_t>(computed);
  metrics_.step(*replica, sample);
}

void Engine::carry_out(Cluster::Actions actions, Time now) {
  for (const Cluster::Lost& lost : actions.lost) {
    LOG_WARNING("replica {} left: {}", lost.id, lost.reason);
    scheduler_.replica_lost(lost.id, now);
    context_tokens_.erase(lost.id);
    metrics_.replica_lost(lost.id);
    published_.erase(lost.id);
  }
  for (Cluster::Send& send : actions.sends) {
    if (const auto* refused = std::get_if<Refused>(&send.message)) LOG_WARNING("refused a worker: {}", refused->reason);
    link_->send(std::move(send.peers), std::move(send.message));
  }
  for (const Cluster::Joined& joined : actions.joined) {
    LOG_INFO("replica {} joined: {} ranks, {} KV blocks, {} sequences, {} context tokens", joined.id,
             joined.info.tensor_parallel_size, joined.info.num_blocks, joined.info.max_num_sequences,
             joined.info.max_context_tokens);
    scheduler_.replica_joined(joined.id, joined.epoch, joined.info, now);
    context_tokens_[joined.id] = joined.info.max_context_tokens;
    metrics_.replica_joined(joined.id, joined.info);
  }
}

// A replica may leave a sequence to another one, so in rounds until nobody has a plan any more.
void Engine::send_plans(Time now) {
  const std::vector<ReplicaId> replicas = cluster_.replicas();
  if (replicas.empty()) scheduler_.expire(now);
  for (bool any = true; any;) {
    any = false;
    for (ReplicaId replica : replicas) {
      auto plan = scheduler_.plan(replica, now);
      if (!plan) continue;
      any = true;
      cluster_.on_plan_sent(replica, now);
      link_->send(cluster_.ranks(replica), std::move(*plan));
    }
  }
}

void Engine::hand_out_events() {
  for (TokenEvent& event : scheduler_.take_events()) hand_out(std::move(event));
}

void Engine::hand_out(TokenEvent event) {
  const auto client = clients_.find(event.request_id);
  if (client == clients_.end() || client->second.finished[static_cast<std::size_t>(event.sequence_index)]) {
    return;  // cancelled meanwhile
  }
  if (event.queue_us > 0) metrics_.queue_time(std::chrono::microseconds(event.queue_us));
  const std::shared_ptr<TokenSink> sink = client->second.sink;
  if (event.finish_reason != FinishReason::kNone) finish(client, event.sequence_index);
  sink->on_event(std::move(event));
}

void Engine::finish(Clients::iterator client, std::int32_t sequence_index) {
  std::vector<bool>& finished = client->second.finished;
  finished[static_cast<std::size_t>(sequence_index)] = true;
  if (std::ranges::find(finished, false) == finished.end()) clients_.erase(client);
}

void Engine::publish_status(Time now) {
  const SchedulerStats stats = scheduler_.stats();
  num_replicas_ = static_cast<std::int32_t>(cluster_.replicas().size());
  num_running_ = static_cast<std::int32_t>(stats.num_running);
  num_waiting_ = static_cast<std::int32_t>(stats.num_waiting);
  std::int32_t context = 0;
  for (const auto& [id, tokens] : context_tokens_) context = std::max(context, tokens);
  max_context_tokens_ = context;
  ready_ = cluster_.num_responsive(now, config_.patience_us) > 0;
  last_turn_ = now;
  publish_metrics(stats);
}

void Engine::publish_metrics(const SchedulerStats& stats) {
  metrics_.waiting(stats.num_waiting);
  for (ReplicaId replica : cluster_.replicas()) {
    const ReplicaStats load = scheduler_.replica_stats(replica);
    metrics_.load(replica, load.num_running, load.num_blocks > 0 ? double(load.num_used_blocks) / load.num_blocks : 0.0);
    ReplicaStats& known = published_[replica];
    const auto grown = [&](std::uint64_t ReplicaStats::* total) {
      return static_cast<std::int64_t>(load.*total - known.*total);
    };
    metrics_.preempted(replica, static_cast<std::int32_t>(grown(&ReplicaStats::num_preemptions)));
    metrics_.prefix_cache(replica, grown(&ReplicaStats::num_prefix_tokens_queried),
                          grown(&ReplicaStats::num_prefix_tokens_hit));
    known = load;
  }
}

void Engine::abort_clients() {
  for (auto& [id, client] : clients_) {
    for (std::size_t i = 0; i < client.finished.size(); ++i) {
      if (client.finished[i]) continue;
      client.sink->on_event({.request_id = id,
                             .sequence_index = static_cast<std::int32_t>(i),
                             .tokens = {},
                             .logprobs = {},
                             .finish_reason = FinishReason::kAbort});
    }
  }
  clients_.clear();
}

void Engine::say_goodbye() {
  for (Cluster::Send& send : cluster_.shut_down("the coordinator stops").sends) {
    link_->send(std::move(send.peers), std::move(send.message));
  }
  abort_clients();
}

}  // namespace caudal
