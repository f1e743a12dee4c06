#include "coordinator/gateway/generation/random_id.h"

#include <fmt/core.h>

#include <random>

namespace caudal {

std::string random_id() {
  static thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seeds{device(), device(), device(), device()};
    return std::mt19937_64(seeds);
  }();
  return fmt::format("{:016x}{:016x}", generator(), generator());
}

}  // namespace caudal
