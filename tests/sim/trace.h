// Trace: everything that happened, as one number that must be the same for every compiler and optimisation
// level, and as readable lines when a seed is replayed.
#pragma once

#include <fmt/core.h>

#include <initializer_list>

#include "tests/sim/toy_model.h"

namespace caudal::sim {

class Trace {
 public:
  explicit Trace(bool print) : print_(print) {}

  // `values` are integers: they are the digest, and what `format` prints.
  template <typename... Values>
  void line(Time now, const char* name, fmt::format_string<const Values&...> format, const Values&... values) {
    for (const auto value : {static_cast<std::uint64_t>(now), static_cast<std::uint64_t>(values)...}) {
      digest_ = mix(digest_, value);
    }
    if (!print_) return;
    fmt::print("{:10.3f} ms  {:<12} ", static_cast<double>(now) * 1e-3, name);
    fmt::print(format, values...);
    fmt::print("\n");
    std::fflush(stdout);
  }
  void add(std::uint64_t value) { digest_ = mix(digest_, value); }

  std::uint64_t digest() const { return digest_; }

 private:
  bool print_;
  std::uint64_t digest_ = 0;
};

}  // namespace caudal::sim
