// Random requests against a map of bytes: pieces never overlap, and all of it comes back as one.
#include "kernels/cuda/backend/arena.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace caudal::cuda {
namespace {

TEST(Arena, PiecesDoNotOverlapAndComeBack) {
  constexpr std::size_t kUnits = 64, kBytes = kUnits * Arena::kAlignment;
  Arena arena(kBytes + 100);  // the odd end is of no use
  std::mt19937 random(1);
  std::vector<int> owner(kUnits, 0);
  struct Piece {
    std::size_t offset, units;
  };
  std::vector<Piece> pieces;
  for (int round = 1; round < 5000; ++round) {
    if (random() % 2 == 0 || pieces.empty()) {
      const std::size_t bytes = random() % (8 * Arena::kAlignment);
      const std::optional<std::size_t> offset = arena.take(bytes);
      if (!offset) continue;
      const std::size_t units = std::max<std::size_t>(1, Arena::rounded(bytes) / Arena::kAlignment);
      for (std::size_t u = 0; u < units; ++u)
        ASSERT_EQ(std::exchange(owner.at(*offset / Arena::kAlignment + u), round), 0);
      pieces.push_back({*offset, units});
    } else {
      const std::size_t which = random() % pieces.size();
      const Piece piece = pieces[which];
      pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(which));
      arena.give(piece.offset);
      for (std::size_t u = 0; u < piece.units; ++u) owner[piece.offset / Arena::kAlignment + u] = 0;
    }
    ASSERT_EQ(arena.free_bytes() / Arena::kAlignment,
              static_cast<std::size_t>(std::count(owner.begin(), owner.end(), 0)));
  }
  for (const Piece& piece : pieces) arena.give(piece.offset);
  EXPECT_EQ(arena.take(kBytes), 0U);
  EXPECT_FALSE(arena.take(0).has_value());
}

TEST(ArenaDeathTest, WhatIsNotTakenCannotBeFreed) {
  Arena arena(1 << 20);
  EXPECT_DEATH(arena.give(256), "not taken");
}

}  // namespace
}  // namespace caudal::cuda
