// Sets of small numbers as bits of 64-bit words.
#pragma once

#include <cstddef>
#include <cstdint>

namespace caudal::grammar {

inline bool has_bit(const std::uint64_t* set, std::size_t i) { return (set[i / 64] >> (i % 64) & 1) != 0; }

// True if it was not there.
inline bool add_bit(std::uint64_t* set, std::size_t i) {
  const bool is_new = !has_bit(set, i);
  set[i / 64] |= std::uint64_t{1} << (i % 64);
  return is_new;
}

}  // namespace caudal::grammar
