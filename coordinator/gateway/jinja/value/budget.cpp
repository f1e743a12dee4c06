#include "coordinator/gateway/jinja/value/budget.h"

#include <algorithm>

#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {
namespace {

// Reading the clock costs some 25 ns, a step about 50 ns: 256 steps hide it and are well below 1 ms.
constexpr std::int64_t kStepsPerClockRead = 256;
// A library call handles 256 bytes in about the time of one step.
constexpr std::size_t kBytesPerStep = 256;
// Sum over the whole rendering, freed or not: far above what building a long prompt by repeated
// concatenation needs, far below what would hurt the process.
constexpr std::size_t kMaxAllocatedBytes = std::size_t{128} << 20;

}  // namespace

Budget::Budget(const Limits& limits) : limits_(limits), deadline_(std::chrono::steady_clock::now() + limits.max_time) {
  next_check_ = std::min(kStepsPerClockRead, limits.max_steps);
}

void Budget::check() {
  if (steps_ > limits_.max_steps) fail("the chat template needs too many steps");
  if (std::chrono::steady_clock::now() > deadline_) fail("the chat template takes too long");
  next_check_ = std::min(steps_ + kStepsPerClockRead, limits_.max_steps + 1);
}

void Budget::work(std::size_t bytes) {
  steps_ += static_cast<std::int64_t>(bytes / kBytesPerStep);
  step();
}

void Budget::allocate(std::size_t bytes) {
  if (bytes > kMaxAllocatedBytes - allocated_bytes_) fail("the chat template needs too much memory");
  allocated_bytes_ += bytes;
  work(bytes);
}

void Budget::output(std::size_t bytes) const {
  if (bytes > limits_.max_output_bytes) fail("the chat template writes too much text");
}

}  // namespace caudal::jinja
