// What one rendering may use up: steps, bytes of intermediate values, bytes of output, wall time.
// Everything that loops or allocates charges here first, so a hostile template ends with an error
// soon after a limit and not when memory runs out. Owned by one Evaluator, one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace caudal::jinja {

struct Limits {
  std::int64_t max_steps = 1'000'000;
  std::size_t max_output_bytes = std::size_t{4} << 20;
  std::chrono::milliseconds max_time{100};
};

class Budget {
 public:
  explicit Budget(const Limits& limits);

  // One evaluated node, loop iteration or element visited.
  void step() {
    if (++steps_ >= next_check_) check();
  }

  // `bytes` read by one library call (search, compare, copy); a step per kBytesPerStep.
  void work(std::size_t bytes);

  // `bytes` about to be allocated for a new value.
  void allocate(std::size_t bytes);

  // A text being written has reached `bytes`.
  void output(std::size_t bytes) const;

 private:
  void check();

  Limits limits_;
  std::chrono::steady_clock::time_point deadline_;
  std::int64_t steps_ = 0;
  std::int64_t next_check_ = 0;
  std::size_t allocated_bytes_ = 0;
};

}  // namespace caudal::jinja
