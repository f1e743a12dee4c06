#include "coordinator/engine/engine_core.h"

#include <algorithm>
#include <utility>

#include "common/mutation.h"
#include "coordinator/cluster/worker_check.h"

namespace caudal {

EngineCore::EngineCore(const EngineConfig& config, Outlet& outlet)
    : no_replica_wait_us_(config.no_replica_wait_us),
      outlet_(outlet),
      scheduler_(config.scheduler),
      cluster_(config.cluster),
      presence_(config.cluster.models.all().size()) {}

void EngineCore::submit(Request request, std::shared_ptr<TokenSink> sink, Time now) {
  const RequestId id = request.id;
  const std::int32_t num_sequences = request.num_sequences;
  clients_.insert(id, {std::move(sink), std::vector<bool>(num_sequences)});
  const RejectReason reject = scheduler_.submit(std::move(request), now);
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

void EngineCore::cancel(RequestId id, Time now) {
  if (clients_.erase(id)) MUTANT_OMITS(cancel_lost, scheduler_.cancel(id, now));
}

void EngineCore::cancel(RequestId id, std::int32_t sequence_index, Time now) {
  Client* client = clients_.find(id);
  if (client == nullptr || sequence_index < 0 || sequence_index >= std::ssize(client->finished)) return;
  scheduler_.cancel(id, sequence_index, now);
  finish(id, *client, sequence_index);
}

void EngineCore::take(const Peer& peer, FromWorker message, Time now) {
  if (const auto* registration = std::get_if<Register>(&message)) {
    carry_out(cluster_.on_register(peer, *registration, now), now);
  } else if (const auto* beat = std::get_if<Beat>(&message)) {
    carry_out(cluster_.on_beat(peer, *beat, now), now);
  } else if (const auto* failed = std::get_if<Failed>(&message)) {
    carry_out(cluster_.on_failed(peer, *failed, now), now);
  } else {
    take_result(peer, std::get<StepResult>(std::move(message)), now);
  }
}

void EngineCore::take_peer_gone(const Peer& peer, Time now) { carry_out(cluster_.on_peer_gone(peer, now), now); }

void EngineCore::take_result(const Peer& peer, StepResult result, Time now) {
  const auto replica = cluster_.replica_for_result(peer, result.epoch);
  if (replica) {
    const Result<void> checked = check(result, cluster_.info(*replica));
    if (MUTANT(lie_believed, !checked, false))
      return carry_out(cluster_.on_impossible_result(*replica, checked.error()), now);
  }
  const auto sample = replica ? scheduler_.apply(*replica, std::move(result), now) : std::nullopt;
  if (!sample) return outlet_.on_stale_result();
  cluster_.on_result(*replica, now);
  if (sample->num_sequences > 0) outlet_.on_step(*replica, *sample);  // else all had ended in the step before
}

void EngineCore::carry_out(Cluster::Actions actions, Time now) {
  for (const Cluster::Lost& lost : actions.lost) {
    MUTANT_OMITS(loss_unsent, scheduler_.replica_lost(lost.id, now));
    lost_at_[lost.epoch] = now;
    Presence& presence = presence_.at(lost.model);
    if (--presence.num_replicas == 0) presence.gone_since = now;
    outlet_.on_lost(lost);
  }
  for (Cluster::Send& send : actions.sends) outlet_.send(std::move(send.peers), std::move(send.message));
  for (const Cluster::Joined& joined : actions.joined) {
    scheduler_.replica_joined(joined.id, joined.epoch, joined.info, now);
    ++presence_.at(joined.info.model).num_replicas;
    outlet_.on_joined(joined);
  }
}

void EngineCore::finish_turn(Time now) {
  carry_out(cluster_.on_tick(now), now);
  forget_lost_replicas(now);
  MUTANT_OMITS(replica_awaited_forever, give_up_without_replica(now));
  send_plans(now);
  hand_out_all(scheduler_.take_events());
#ifndef NDEBUG
  scheduler_.check_integrity();
#endif
}

void EngineCore::forget_lost_replicas(Time now) {
  std::erase_if(lost_at_, [&](const auto& entry) {
    const bool gives_up = MUTANT(lost_awaited_forever, now - entry.second > no_replica_wait_us_, false);
    if (gives_up) scheduler_.replica_forgotten(entry.first, now);
    return gives_up;
  });
}

// What waits while no replica of its model is up waits only so long: from its arrival, or from when the last one was
// lost.
void EngineCore::give_up_without_replica(Time now) {
  for (ModelId model = 0; model < presence_.size(); ++model) {
    const Presence& presence = presence_[model];
    const bool is_up = MUTANT(wait_outlives_join, presence.num_replicas > 0, false);
    if (is_up || now - presence.gone_since <= no_replica_wait_us_) continue;
    scheduler_.give_up(model, now - no_replica_wait_us_, now);
  }
}

// Every replica gets one plan before the first gets a second one.
void EngineCore::send_plans(Time now) {
  for (std::vector<ReplicaId> due = scheduler_.due(now); !due.empty(); due = scheduler_.due(now)) {
    for (const ReplicaId replica : due) {
      auto plan = scheduler_.plan(replica, now);
      if (!plan) continue;
      cluster_.on_plan_sent(replica, now);
      std::vector<Peer> ranks = cluster_.ranks(replica);
      MUTANT_ADDS(plan_to_rank_zero, ranks.resize(1));
      outlet_.send(std::move(ranks), std::move(*plan));
    }
  }
}

// There are more clients than a cache holds: those of this turn come in together, not one by one.
void EngineCore::hand_out_all(std::vector<TokenEvent> events) {
  for (const TokenEvent& event : events) clients_.fetch(event.request_id);
  for (const TokenEvent& event : events) {
    if (const Client* client = clients_.find(event.request_id)) __builtin_prefetch(client->sink.get());
  }
  for (TokenEvent& event : events) hand_out(std::move(event));
}

void EngineCore::hand_out(TokenEvent event) {
  Client* client = clients_.find(event.request_id);
  if (client == nullptr) return;  // cancelled meanwhile
  // The client of a single sequence is gone with it.
  const bool is_over = client->finished.size() > 1 && client->finished[event.sequence_index];
  if (MUTANT(events_after_cancel, is_over, false)) return;
  if (event.queue_us > 0) outlet_.on_first_plan(event.replica, event.queue_us);
  if (event.reject != RejectReason::kNone) outlet_.on_refused(event.reject);
  if (event.finish_reason == FinishReason::kNone) return client->sink->on_event(std::move(event));
  const std::shared_ptr<TokenSink> sink = client->sink;
  finish(event.request_id, *client, event.sequence_index);
  sink->on_event(std::move(event));
}

void EngineCore::finish(RequestId id, Client& client, std::int32_t sequence_index) {
  client.finished[sequence_index] = true;
  if (std::ranges::find(client.finished, false) == client.finished.end()) clients_.erase(id);
}

void EngineCore::abort_all(Time now) {
  clients_.for_each([&](RequestId id, const Client&) { scheduler_.cancel(id, now); });
  abort_clients();
}

void EngineCore::abort_clients() {
  clients_.for_each([](RequestId id, const Client& client) {
    for (std::size_t i = 0; i < client.finished.size(); ++i) {
      if (client.finished[i]) continue;
      client.sink->on_event({.request_id = id,
                             .sequence_index = static_cast<std::int32_t>(i),
                             .tokens = {},
                             .logprobs = {},
                             .finish_reason = FinishReason::kAbort});
    }
  });
  clients_.clear();
}

void EngineCore::say_goodbye() {
  for (Cluster::Send& send : cluster_.shut_down("the coordinator stops").sends) {
    outlet_.send(std::move(send.peers), std::move(send.message));
  }
  abort_clients();
}

}  // namespace caudal
