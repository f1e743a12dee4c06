// Whole clusters under 10,000 seeds, the invariants after every turn. A failing seed prints the command that
// replays it with a readable trace. By hand: --seeds COUNT, --minutes M (until then), --first SEED,
// --seed N [--trace] (one), --digest (only the digest of all traces, for comparing builds); in sim_mutants also
// --mutant NAME (with this bug: common/mutation.h).
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "common/mutation.h"
#include "tests/sanitized.h"
#include "tests/sim/simulation.h"

namespace caudal::sim {
namespace {

constexpr int kStepsOfTrouble = 1200;

char replay_line[128];

void print_replay(int) {
  if (write(STDERR_FILENO, replay_line, std::char_traits<char>::length(replay_line)) < 0) _exit(3);
  std::signal(SIGABRT, SIG_DFL);
}

struct Options {
  std::uint64_t first = 1;
  std::uint64_t num_seeds = test::kSanitized ? 500 : 10'000;
  double minutes = 0.0;
  bool trace = false;
  bool digest_only = false;
};

struct Totals {
  std::uint64_t num_seeds = 0, num_steps = 0, num_finished = 0, num_preemptions = 0, num_losses = 0, num_stale = 0,
                num_from_host = 0;
  std::int32_t max_admissions = 0, max_overtakes = 0;
  std::uint64_t digest = 0;
};

void run(std::uint64_t seed, const Options& options, Totals& totals) {
  fmt::format_to_n(replay_line, sizeof(replay_line) - 1, "replay with: sim_test --seed {} --trace\n", seed);
  const bool replays = seed % 50 == 0;
  Simulation simulation(seed, {.print = options.trace, .record = replays});
  for (int i = 0; i < kStepsOfTrouble; ++i) simulation.step();
  simulation.finish();
  if (replays) simulation.check_replay();
  const SchedulerStats stats = simulation.stats();
  ++totals.num_seeds;
  totals.num_steps += simulation.num_steps();
  totals.num_finished += stats.num_finished;
  totals.num_preemptions += stats.num_preemptions;
  totals.num_losses += simulation.num_losses();
  totals.num_stale += simulation.num_stale();
  totals.num_from_host += simulation.num_from_host();
  totals.max_admissions = std::max(totals.max_admissions, simulation.max_admissions());
  totals.max_overtakes = std::max(totals.max_overtakes, simulation.max_overtakes());
  totals.digest = mix(totals.digest, simulation.digest());
}

// A simulation in which nothing happens proves nothing.
bool is_wild_enough(const Totals& totals) {
  return totals.num_finished > totals.num_seeds * 4 && totals.num_losses > totals.num_seeds &&
         totals.num_preemptions > totals.num_seeds / 4 && totals.num_stale > totals.num_seeds &&
         totals.num_from_host > totals.num_seeds / 20;
}

int run_all(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  Totals totals;
  for (std::uint64_t seed = options.first;; ++seed) {
    const bool enough = options.minutes > 0 ? seconds() > options.minutes * 60 : totals.num_seeds >= options.num_seeds;
    if (enough) break;
    run(seed, options, totals);
  }
  if (options.digest_only) {
    fmt::print("{:016x}\n", totals.digest);
    return 0;
  }
  fmt::print(
      "{} seeds, {} steps, {:.0f} s: {} sequences finished, {} preemptions, {} transfers from host memory, {} losses, "
      "{} stale results,\n"
      "at most {} admissions of a sequence beyond its losses, {} overtakes; trace {:016x}\n",
      totals.num_seeds, totals.num_steps, seconds(), totals.num_finished, totals.num_preemptions, totals.num_from_host,
      totals.num_losses, totals.num_stale, totals.max_admissions, totals.max_overtakes, totals.digest);
  if (totals.num_seeds < 1000 || is_wild_enough(totals)) return 0;
  fmt::print("the clusters are too calm to prove anything\n");
  return 1;
}

}  // namespace
}  // namespace caudal::sim

int main(int argc, char** argv) {
  caudal::sim::Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "0";
    if (flag == "--seeds") options.num_seeds = std::strtoull(value, nullptr, 10);
    if (flag == "--first") options.first = std::strtoull(value, nullptr, 10);
    if (flag == "--minutes") options.minutes = std::strtod(value, nullptr);
    if (flag == "--seed") options.first = std::strtoull(value, nullptr, 10), options.num_seeds = 1;
    if (flag == "--trace") options.trace = true;
    if (flag == "--digest") options.digest_only = true;
#ifdef CAUDAL_MUTANTS
    if (flag == "--mutant") caudal::active_mutant = value;
#endif
  }
  std::signal(SIGABRT, caudal::sim::print_replay);
  return caudal::sim::run_all(options);
}
