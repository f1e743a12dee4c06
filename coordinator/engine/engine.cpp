#include "coordinator/engine/engine.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/log.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMaxInputs = 1 << 16;
constexpr auto kTick = 100ms;     // renews leases and looks at deadlines when nothing else happens
constexpr Time kLookUs = 10'000;  // between looks at every replica: for large clusters, not in every turn

Time monotonic_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Engine::Engine(const EngineConfig& config, std::unique_ptr<WorkerLink> link, Metrics& metrics)
    : patience_us_(config.patience_us),
      metrics_(metrics),
      core_(config, *this),
      max_context_tokens_(config.cluster.models.all().size()),
      inputs_(kMaxInputs),
      link_(std::move(link)) {
  for (std::size_t i = 1; i < kNumRejectReasons; ++i) metrics_.refused(reason_name(static_cast<RejectReason>(i)), 0);
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
  if (!inputs_.try_push(Submit{std::move(request), std::move(sink)})) {
    return Error{"the intake is full", ""};
  }
  return id;
}

void Engine::cancel(RequestId id) { inputs_.push(Cancel{id, std::nullopt}); }

void Engine::cancel(RequestId id, std::int32_t sequence_index) { inputs_.push(Cancel{id, sequence_index}); }

void Engine::abort_all() { inputs_.push(AbortAll{}); }

ServiceStatus Engine::status() const {
  const bool alive = monotonic_now() - last_turn_ < patience_us_;
  return {.ready = ready_ && alive,
          .num_replicas = num_replicas_,
          .num_running = num_running_,
          .num_waiting = num_waiting_};
}

void Engine::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<Input> inputs = inputs_.drain_for(kTick);
    const Time now = monotonic_now();
    for (Input& input : inputs) {
      std::visit([&](auto& what) { take(what, now); }, input);
    }
    core_.finish_turn(now);
    look_at_members(now);
    publish_status(now);
    publish_load(now);
  }
  core_.say_goodbye();
}

void Engine::take(Submit& input, Time now) {
  metrics_.queue_position(core_.scheduler().num_waiting());
  core_.submit(std::move(input.request), std::move(input.sink), now);
}

void Engine::take(Cancel& input, Time now) {
  if (input.sequence_index) {
    core_.cancel(input.id, *input.sequence_index, now);
  } else {
    core_.cancel(input.id, now);
  }
}

void Engine::take(AbortAll&, Time now) { core_.abort_all(now); }

void Engine::take(LinkEvent& input, Time now) {
  if (std::holds_alternative<LinkEvent::PeerGone>(input.what)) {
    core_.take_peer_gone(input.peer, now);
  } else {
    core_.take(input.peer, std::get<FromWorker>(std::move(input.what)), now);
  }
}

void Engine::send(std::vector<Peer> peers, ToWorker message) {
  if (const auto* refused = std::get_if<Refused>(&message)) LOG_WARNING("refused a worker: {}", refused->reason);
  link_->send(std::move(peers), std::move(message));
}

void Engine::on_joined(const Cluster::Joined& joined) {
  LOG_INFO("replica {} joined: {} ranks, {} KV blocks, {} sequences, {} context tokens", joined.id,
           joined.info.topology.num_ranks(), joined.info.num_blocks, joined.info.max_num_sequences,
           joined.info.max_context_tokens);
  context_tokens_[joined.id] = {joined.info.model, joined.info.max_context_tokens};
  next_look_ = 0;
  metrics_.replica_joined(joined.id, joined.info);
}

void Engine::on_lost(const Cluster::Lost& lost) {
  LOG_WARNING("replica {} left: {}", lost.id, lost.reason);
  context_tokens_.erase(lost.id);
  next_look_ = 0;
  metrics_.replica_lost(lost.id);
  published_.erase(lost.id);
}

void Engine::on_first_plan(ReplicaId replica, Time queue_us) {
  metrics_.queue_time(replica, std::chrono::microseconds(queue_us));
  monitor_.waited(queue_us);
}

void Engine::on_refused(RejectReason reason) {
  metrics_.refused(reason_name(reason), 1);
  monitor_.refused(reason);
}

void Engine::look_at_members(Time now) {
  if (now < next_look_) return;
  next_look_ = now + kLookUs;
  std::vector<std::int32_t> longest(max_context_tokens_.size());
  for (const auto& [id, context] : context_tokens_) {
    longest.at(context.first) = std::max(longest[context.first], context.second);
  }
  std::ranges::copy(longest, max_context_tokens_.begin());
  num_replicas_ = static_cast<std::int32_t>(context_tokens_.size());
  ready_ = core_.cluster().num_responsive(now, patience_us_) > 0;
}

void Engine::publish_status(Time now) {
  const SchedulerStats stats = core_.scheduler().stats();
  num_running_ = stats.num_running;
  num_waiting_ = stats.num_waiting;
  last_turn_ = now;
}

void Engine::publish_load(Time now) {
  if (!monitor_.is_due(now)) return;
  LoadReport report = monitor_.report(core_.scheduler(), core_.cluster().replicas(), ready_, now);
  publish_metrics(report);
  load_.set(std::move(report));
}

void Engine::publish_metrics(const LoadReport& report) {
  metrics_.waiting(report.num_waiting);
  for (const auto& [replica, load] : report.replicas) {
    metrics_.load(replica, load.num_running,
                  load.num_blocks > 0 ? double(load.num_used_blocks) / load.num_blocks : 0.0);
    ReplicaStats& known = published_[replica];
    const auto grown = [&](std::uint64_t ReplicaStats::*total) {
      return static_cast<std::int64_t>(load.*total - known.*total);
    };
    metrics_.preempted(replica, static_cast<std::int32_t>(grown(&ReplicaStats::num_preemptions)));
    metrics_.prefix_cache(replica, grown(&ReplicaStats::num_prefix_tokens_queried),
                          grown(&ReplicaStats::num_prefix_tokens_hit));
    metrics_.transfers(
        replica,
        {.num_arriving = load.num_arriving,
         .host_usage = load.num_host_blocks > 0 ? double(load.num_used_host_blocks) / load.num_host_blocks : 0.0,
         .num_sequences_out = grown(&ReplicaStats::num_sequences_to_host),
         .num_sequences_in = grown(&ReplicaStats::num_sequences_from_host),
         .num_blocks_out = grown(&ReplicaStats::num_blocks_to_host),
         .num_blocks_in = grown(&ReplicaStats::num_blocks_from_host)});
    known = load;
  }
  for (const TenantLoad& tenant : report.tenants) {
    metrics_.tenant(tenant.name, tenant.num_waiting, tenant.num_generated_tokens);
  }
}

}  // namespace caudal
