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

const char* describe(RejectReason reason) {
  switch (reason) {
    case RejectReason::kTooLong:
      return "prompt and max_tokens together do not fit the KV cache or the context of any replica";
    case RejectReason::kQueueFull:
      return "too many requests are waiting";
    case RejectReason::kNoReplica:
      return "no replica is up";
    case RejectReason::kDeadline:
      return "the deadline passed before the request could start";
    case RejectReason::kWorkerFault:
      return "the model produced no valid token for this request";
    case RejectReason::kNone:
      break;
  }
  return "";
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
    return Error{describe(RejectReason::kQueueFull), ""};
  }
  return id;
}

void Engine::cancel(RequestId id) { inputs_.push(Cancel{id}); }

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
    hand_out_events(now);
    publish_status(now);
  }
  say_goodbye();
}

void Engine::take(Submit& input, Time now) {
  const RequestId id = input.request.id;
  const std::int32_t num_sequences = input.request.num_sequences;
  clients_.emplace(id, Client{std::move(input.sink), num_sequences});
  const RejectReason reject = scheduler_.submit(std::move(input.request), now);
  if (reject == RejectReason::kNone) return;
  for (std::int32_t i = 0; i < num_sequences; ++i) {
    hand_out({.request_id = id,
              .sequence_index = i,
              .tokens = {},
              .logprobs = {},
              .finish_reason = FinishReason::kError,
              .reject = reject,
              .error = describe(reject)});
  }
}

void Engine::take(Cancel& input, Time now) {
  if (clients_.erase(input.id) > 0) scheduler_.cancel(input.id, now);
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
    take_result(input.peer, std::get<StepResult>(message), now);
  }
}

void Engine::take_result(const Peer& peer, const StepResult& result, Time now) {
  const auto replica = cluster_.replica_for_result(peer, result.epoch);
  if (!replica || !scheduler_.apply(*replica, result, now)) {
    metrics_.stale_message();
    return;
  }
  cluster_.on_result(*replica, now);
  metrics_.step(*replica, result.compute_us, result.sequences.size());
}

void Engine::carry_out(Cluster::Actions actions, Time now) {
  for (const Cluster::Lost& lost : actions.lost) {
    LOG_WARNING("replica {} left: {}", lost.id, lost.reason);
    scheduler_.replica_lost(lost.id, now);
    context_tokens_.erase(lost.id);
    metrics_.replica_left(lost.id);
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
  }
}

void Engine::send_plans(Time now) {
  for (ReplicaId replica : cluster_.replicas()) {
    while (auto plan = scheduler_.plan(replica, now)) {
      cluster_.on_plan_sent(replica, now);
      link_->send(cluster_.ranks(replica), std::move(*plan));
    }
  }
}

void Engine::hand_out_events(Time) {
  for (TokenEvent& event : scheduler_.take_events()) {
    if (event.reject != RejectReason::kNone && event.error.empty()) event.error = describe(event.reject);
    hand_out(std::move(event));
  }
}

void Engine::hand_out(TokenEvent event) {
  auto client = clients_.find(event.request_id);
  if (client == clients_.end()) return;  // cancelled meanwhile
  const std::shared_ptr<TokenSink> sink = client->second.sink;
  if (event.finish_reason != FinishReason::kNone && --client->second.num_unfinished == 0) clients_.erase(client);
  sink->on_event(std::move(event));
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
  metrics_.queue(stats.num_waiting);
  for (ReplicaId replica : cluster_.replicas()) metrics_.replica(replica, scheduler_.replica_stats(replica));
}

void Engine::say_goodbye() {
  for (Cluster::Send& send : cluster_.shut_down("the coordinator stops").sends) {
    link_->send(std::move(send.peers), std::move(send.message));
  }
  for (auto& [id, client] : clients_) {
    for (std::int32_t i = 0; i < client.num_unfinished; ++i) {
      client.sink->on_event({.request_id = id,
                             .sequence_index = i,
                             .tokens = {},
                             .logprobs = {},
                             .finish_reason = FinishReason::kAbort});
    }
  }
  clients_.clear();
}

}  // namespace caudal
