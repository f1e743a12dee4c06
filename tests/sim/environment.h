// Environment: what every part of the simulation shares: one random stream, the simulated clock with its
// queue of events, whether faults still happen, and the trace. Everything follows from the seed.
#pragma once

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "tests/sim/trace.h"

namespace caudal::sim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t word() { return engine_(); }
  // lowest .. highest, both included. Not std::uniform_int_distribution, which libraries are free to choose.
  std::int64_t draw(std::int64_t lowest, std::int64_t highest) {
    return lowest + static_cast<std::int64_t>(word() % static_cast<std::uint64_t>(highest - lowest + 1));
  }
  std::int32_t small(std::int32_t lowest, std::int32_t highest) {
    return static_cast<std::int32_t>(draw(lowest, highest));
  }
  bool chance(std::int32_t percent) { return per_mille(10 * percent); }
  bool per_mille(std::int32_t share) { return draw(1, 1000) <= share; }

 private:
  std::mt19937_64 engine_;
};

enum class EventKind : std::uint8_t {
  kTurn,      // the coordinator wakes up
  kToWorker,  // the next message of a link arrives, a = link
  kToCoordinator,
  kPeerGone,  // the coordinator notices that link a broke
  kStart,     // job a is launched
  kBeat,      // of job a, rank b, life c
  kStepDone,  // of job a, step b, life c
  kClient,    // client a does something
  kChaos,     // a fault
};

struct Event {
  EventKind kind;
  std::int32_t a = 0;
  std::int32_t b = 0;
  std::uint64_t c = 0;
};

struct Environment {
  explicit Environment(std::uint64_t seed, bool print) : random(seed), trace(print) {}

  Random random;
  Trace trace;
  Time now = 0;
  bool faults = true;
  std::int32_t loss_per_mille = 0;          // of messages
  std::set<std::pair<Epoch, StepId>> lies;  // answers that cannot be true

  // Events of the same microsecond come in random order.
  void at(Time when, Event event) {
    queue_.push_back({when, random.word(), event});
    std::push_heap(queue_.begin(), queue_.end(), later);
  }
  void after(Time delay, Event event) { at(now + delay, event); }

  Event next() {
    std::pop_heap(queue_.begin(), queue_.end(), later);
    const Entry entry = queue_.back();
    queue_.pop_back();
    now = std::max(now, entry.when);
    return entry.event;
  }

 private:
  struct Entry {
    Time when;
    std::uint64_t tie;
    Event event;
  };
  static bool later(const Entry& a, const Entry& b) { return a.when != b.when ? a.when > b.when : a.tie > b.tie; }

  std::vector<Entry> queue_;  // a heap, the earliest first
};

}  // namespace caudal::sim
