// Random operations against the invariants, 10,000 worlds by default. A failing world prints the command
// that replays it: coordinator_random_test --seed N. More worlds: --seeds COUNT.
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/coordinator/scheduler/world.h"
#include "tests/sanitized.h"

namespace {

std::uint64_t num_seeds = caudal::test::kSanitized ? 1000 : 10000;
std::uint64_t first_seed = 1;
char replay_line[96];

void print_replay(int) {
  if (write(STDERR_FILENO, replay_line, std::char_traits<char>::length(replay_line)) < 0) _exit(3);
  std::signal(SIGABRT, SIG_DFL);
}

void run(caudal::sim::World& world, std::uint64_t seed) {
  std::snprintf(replay_line, sizeof(replay_line), "replay with: coordinator_random_test --seed %llu\n",
                static_cast<unsigned long long>(seed));
  for (int i = 0; i < 300; ++i) world.step();
  world.finish();
}

TEST(SchedulerRandom, InvariantsHoldAndEveryRequestGetsItsTokens) {
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_losses = 0;
  std::uint64_t num_finished = 0;
  std::uint64_t num_tokens_hit = 0;
  std::uint64_t num_forks = 0, num_searches = 0, num_beam_moves = 0;
  std::uint64_t num_from_host = 0, num_scores = 0;
  std::int32_t max_admissions = 0;
  std::uint64_t digest = 0;  // the same for every compiler and optimisation level
  for (std::uint64_t seed = first_seed; seed < first_seed + num_seeds; ++seed) {
    caudal::sim::World world(seed);
    run(world, seed);
    num_preemptions += world.stats().num_preemptions;
    num_finished += world.stats().num_finished;
    num_losses += world.num_losses();
    num_tokens_hit += world.num_tokens_hit();
    num_forks += world.num_forks();
    num_searches += world.num_searches();
    num_beam_moves += world.num_beam_moves();
    num_from_host += world.num_from_host();
    num_scores += world.num_scores();
    digest = caudal::sim::mix(digest, world.digest());
    max_admissions = std::max(max_admissions, world.max_admissions());
  }
  std::printf(
      "%llu sequences finished, %llu preemptions, %llu returns from host memory, %llu losses, at most %d admissions of "
      "one sequence, trace "
      "%016llx\n",
      static_cast<unsigned long long>(num_finished), static_cast<unsigned long long>(num_preemptions),
      static_cast<unsigned long long>(num_from_host), static_cast<unsigned long long>(num_losses), max_admissions,
      static_cast<unsigned long long>(digest));
  if (num_seeds < 1000) return;
  // The worlds must be wild enough to mean something.
  EXPECT_GT(num_preemptions, num_seeds / 4);
  EXPECT_GT(num_losses, num_seeds);
  EXPECT_GT(num_finished, num_seeds * 5);
  EXPECT_GT(num_tokens_hit, num_seeds * 40);
  EXPECT_GT(num_forks, num_seeds / 4);
  EXPECT_GT(num_searches, num_seeds / 4);
  EXPECT_GT(num_beam_moves, num_seeds);
  EXPECT_GT(num_from_host, num_seeds / 20);
  EXPECT_GT(num_scores, num_seeds * 20);
  // No ping-pong: what losses do not explain is the first admission and at most four preemptions.
  EXPECT_LE(max_admissions, 5);
}

TEST(SchedulerRandom, SameSeedSameTrace) {
  for (std::uint64_t seed = first_seed; seed < first_seed + std::min<std::uint64_t>(num_seeds, 200); ++seed) {
    caudal::sim::World first(seed), second(seed);
    run(first, seed);
    run(second, seed);
    EXPECT_EQ(first.digest(), second.digest()) << "seed " << seed;
  }
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::string_view(argv[i]) == "--seed") first_seed = value, num_seeds = 1;
    if (std::string_view(argv[i]) == "--seeds") num_seeds = value;
  }
  std::signal(SIGABRT, print_replay);
  return RUN_ALL_TESTS();
}
