// Philox against the known answers of its authors' Random123 library, and the mapping to [0, 1).
#include "kernels/philox.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

TEST(Philox, MatchesKnownAnswers) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32_10({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, UniformUsesAllBitsOfSeedAndPosition) {
  const double base = philox_uniform(7, 100);
  EXPECT_EQ(philox_uniform(7, 100), base);
  EXPECT_NE(philox_uniform(7, 101), base);
  EXPECT_NE(philox_uniform(7 + (std::uint64_t{1} << 40), 100), base);
  EXPECT_NE(philox_uniform(7, 100 + (std::int64_t{1} << 40)), base);
}

TEST(Philox, UniformIsUniform) {
  constexpr int kDraws = 100000;
  double sum = 0, sum_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = philox_uniform(3, i);
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    sum_squares += u * u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);  // 5 standard errors
  EXPECT_NEAR(sum_squares / kDraws, 1.0 / 3, 0.005);
}

}  // namespace
}  // namespace caudal
