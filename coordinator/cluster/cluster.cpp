#include "coordinator/cluster/cluster.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/cluster/worker_check.h"

namespace caudal {

Cluster::Actions Cluster::on_register(const Peer& peer, const Register& message, Time now) {
  Actions actions;
  if (auto reason = why_refused(message)) {
    actions.sends.push_back({{peer}, Refused{*reason}});
    return actions;
  }
  // A link that beats before it is known is asked to register once per beat, and so may do it twice. A rank that
  // starts a new life, or connects anew, has another link.
  if (auto known = ranks_.find(peer); known != ranks_.end()) {
    known->second.last_heard = now;
    return actions;
  }
  if (auto known = groups_.find(message.replica_key); known != groups_.end()) {
    const Group& group = known->second;
    if (group.info.topology != message.info.topology) {
      actions.sends.push_back({{peer}, Refused{"the ranks of one replica disagree on its topology"}});
      return actions;
    }
    if (group.id || !group.ranks[message.rank].empty()) {
      dissolve(message.replica_key, "a rank registered again", fate_of_link_loss(message.replica_key), actions);
    }
  }

  Group& group = groups_[message.replica_key];
  if (group.ranks.empty()) {
    group.since = group.progress_at = now;
    group.ranks.resize(message.info.topology.num_ranks());
    group.info = message.info;
    group.info.model = *config_.models.find_digest(message.info.model_digest);
  }
  group.ranks[message.rank] = peer;
  ranks_[peer] = {.group = &group, .rank = message.rank, .last_heard = now, .replica_key = message.replica_key};
  MUTANT_OMITS(lease_not_watched, look_by(now + std::min(config_.lease_us, config_.registration_us)));
  // What one rank cannot hold the replica cannot hold.
  group.info.num_blocks = std::min(group.info.num_blocks, message.info.num_blocks);
  group.info.max_num_sequences = std::min(group.info.max_num_sequences, message.info.max_num_sequences);
  group.info.max_tokens_per_step = std::min(group.info.max_tokens_per_step, message.info.max_tokens_per_step);
  group.info.max_draft_tokens = std::min(group.info.max_draft_tokens, message.info.max_draft_tokens);
  group.info.num_host_blocks = std::min(group.info.num_host_blocks, message.info.num_host_blocks);
  group.info.swap_block_ns = std::max(group.info.swap_block_ns, message.info.swap_block_ns);  // the slowest counts
  if (std::ranges::none_of(group.ranks, &Peer::empty)) complete(group, actions, now);
  return actions;
}

std::optional<std::string> Cluster::why_refused(const Register& message) const {
  if (message.protocol_version != control_protocol_version()) {
    return fmt::format("control protocol {:08x} is spoken here, not {:08x}: it is of another version",
                       control_protocol_version(), message.protocol_version);
  }
  if (const Result<void> checked = check(message); !checked) {
    return fmt::format("{} is {}", checked.error().field, checked.error().message);
  }
  if (message.info.topology.pipeline != 1) {
    return fmt::format("a pipeline of {} stages is not served, only 1 stage", message.info.topology.pipeline);
  }
  const std::optional<ModelId> model = config_.models.find_digest(message.info.model_digest);
  if (!model) {
    return "the coordinator serves another model: config, tokenizer or weights of the two --model differ";
  }
  const std::int32_t min_vocab_size = config_.models.at(*model).min_vocab_size;
  if (message.info.vocab_size < min_vocab_size) {
    return fmt::format("the model has {} tokens, the tokenizer {}", message.info.vocab_size, min_vocab_size);
  }
  for (const auto& [key, group] : groups_) {
    if (group.info.model == *model && group.info.model_digest != message.info.model_digest) {
      return "other replicas serve another model";
    }
  }
  return std::nullopt;
}

void Cluster::complete(Group& group, Actions& actions, Time now) {
  group.id = smallest_free_id();
  if (*group.id >= by_id_.size()) by_id_.resize(*group.id + 1);
  by_id_[*group.id] = &group;
  group.epoch = next_epoch_;
  MUTANT_OMITS(epoch_reused, ++next_epoch_);
  group.progress_at = now;
  for (std::size_t rank = 0; rank < group.ranks.size(); ++rank) {
    actions.sends.push_back({{group.ranks[rank]}, Welcome{group.epoch, rank}});
  }
  actions.joined.push_back({*group.id, group.epoch, group.info});
}

Cluster::Fate Cluster::fate_of_link_loss(const std::string& key) const {
  auto group = groups_.find(key);
  return group != groups_.end() && group->second.num_unanswered == 0 ? Fate::kRejoin : Fate::kShutdown;
}

void Cluster::dissolve(const std::string& key, std::string_view reason, Fate fate, Actions& actions) {
  auto found = groups_.find(key);
  if (found == groups_.end()) return;
  Group group = std::move(found->second);
  if (group.id) by_id_[*group.id] = nullptr;
  groups_.erase(found);
  std::erase_if(group.ranks, [](const Peer& peer) { return peer.empty(); });
  MUTANT_ADDS(ranks_stay_known, group.ranks.resize(1));
  for (const Peer& peer : group.ranks) ranks_.erase(peer);
  ToWorker farewell = RegisterAgain{};
  if (fate == Fate::kShutdown) farewell = Shutdown{std::string(reason)};
  actions.sends.push_back({std::move(group.ranks), std::move(farewell)});
  if (group.id) actions.lost.push_back({*group.id, group.epoch, group.info.model, std::string(reason)});
}

Cluster::Actions Cluster::on_beat(const Peer& peer, const Beat& message, Time now) {
  Actions actions;
  auto rank = ranks_.find(peer);
  if (rank == ranks_.end()) {
    actions.sends.push_back({{peer}, RegisterAgain{}});
    return actions;
  }
  const Group& group = *rank->second.group;
  const bool counts = MUTANT(beats_ignored, message.epoch == group.epoch, false);
  if (!group.id || MUTANT(past_beats_count, counts, true)) rank->second.last_heard = now;
  return actions;
}

Cluster::Actions Cluster::on_failed(const Peer& peer, const Failed& message, Time) {
  Actions actions;
  auto rank = ranks_.find(peer);
  if (rank == ranks_.end()) return actions;
  const std::string key = rank->second.replica_key;
  dissolve(key, fmt::format("rank {} failed: {}", rank->second.rank, message.reason), Fate::kShutdown, actions);
  return actions;
}

Cluster::Actions Cluster::on_peer_gone(const Peer& peer, Time) {
  Actions actions;
  auto rank = ranks_.find(peer);
  if (rank == ranks_.end()) return actions;
  const std::string key = rank->second.replica_key;
  dissolve(key, fmt::format("the link to rank {} is gone", rank->second.rank), fate_of_link_loss(key), actions);
  return actions;
}

// If this process itself was stopped or starved, the others' silence is ours: judge them by the beats
// that could have been read.
void Cluster::forgive_own_stall(Time now) {
  const Time gap = last_tick_ ? now - *last_tick_ : 0;
  last_tick_ = now;
  if (gap < config_.beat_interval_us * 2) return;
  for (auto& [peer, rank] : ranks_) {
    const Time until = rank.last_heard + MUTANT(stall_not_forgiven, gap, 0);
    rank.last_heard = MUTANT(stall_forgiven_twice, std::min(until, now), until);
  }
  for (auto& [key, group] : groups_) group.progress_at = std::min(group.progress_at + gap, now);
}

// Whose time is up leaves; the others say when to look again.
void Cluster::end_overdue(Actions& actions, Time now) {
  std::vector<std::pair<std::string, std::string>> leaving;  // key, reason
  look_at_ = kNever;
  std::map<Peer, const Rank*> silent;  // in an order that repeats
  for (const auto& [peer, rank] : ranks_) {
    if (now - rank.last_heard > MUTANT(silence_unnoticed, 1, 2) * config_.lease_us) silent.emplace(peer, &rank);
    look_by(rank.last_heard + config_.lease_us);
  }
  leaving.reserve(silent.size());
  for (const auto& [peer, rank] : silent) {
    leaving.emplace_back(rank->replica_key, fmt::format("rank {} is silent", rank->rank));
  }
  for (const auto& [key, group] : groups_) {
    if (!group.id) look_by(group.since + config_.registration_us);
    if (group.num_unanswered > 0) look_by(group.progress_at + config_.step_timeout_us);
    if (!group.id && now - group.since > config_.registration_us) {
      leaving.emplace_back(key, "not all ranks registered in time");
    } else if (group.num_unanswered > 0 &&
               MUTANT(hang_unnoticed, now - group.progress_at > config_.step_timeout_us, false)) {
      leaving.emplace_back(key, "a step was not answered in time");
    }
  }
  for (const auto& [key, reason] : leaving) dissolve(key, reason, Fate::kShutdown, actions);
}

Cluster::Actions Cluster::on_tick(Time now) {
  forgive_own_stall(now);
  Actions actions;
  if (now > look_at_) end_overdue(actions, now);
  if (MUTANT(no_beats, now >= next_beat_, next_beat_ < 0)) {
    next_beat_ = now + config_.beat_interval_us;
    for (const auto& [key, group] : groups_) {
      std::vector<Peer> peers = group.ranks;
      std::erase_if(peers, [](const Peer& peer) { return peer.empty(); });
      actions.sends.push_back({std::move(peers), LeaseBeat{group.epoch}});
    }
  }
  return actions;
}

std::optional<ReplicaId> Cluster::replica_for_result(const Peer& peer, Epoch epoch) const {
  auto rank = ranks_.find(peer);
  if (rank == ranks_.end() || MUTANT(any_rank_answers, rank->second.rank != 0, false)) return std::nullopt;
  const Group& group = *rank->second.group;
  return MUTANT(past_epoch_applied, group.epoch == epoch, epoch > 0) ? group.id : std::nullopt;
}

void Cluster::on_plan_sent(ReplicaId id, Time now) {
  Group* group = find(id);
  CHECK(group != nullptr);
  if (group->num_unanswered++ > 0) return;
  group->progress_at = now;
  look_by(now + config_.step_timeout_us);
}

void Cluster::on_result(ReplicaId id, Time now) {
  Group* group = find(id);
  CHECK(group != nullptr && group->num_unanswered > 0);
  --group->num_unanswered;
  group->progress_at = now;
}

Cluster::Actions Cluster::on_impossible_result(ReplicaId id, const Error& error) {
  Actions actions;
  const std::string key = ranks_.at(member(id).ranks.front()).replica_key;
  dissolve(key, fmt::format("a result is impossible: {} is {}", error.field, error.message), Fate::kShutdown, actions);
  return actions;
}

const Cluster::Group& Cluster::member(ReplicaId id) const {
  const Group* group = find(id);
  CHECK(group != nullptr);
  return *group;
}

const std::vector<Peer>& Cluster::ranks(ReplicaId id) const { return member(id).ranks; }

const ReplicaInfo& Cluster::info(ReplicaId id) const { return member(id).info; }

std::vector<ReplicaId> Cluster::replicas() const {
  std::vector<ReplicaId> ids;
  for (const auto& [key, group] : groups_) {
    if (group.id) ids.push_back(*group.id);
  }
  std::ranges::sort(ids);
  return ids;
}

int Cluster::num_responsive(Time now, Time patience_us) const {
  return static_cast<int>(std::ranges::count_if(groups_, [&](const auto& entry) {
    const Group& group = entry.second;
    return group.id && (group.num_unanswered == 0 || now - group.progress_at < patience_us);
  }));
}

Cluster::Actions Cluster::shut_down(std::string_view reason) {
  Actions actions;
  while (!groups_.empty()) dissolve(std::string(groups_.begin()->first), reason, Fate::kShutdown, actions);
  return actions;
}

ReplicaId Cluster::smallest_free_id() const {
  ReplicaId id = 0;
  while (MUTANT(replica_id_twice, find(id) != nullptr, false)) ++id;
  return id;
}

}  // namespace caudal
