// Membership, message by message: joining, leases, link losses, stale epochs, own stalls.
#include "coordinator/cluster/cluster.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace caudal {
namespace {

const ClusterConfig kConfig{.lease_us = 1000,
                            .step_timeout_us = 5000,
                            .beat_interval_us = 100,
                            .registration_us = 3000,
                            .models = ModelRegistry({.min_vocab_size = 50}),
                            .first_epoch = 10};

Register registration(const std::string& key, std::uint32_t rank, std::uint32_t size, std::int32_t blocks = 100) {
  return {.replica_key = key,
          .rank = rank,
          .info = {.num_blocks = blocks,
                   .max_num_sequences = 8,
                   .max_tokens_per_step = 64,
                   .max_context_tokens = 256,
                   .vocab_size = 60,
                   .topology = {.tensor = static_cast<std::int32_t>(size)},
                   .model_digest = "m"},
          .build_version = "test"};
}

template <typename T>
std::vector<Peer> receivers(const Cluster::Actions& actions) {
  std::vector<Peer> peers;
  for (const auto& send : actions.sends) {
    if (std::holds_alternative<T>(send.message)) peers.insert(peers.end(), send.peers.begin(), send.peers.end());
  }
  return peers;
}

Cluster pair_of_ranks() {
  Cluster cluster(kConfig);
  cluster.on_register("a0", registration("a", 0, 2), 0);
  cluster.on_register("a1", registration("a", 1, 2, 90), 0);
  return cluster;
}

TEST(Cluster, AReplicaExistsOnceAllRanksRegistered) {
  Cluster cluster(kConfig);
  EXPECT_TRUE(cluster.on_register("a1", registration("a", 1, 2, 90), 0).joined.empty());
  EXPECT_TRUE(cluster.replicas().empty());
  const auto actions = cluster.on_register("a0", registration("a", 0, 2, 100), 1);
  ASSERT_EQ(actions.joined.size(), 1U);
  EXPECT_EQ(actions.joined[0].epoch, 10U);
  EXPECT_EQ(actions.joined[0].info.num_blocks, 90) << "what one rank cannot hold the replica cannot";
  EXPECT_EQ(receivers<Welcome>(actions), (std::vector<Peer>{"a0", "a1"}));
  EXPECT_EQ(cluster.ranks(0), (std::vector<Peer>{"a0", "a1"}));
}

TEST(Cluster, ResultsCountFromRankZeroOfTheCurrentEpochOnly) {
  Cluster cluster = pair_of_ranks();
  EXPECT_EQ(cluster.replica_for_result("a0", 10), ReplicaId{0});
  EXPECT_EQ(cluster.replica_for_result("a1", 10), std::nullopt);
  EXPECT_EQ(cluster.replica_for_result("a0", 9), std::nullopt);
  EXPECT_EQ(cluster.replica_for_result("x", 10), std::nullopt);
}

TEST(Cluster, ASilentRankEndsItsReplica) {
  Cluster cluster = pair_of_ranks();
  Time now = 0;
  Cluster::Actions actions;
  while (actions.lost.empty() && now < 3000) {
    now += 100;
    cluster.on_beat("a0", {.epoch = 10, .steps_done = 0, .busy = false}, now);
    actions = cluster.on_tick(now);
  }
  EXPECT_EQ(now, 1100);
  EXPECT_EQ(receivers<Shutdown>(actions), (std::vector<Peer>{"a0", "a1"}));
  EXPECT_TRUE(cluster.replicas().empty());
}

TEST(Cluster, ABeatOfAnotherEpochDoesNotRenewTheLease) {
  Cluster cluster = pair_of_ranks();
  Time now = 0;
  while (!cluster.replicas().empty() && now < 3000) {
    now += 100;
    cluster.on_beat("a0", {.epoch = 10}, now);
    cluster.on_beat("a1", {.epoch = 9}, now);
    cluster.on_tick(now);
  }
  EXPECT_EQ(now, 1100);
}

TEST(Cluster, OwnStallIsForgiven) {
  Cluster cluster = pair_of_ranks();
  cluster.on_tick(100);
  EXPECT_TRUE(cluster.on_tick(1'000'000).lost.empty());
  EXPECT_EQ(cluster.replicas().size(), 1U);
}

TEST(Cluster, AHungStepEndsItsReplica) {
  Cluster cluster = pair_of_ranks();
  cluster.on_plan_sent(0, 0);
  cluster.on_plan_sent(0, 10);
  Time now = 0;
  std::vector<Cluster::Lost> lost;
  while (lost.empty() && now < 10000) {
    now += 100;
    cluster.on_beat("a0", {.epoch = 10}, now);
    cluster.on_beat("a1", {.epoch = 10}, now);
    if (now == 2000) cluster.on_result(0, now);  // progress starts the clock anew
    lost = cluster.on_tick(now).lost;
  }
  EXPECT_EQ(now, 7100);
}

TEST(Cluster, AnIdleReplicaThatLosesALinkMayRejoin) {
  Cluster cluster = pair_of_ranks();
  const auto actions = cluster.on_register("a1-again", registration("a", 1, 2), 5);
  ASSERT_EQ(actions.lost.size(), 1U);
  EXPECT_EQ(receivers<RegisterAgain>(actions), (std::vector<Peer>{"a0", "a1"}));
  const auto rejoined = cluster.on_register("a0", registration("a", 0, 2), 6);
  ASSERT_EQ(rejoined.joined.size(), 1U);
  EXPECT_EQ(rejoined.joined[0].epoch, 11U);
  EXPECT_EQ(cluster.ranks(0), (std::vector<Peer>{"a0", "a1-again"}));
}

// Two beats of an unknown link cause two registrations; the second comes when plans may already be out.
TEST(Cluster, ARepeatedRegistrationChangesNothing) {
  Cluster cluster = pair_of_ranks();
  cluster.on_plan_sent(0, 1);
  const auto actions = cluster.on_register("a0", registration("a", 0, 2), 2);
  EXPECT_TRUE(actions.lost.empty());
  EXPECT_TRUE(actions.sends.empty());
  EXPECT_EQ(cluster.replica_for_result("a0", 10), ReplicaId{0});
}

TEST(Cluster, ABusyReplicaThatLosesALinkMustGo) {
  Cluster cluster = pair_of_ranks();
  cluster.on_plan_sent(0, 0);
  const auto actions = cluster.on_peer_gone("a1", 5);
  ASSERT_EQ(actions.lost.size(), 1U);
  EXPECT_EQ(receivers<Shutdown>(actions), (std::vector<Peer>{"a0", "a1"}));
}

TEST(Cluster, AFailedRankTakesItsReplicaWithIt) {
  Cluster cluster = pair_of_ranks();
  const auto actions = cluster.on_failed("a1", {.epoch = 10, .reason = "out of memory"}, 5);
  ASSERT_EQ(actions.lost.size(), 1U);
  EXPECT_NE(actions.lost[0].reason.find("out of memory"), std::string::npos);
}

TEST(Cluster, AnUnknownLinkIsAskedToRegister) {
  Cluster cluster(kConfig);
  EXPECT_EQ(receivers<RegisterAgain>(cluster.on_beat("x", {.epoch = 4}, 0)), (std::vector<Peer>{"x"}));
}

TEST(Cluster, RefusesWhatDoesNotBelong) {
  Cluster cluster(kConfig);
  Register wrong = registration("a", 0, 1);
  wrong.protocol_version = 99;
  EXPECT_EQ(receivers<Refused>(cluster.on_register("p", wrong, 0)).size(), 1U);
  wrong = registration("a", 0, 1);
  wrong.info.topology.pipeline = 2;
  const Cluster::Actions staged = cluster.on_register("p", wrong, 0);
  ASSERT_EQ(receivers<Refused>(staged).size(), 1U);
  EXPECT_EQ(std::get<Refused>(staged.sends[0].message).reason, "a pipeline of 2 stages is not served, only 1 stage");
  wrong = registration("a", 0, 1);
  wrong.info.vocab_size = 49;
  EXPECT_EQ(receivers<Refused>(cluster.on_register("p", wrong, 0)).size(), 1U);
  cluster.on_register("a0", registration("a", 0, 2), 0);
  EXPECT_EQ(receivers<Refused>(cluster.on_register("p", registration("a", 1, 4), 0)).size(), 1U);
  wrong = registration("b", 0, 1);
  wrong.info.model_digest = "other";
  EXPECT_EQ(receivers<Refused>(cluster.on_register("p", wrong, 0)).size(), 1U);
}

TEST(Cluster, RefusesAnotherModelThanItsOwnFromTheFirstReplicaOn) {
  ClusterConfig config = kConfig;
  config.models = ModelRegistry({.digest = "mine"});
  Cluster cluster(config);
  EXPECT_EQ(receivers<Refused>(cluster.on_register("p", registration("a", 0, 1), 0)).size(), 1U);
  Register right = registration("a", 0, 1);
  right.info.model_digest = "mine";
  EXPECT_EQ(receivers<Refused>(cluster.on_register("p", right, 0)).size(), 0U);
}

TEST(Cluster, RefusesOtherWeightsOfTheSameConfig) {
  const auto joins = [](Cluster& cluster, const std::string& key, const std::string& digest) {
    Register message = registration(key, 0, 1);
    message.info.model_digest = digest;
    return receivers<Refused>(cluster.on_register(key, message, 0)).empty();
  };
  ClusterConfig config = kConfig;
  config.models = ModelRegistry({.digest = "config:weights"});
  Cluster knows_weights(config);
  EXPECT_FALSE(joins(knows_weights, "a", "config:other"));
  EXPECT_FALSE(joins(knows_weights, "b", "config:-"));
  EXPECT_TRUE(joins(knows_weights, "c", "config:weights"));
  config.models = ModelRegistry({.digest = "config:-"});  // no weights beside the coordinator
  Cluster takes_the_first(config);
  EXPECT_FALSE(joins(takes_the_first, "a", "another:weights"));
  EXPECT_TRUE(joins(takes_the_first, "b", "config:weights"));
  EXPECT_FALSE(joins(takes_the_first, "c", "config:other"));
}

TEST(Cluster, EachReplicaIsOfTheModelThatItsDigestNames) {
  ClusterConfig config = kConfig;
  config.models = ModelRegistry({.name = "small", .digest = "s", .min_vocab_size = 50});
  EXPECT_EQ(config.models.add({.name = "large", .digest = "l", .min_vocab_size = 70}), 1U);
  Cluster cluster(config);
  Register message = registration("a", 0, 1);
  message.info.model_digest = "l";
  EXPECT_EQ(receivers<Refused>(cluster.on_register("a0", message, 0)).size(), 1U) << "60 tokens are too few for it";
  message.info.vocab_size = 70;
  const Cluster::Actions large = cluster.on_register("a0", message, 0);
  ASSERT_EQ(large.joined.size(), 1U);
  EXPECT_EQ(large.joined[0].info.model, 1U);
  message = registration("b", 0, 1);
  message.info.model_digest = "s";
  const Cluster::Actions small = cluster.on_register("b0", message, 0);
  ASSERT_EQ(small.joined.size(), 1U);
  EXPECT_EQ(small.joined[0].info.model, 0U);
  EXPECT_EQ(config.models.find_name("large"), 1U);
  EXPECT_FALSE(config.models.find_name("m").has_value());
}

TEST(Cluster, AnIncompleteGroupIsDroppedInTime) {
  Cluster cluster(kConfig);
  cluster.on_register("a0", registration("a", 0, 2), 0);
  Time now = 0;
  std::vector<Peer> told;
  while (told.empty() && now < 5000) {
    now += 100;
    cluster.on_beat("a0", {}, now);
    told = receivers<Shutdown>(cluster.on_tick(now));
  }
  EXPECT_EQ(now, 3100);
}

// Random messages: epochs only rise, a replica joins before it is lost, ids in use are distinct.
TEST(Cluster, RandomMessagesKeepTheBooks) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    Cluster cluster(kConfig);
    std::set<ReplicaId> up;
    Epoch last_epoch = 0;
    Time now = 0;
    const auto note = [&](const Cluster::Actions& actions) {
      for (const auto& lost : actions.lost) EXPECT_EQ(up.erase(lost.id), 1U) << "seed " << seed;
      for (const auto& joined : actions.joined) {
        EXPECT_GT(joined.epoch, last_epoch) << "seed " << seed;
        last_epoch = joined.epoch;
        EXPECT_TRUE(up.insert(joined.id).second) << "seed " << seed;
      }
    };
    for (int i = 0; i < 400; ++i) {
      now += random() % 200;
      const std::string key(1, static_cast<char>('a' + random() % 3));
      const auto rank = static_cast<std::uint32_t>(random() % 2);
      const Peer peer = key + std::to_string(rank) + (random() % 4 == 0 ? "'" : "");
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          note(cluster.on_register(peer, registration(key, rank, 2), now));
          break;
        case 3:
          note(cluster.on_failed(peer, {.epoch = last_epoch, .reason = "r"}, now));
          break;
        case 4:
          note(cluster.on_peer_gone(peer, now));
          break;
        case 5:
          for (ReplicaId id : cluster.replicas()) cluster.on_plan_sent(id, now);
          break;
        case 6:
          note(cluster.on_beat(peer, {.epoch = last_epoch}, now));
          break;
        default:
          note(cluster.on_tick(now));
      }
      const auto replicas = cluster.replicas();
      EXPECT_EQ(std::set<ReplicaId>(replicas.begin(), replicas.end()), up) << "seed " << seed;
      for (ReplicaId id : replicas) EXPECT_EQ(cluster.ranks(id).size(), 2U);
    }
    note(cluster.shut_down("end"));
    EXPECT_TRUE(up.empty());
  }
}

}  // namespace
}  // namespace caudal
