// When drafting pays: from costs and chances that are known here.
#include "coordinator/policy/draft_length.h"

#include <gtest/gtest.h>

#include <functional>

namespace caudal {
namespace {

// Microseconds of a step of n rows.
using Cost = std::function<std::int64_t(std::int32_t)>;
const Cost kFree = [](std::int32_t rows) { return 10000 + rows; };      // waits for memory
const Cost kBusy = [](std::int32_t rows) { return 10 + 1000 * rows; };  // computes all the time
const Cost kKnee = [](std::int32_t rows) { return rows <= 32 ? 10000 : 10000 * rows / 32; };

ReplicaInfo drafting_replica() {
  ReplicaInfo info;
  info.max_draft_tokens = 8;
  return info;
}

DraftLength with_costs(const Cost& cost, std::int64_t pass_us = 0) {
  DraftLength length(drafting_replica());
  for (std::int32_t rows = 1; rows <= 1024; ++rows) length.observe_step(rows, cost(rows));
  for (std::int32_t n = 1; n <= 128; ++n) length.observe_pass(n, pass_us);
  return length;
}

std::int32_t choice(DraftLength length, std::int32_t batch, std::int32_t acceptance, bool with_model = false) {
  DraftHistory history{.acceptance = acceptance, .num_plain_steps = 0};
  return length.step({.num_plain = 0, .num_speculating = batch}).choose(history, with_model);
}

TEST(DraftLength, LongWhereRowsAreFreeNoneWhereTheyCost) {
  EXPECT_EQ(choice(with_costs(kFree), 1, 900), 8);
  EXPECT_EQ(choice(with_costs(kBusy), 1, 900), 0);
  const DraftLength knee = with_costs(kKnee);
  EXPECT_EQ(choice(knee, 1, 900), 8);
  EXPECT_EQ(choice(knee, 16, 900), 1) << "2 rows each fill the 32";
  EXPECT_EQ(choice(knee, 32, 900), 0);
  EXPECT_EQ(choice(knee, 64, 1000), 0);
}

TEST(DraftLength, TheModelsTimeCounts) {
  EXPECT_EQ(choice(with_costs(kFree, 1000), 1, 900, /*with_model=*/false), 8);
  const std::int32_t with_model = choice(with_costs(kFree, 1000), 1, 700, /*with_model=*/true);
  EXPECT_GE(with_model, 2);
  EXPECT_LE(with_model, 5);
  EXPECT_EQ(choice(with_costs(kFree, 9000), 1, 900, /*with_model=*/true), 0);
}

// Against trying all lengths in floating point.
TEST(DraftLength, TheBestOfAllLengths) {
  const DraftLength length = with_costs(kKnee, 700);
  for (std::int32_t batch : {1, 2, 3, 5, 8, 12, 20, 40}) {
    for (std::int32_t acceptance = 50; acceptance <= 1000; acceptance += 50) {
      const auto speed = [&](std::int32_t k) {
        double expected = 1, chance = 1;
        for (std::int32_t i = 0; i < k; ++i) expected += chance *= acceptance / 1024.0;
        return batch * expected / static_cast<double>(kKnee(batch * (1 + k)) + 700 * k);
      };
      double best = speed(0);
      for (std::int32_t k = 1; k <= 8; ++k) best = std::max(best, speed(k));
      EXPECT_GE(speed(choice(length, batch, acceptance, true)), best * 0.89) << batch << ' ' << acceptance;
    }
  }
}

TEST(DraftLength, LearnsFromGuessesAndTriesAgain) {
  DraftLength length = with_costs([](std::int32_t rows) { return 1000 + 300 * rows; });
  DraftHistory history;
  const DecodeBatch alone{.num_plain = 0, .num_speculating = 1};
  ASSERT_GT(length.step(alone).choose(history, false), 0);
  for (int i = 0; i < 40; ++i) length.observe_drafts(history, 4, 0);
  EXPECT_EQ(length.step(alone).choose(history, false), 0) << "never right";
  std::int32_t retries = 0;
  for (int i = 0; i < 330; ++i) retries += length.step(alone).choose(history, false) > 0 ? 1 : 0;
  EXPECT_GE(retries, 5);
  EXPECT_LE(retries, 11);
  for (int i = 0; i < 20; ++i) length.observe_drafts(history, 4, 4);
  EXPECT_GT(length.step(alone).choose(history, false), 3) << "always right";
}

// Whatever the costs: what has not been measured is tried a few times at the most when it does not pay.
TEST(DraftLength, FindsOutWhatItCosts) {
  DraftLength length(drafting_replica());
  const DecodeBatch batch{.num_plain = 0, .num_speculating = 16};
  std::int32_t num_bad = 0;
  for (int i = 0; i < 500; ++i) {
    DraftHistory history{.acceptance = 800, .num_plain_steps = 0};
    const std::int32_t k = length.step(batch).choose(history, false);
    length.observe_step(16 * (1 + k), kBusy(16 * (1 + k)));
    num_bad += k > 0 ? 1 : 0;
  }
  EXPECT_LE(num_bad, 16);
}

// One slow step must not end drafting for good.
TEST(DraftLength, AHiccupIsMeasuredAgain) {
  DraftLength length(drafting_replica());
  const DecodeBatch alone{.num_plain = 0, .num_speculating = 1};
  const auto cost = [](std::int32_t rows) { return 1000 + rows; };
  for (std::int32_t rows = 2; rows <= 9; ++rows) length.observe_step(rows, 100000);
  length.observe_step(1, cost(1));
  std::int32_t num_plain = 0;
  for (int i = 0; i < 100; ++i) {
    DraftHistory history{.acceptance = 800, .num_plain_steps = 0};
    const std::int32_t k = length.step(alone).choose(history, false);
    length.observe_step(1 + k, cost(1 + k));
    if (k > 0) length.observe_drafts(history, k, k);
    num_plain += k == 0 ? 1 : 0;
  }
  EXPECT_GT(num_plain, 25);
  EXPECT_LT(num_plain, 40);
}

TEST(DraftLength, NothingWithoutDraftsOrMeasurements) {
  DraftHistory history;
  EXPECT_EQ(DraftLength(drafting_replica()).step({.num_plain = 0, .num_speculating = 1}).choose(history, false), 0);
  DraftLength none{ReplicaInfo{}};
  none.observe_step(1, 1000);
  EXPECT_FALSE(none.step({.num_plain = 0, .num_speculating = 1}).ever_pays());
}

TEST(MeasuredCosts, InterpolatesAndForgetsHiccups) {
  MeasuredCosts costs;
  EXPECT_EQ(costs.estimate(5), 0);
  costs.observe(4, 100);
  costs.observe(8, 200);
  EXPECT_EQ(costs.estimate(4), 100);
  EXPECT_EQ(costs.estimate(6), 150);
  EXPECT_EQ(costs.estimate(2), 100) << "less costs no more";
  EXPECT_EQ(costs.estimate(16), 250) << "a quarter of the proportion";
  costs.observe(4, 10000);
  costs.observe(4, 100);
  EXPECT_EQ(costs.estimate(4), 100);
  costs.observe(600, 5000);
  costs.observe(640, 5100);
  EXPECT_GE(costs.estimate(620), 5000);
  EXPECT_LE(costs.estimate(620), 5100);
}

}  // namespace
}  // namespace caudal
