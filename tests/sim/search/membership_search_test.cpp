// All interleavings of joining and leaving: the shipped Cluster against ranks that register, connect anew, die and
// start again, with every message on its way for any time. Two ranks of one replica (or two replicas of one), the
// clock included: leases run out. Every reachable state must also settle into members that agree on their epoch.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "common/check.h"
#include "coordinator/cluster/cluster.h"
#include "tests/sim/search/search.h"
#include "tests/sim/toy_model.h"

namespace caudal::sim {
namespace {

struct Bounds {
  std::int32_t num_jobs = 1;
  std::int32_t num_ranks = 2;  // of each
  std::int32_t num_deaths = 1;
  std::int32_t num_cuts = 1;
  std::int32_t num_ticks = 3;  // a lease is two
  std::int32_t num_plans = 1;
};

class Membership {
 public:
  explicit Membership(const Bounds& bounds) : bounds_(bounds), left_(bounds), cluster_(config()) {
    for (std::int32_t job = 0; job < bounds.num_jobs; ++job) {
      lives_.push_back(0);
      start(job);
    }
  }

  std::vector<std::uint8_t> moves() const {
    std::vector<std::uint8_t> moves;
    for (std::size_t i = 0; i < links_.size(); ++i) {
      const auto number = static_cast<std::uint8_t>(i);
      if (!links_[i].up.empty()) moves.push_back(kUp + number);
      if (!links_[i].down.empty()) moves.push_back(kDown + number);
      if (links_[i].broken && !links_[i].noticed) moves.push_back(kNotice + number);
      if (is_current(i) && left_.num_cuts > 0) moves.push_back(kCut + number);
    }
    for (std::uint8_t job = 0; job < lives_.size(); ++job) {
      if (left_.num_deaths > 0 && is_up(job)) moves.push_back(kDie + job);
      if (!is_up(job)) moves.push_back(kStart + job);
    }
    if (left_.num_ticks > 0) moves.push_back(kTick);
    if (left_.num_plans > 0 && !cluster_.replicas().empty()) moves.push_back(kPlan);
    return moves;
  }

  void make(std::uint8_t move) {
    const std::uint8_t what = move & 0xE0;
    const std::uint8_t which = move & 0x1F;
    CHECK(links_.size() < 0x1F);
    if (what == kUp) arrive_up(which);
    if (what == kDown) arrive_down(which);
    if (what == kNotice) {
      links_[which].noticed = true;
      carry_out(cluster_.on_peer_gone(std::to_string(which), now_));
    }
    if (what == kCut) {
      --left_.num_cuts;
      cut(which);
    }
    if (what == kDie) {
      --left_.num_deaths;
      die(which);
    }
    if (what == kStart) start(which);
    if (what == (kTick & 0xE0)) which == 0 ? tick() : plan();
    check();
  }

  std::uint64_t digest() const {
    std::uint64_t sum = mix(mix(left_.num_deaths, left_.num_cuts), mix(left_.num_ticks, left_.num_plans));
    for (const Link& link : links_) {
      sum = mix(sum, mix(link.broken, link.noticed));
      for (const Up& message : link.up) sum = mix(sum, mix(message.kind, message.epoch));
      sum = mix(sum, 7);
      for (const Down& message : link.down) sum = mix(sum, mix(message.kind, message.epoch));
    }
    for (const auto& [key, rank] : ranks_) sum = mix(mix(sum, rank.link), rank.epoch);
    for (const auto& [peer, known] : known_) sum = mix(mix(sum, link_of(peer)), now_ - known.heard);
    for (const auto& [id, replica] : replicas_) {
      sum = mix(mix(sum, id), mix(replica.epoch, replica.num_unanswered));
    }
    return sum;
  }

  // No more faults. What is broken is noticed in the end, if only by its silence.
  void settle() {
    left_ = {0, 0, 0, 0, 0, 0};
    for (int round = 0; round < 15; ++round) {
      for (std::size_t i = 0; i < links_.size(); ++i) {
        while (!links_[i].down.empty()) arrive_down(i);
        while (!links_[i].up.empty()) arrive_up(i);
      }
      for (std::int32_t job = 0; job < std::ssize(lives_); ++job) {
        if (!is_up(job)) start(job);
      }
      tick();
      check();
    }
    CHECK_MSG(std::ssize(replicas_) == bounds_.num_jobs, "a job found no way into the cluster");
    for (const auto& [key, rank] : ranks_) {
      const auto member = known_.find(std::to_string(rank.link));
      CHECK_MSG(member != known_.end(), "a rank believes to be a member");
      CHECK_MSG(rank.epoch == replicas_.at(*member->second.replica).epoch, "ranks disagree on the epoch");
    }
  }

 private:
  enum Move : std::uint8_t {
    kUp = 0x00,
    kDown = 0x20,
    kNotice = 0x40,
    kCut = 0x60,
    kDie = 0x80,
    kStart = 0xA0,
    kTick = 0xC0,
    kPlan = 0xC1
  };
  struct Up {
    enum Kind : std::uint8_t { kRegister, kBeat, kResult } kind;
    Epoch epoch;
  };
  struct Down {
    enum Kind : std::uint8_t { kWelcome, kAgain, kShutdown, kPlan, kBeat } kind;
    Epoch epoch;
  };
  struct Link {
    std::int32_t job;
    std::int32_t rank;
    std::int32_t life;
    bool broken = false;
    bool noticed = false;
    std::deque<Up> up;
    std::deque<Down> down;
  };
  struct Rank {
    std::size_t link = 0;
    Epoch epoch = 0;
  };
  struct Known {  // to the cluster, as far as its messages tell
    Time heard = 0;
    std::optional<ReplicaId> replica;
  };
  struct Replica {
    Epoch epoch = 0;
    std::int32_t num_unanswered = 0;
  };

  static ClusterConfig config() {
    ClusterConfig config;
    config.lease_us = 2;
    config.step_timeout_us = 2;
    config.beat_interval_us = 1;
    config.registration_us = 3;
    return config;
  }
  static std::size_t link_of(const Peer& peer) { return static_cast<std::size_t>(std::stoi(peer)); }
  bool is_up(std::int32_t job) const { return ranks_.contains({job, 0}); }
  bool is_current(std::size_t link) const {
    const auto rank = ranks_.find({links_[link].job, links_[link].rank});
    return rank != ranks_.end() && rank->second.link == link;
  }

  void start(std::int32_t job) {
    ++lives_[job];
    for (std::int32_t rank = 0; rank < bounds_.num_ranks; ++rank) {
      connect(job, rank);
      send_up(links_.size() - 1, {Up::kRegister, 0});
    }
  }
  void connect(std::int32_t job, std::int32_t rank) {
    links_.push_back({.job = job, .rank = rank, .life = lives_[job], .up = {}, .down = {}});
    ranks_[{job, rank}].link = links_.size() - 1;
  }
  void die(std::int32_t job) {
    for (std::int32_t rank = 0; rank < bounds_.num_ranks; ++rank) {
      const auto gone = ranks_.find({job, rank});
      break_link(gone->second.link);
      ranks_.erase(gone);
    }
  }
  // What is on its way up may still arrive.
  void break_link(std::size_t link) {
    links_[link].broken = true;
    links_[link].down.clear();
  }
  void cut(std::size_t link) {
    break_link(link);
    const Epoch epoch = ranks_.at({links_[link].job, links_[link].rank}).epoch;
    connect(links_[link].job, links_[link].rank);
    send_up(links_.size() - 1, {Up::kBeat, epoch});
  }
  void send_up(std::size_t link, Up message) { links_[link].up.push_back(message); }

  void arrive_up(std::size_t index) {
    Link& link = links_[index];
    const Up message = link.up.front();
    link.up.pop_front();
    const Peer peer = std::to_string(index);
    if (message.kind == Up::kRegister) {
      Register registration{.replica_key = fmt::format("{}.{}", link.job, link.life),
                            .rank = static_cast<std::uint32_t>(link.rank),
                            .info = {.num_blocks = 1,
                                     .max_num_sequences = 1,
                                     .max_tokens_per_step = 1,
                                     .max_context_tokens = 1,
                                     .vocab_size = 1},
                            .build_version = {}};
      registration.info.model_digest = "toy";
      registration.info.topology.tensor = bounds_.num_ranks;
      known_[peer].heard = now_;
      carry_out(cluster_.on_register(peer, registration, now_));
    } else if (message.kind == Up::kBeat) {
      const auto known = known_.find(peer);
      if (known != known_.end()) known->second.heard = now_;
      carry_out(cluster_.on_beat(peer, {.epoch = message.epoch}, now_));
    } else {
      const auto known = known_.find(peer);
      const bool counts = known != known_.end() && known->second.replica && link.rank == 0 &&
                          replicas_.at(*known->second.replica).epoch == message.epoch;
      const auto replica = cluster_.replica_for_result(peer, message.epoch);
      CHECK_MSG(replica.has_value() == counts, "a result counts that must not, or the other way round");
      if (!counts || replicas_.at(*replica).num_unanswered == 0) return;
      --replicas_.at(*replica).num_unanswered;
      cluster_.on_result(*replica, now_);
    }
  }

  void arrive_down(std::size_t index) {
    Link& link = links_[index];
    const Down message = link.down.front();
    link.down.pop_front();
    if (!is_current(index)) return;
    Rank& rank = ranks_.at({link.job, link.rank});
    switch (message.kind) {
      case Down::kWelcome:
        CHECK_MSG(message.epoch > rank.epoch, "an epoch was used again");
        rank.epoch = message.epoch;
        return;
      case Down::kAgain:
        return send_up(index, {Up::kRegister, 0});
      case Down::kShutdown:
        return die(link.job);
      case Down::kPlan:
        if (message.epoch == rank.epoch) send_up(index, {Up::kResult, message.epoch});
        return;
      case Down::kBeat:
        return send_up(index, {Up::kBeat, rank.epoch});
    }
  }

  void tick() {
    --left_.num_ticks;
    ++now_;
    for (const auto& [key, rank] : ranks_) {
      if (left_.num_ticks < 0) send_up(rank.link, {Up::kBeat, rank.epoch});
    }
    carry_out(cluster_.on_tick(now_));
  }

  void plan() {
    --left_.num_plans;
    const ReplicaId id = cluster_.replicas().front();
    cluster_.on_plan_sent(id, now_);
    ++replicas_.at(id).num_unanswered;
    for (const Peer& peer : cluster_.ranks(id)) send_down(peer, {Down::kPlan, replicas_.at(id).epoch});
  }

  void send_down(const Peer& peer, Down message) {
    if (!links_[link_of(peer)].broken) links_[link_of(peer)].down.push_back(message);
  }

  void carry_out(const Cluster::Actions& actions) {
    for (const Cluster::Lost& lost : actions.lost) CHECK_MSG(replicas_.erase(lost.id) == 1, "lost without being there");
    for (const Cluster::Send& send : actions.sends) {
      for (const Peer& peer : send.peers) {
        const bool farewell =
            std::holds_alternative<Shutdown>(send.message) || std::holds_alternative<RegisterAgain>(send.message);
        if (farewell) known_.erase(peer);
        if (const auto* welcome = std::get_if<Welcome>(&send.message))
          send_down(peer, {Down::kWelcome, welcome->epoch});
        if (std::holds_alternative<RegisterAgain>(send.message)) send_down(peer, {Down::kAgain, 0});
        if (std::holds_alternative<Shutdown>(send.message)) send_down(peer, {Down::kShutdown, 0});
        if (std::holds_alternative<LeaseBeat>(send.message)) send_down(peer, {Down::kBeat, 0});
        CHECK_MSG(!std::holds_alternative<Refused>(send.message), "a good rank was refused");
      }
    }
    for (const Cluster::Joined& joined : actions.joined) {
      CHECK_MSG(joined.epoch > last_epoch_, "an epoch was used again");
      last_epoch_ = joined.epoch;
      CHECK_MSG(replicas_.emplace(joined.id, Replica{joined.epoch, 0}).second, "two replicas of one id");
      for (const Peer& peer : cluster_.ranks(joined.id)) known_.at(peer).replica = joined.id;
    }
  }

  void check() const {
    std::vector<ReplicaId> ids;
    std::map<Peer, ReplicaId> seats;
    for (const auto& [id, replica] : replicas_) {
      ids.push_back(id);
      const std::vector<Peer>& peers = cluster_.ranks(id);
      CHECK(std::ssize(peers) == bounds_.num_ranks);
      for (std::size_t rank = 0; rank < peers.size(); ++rank) {
        CHECK_MSG(seats.emplace(peers[rank], id).second, "a rank sits in two replicas");
        const Link& link = links_[link_of(peers[rank])];
        const Link& first = links_[link_of(peers[0])];
        CHECK_MSG(link.rank == static_cast<std::int32_t>(rank) && link.job == first.job && link.life == first.life,
                  "a replica of ranks that do not belong together");
        CHECK_MSG(now_ - known_.at(peers[rank]).heard <= config().lease_us, "a silent rank was kept");
      }
    }
    CHECK_MSG(cluster_.replicas() == ids, "a replica that nobody was told of");
  }

  const Bounds bounds_;
  Bounds left_;
  Cluster cluster_;
  Time now_ = 1;
  Epoch last_epoch_ = 0;
  std::vector<std::int32_t> lives_;                              // by job
  std::vector<Link> links_;                                      // the index is the routing id
  std::map<std::pair<std::int32_t, std::int32_t>, Rank> ranks_;  // of jobs that are up, by job and rank
  std::map<Peer, Known> known_;
  std::map<ReplicaId, Replica> replicas_;
};

void expect_all(const Bounds& bounds, std::size_t at_least) {
  const SearchResult result = search<Membership>(bounds);
  fmt::print("{} states, {} moves, the farthest after {}\n", result.num_states, result.num_moves, result.longest);
  EXPECT_GE(result.num_states, at_least);
}

TEST(MembershipSearch, OneReplicaOfTwoRanksDiesAndConnectsAnew) {
  expect_all({.num_jobs = 1, .num_ranks = 2, .num_deaths = 1, .num_cuts = 0, .num_ticks = 1, .num_plans = 0}, 200);
}

TEST(MembershipSearch, OneRankWithPlansAndLeases) {
  expect_all({.num_jobs = 1, .num_ranks = 1, .num_deaths = 1, .num_cuts = 1, .num_ticks = 1, .num_plans = 1}, 200);
}

TEST(MembershipSearch, OneOfTwoReplicasDies) {
  expect_all({.num_jobs = 2, .num_ranks = 1, .num_deaths = 1, .num_cuts = 0, .num_ticks = 1, .num_plans = 0}, 200);
}

}  // namespace
}  // namespace caudal::sim
