#include "worker/speculation/ngram_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace caudal {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr NgramOptions kPairs{.shortest = 2, .longest = 4};

std::vector<TokenId> look_up(std::vector<TokenId> tokens, std::int32_t max_tokens,
                             const NgramOptions& options = kPairs) {
  return look_up_ngram(tokens, max_tokens, options);
}

TEST(NgramLookup, SaysWhatFollowedLastTime) {
  EXPECT_THAT(look_up({1, 2, 3, 4, 5, 9, 1, 2}, 3), ElementsAre(3, 4, 5));
  EXPECT_THAT(look_up({1, 2, 3, 4, 5, 9, 1, 2}, 1), ElementsAre(3));
  EXPECT_THAT(look_up({1, 2, 3, 1, 2, 4, 1, 2}, 1), ElementsAre(4)) << "of equals the latest";
  EXPECT_THAT(look_up({7, 1, 2, 3, 8, 1, 2, 4, 7, 1, 2}, 1), ElementsAre(3)) << "the longest";
}

TEST(NgramLookup, NewEndsHaveNoGuess) {
  EXPECT_THAT(look_up({}, 4), IsEmpty());
  EXPECT_THAT(look_up({1}, 4), IsEmpty());
  EXPECT_THAT(look_up({1, 2, 3, 4}, 4), IsEmpty());
  EXPECT_THAT(look_up({1, 5, 2, 5}, 4), IsEmpty()) << "one token is not enough";
  EXPECT_THAT(look_up({1, 2, 3, 1, 2}, 0), IsEmpty());
}

TEST(NgramLookup, RepetitionsGoOnInThemselves) {
  EXPECT_THAT(look_up({4, 4, 4}, 5), ElementsAre(4, 4, 4, 4, 4));
  EXPECT_THAT(look_up({1, 2, 1, 2, 1}, 4), ElementsAre(2, 1, 2, 1));
}

TEST(NgramLookup, LooksNoFartherThanItsReach) {
  const NgramOptions near{.shortest = 2, .longest = 4, .reach = 6};
  EXPECT_THAT(look_up({1, 2, 3, 4, 5, 1, 2}, 1, near), IsEmpty());
  EXPECT_THAT(look_up({9, 1, 2, 3, 4, 1, 2}, 1, near), ElementsAre(3));
}

// Against the definition, on random tokens of a small alphabet.
TEST(NgramLookup, FindsTheLongestAndLatestRepetition) {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<TokenId> tokens(random() % 40);
    for (TokenId& token : tokens) token = static_cast<TokenId>(random() % 3);
    std::size_t next = 0;
    for (std::size_t length = 2; length <= 4; ++length) {
      for (std::size_t begin = 0; begin + length < tokens.size(); ++begin) {
        if (std::equal(tokens.end() - static_cast<std::ptrdiff_t>(length), tokens.end(),
                       tokens.begin() + static_cast<std::ptrdiff_t>(begin)))
          next = begin + length;
      }
    }
    const std::vector<TokenId> found = look_up(tokens, 1);
    ASSERT_EQ(found.empty(), next == 0);
    ASSERT_TRUE(found.empty() || found[0] == tokens[next]);
  }
}

// A long prompt made to be slow: every position matches almost to the end.
TEST(NgramLookup, TakesLinearTime) {
  std::vector<TokenId> tokens(1 << 20, 1);
  tokens[tokens.size() - 8] = 2;
  const auto begin = std::chrono::steady_clock::now();
  look_up_ngram(tokens, 8);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(50));
}

}  // namespace
}  // namespace caudal
