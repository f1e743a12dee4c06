// When thinking has to end, and with which token.
#include "worker/sampling/thinking.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

using Tokens = std::vector<TokenId>;
constexpr TokenId kNone = -1;

TokenId next(const ThinkingParams& thinking, const Tokens& output) {
  return end_of_thinking(thinking, output).value_or(kNone);
}

TEST(Thinking, EndsWhenTheBudgetIsUsed) {
  const ThinkingParams opened{.budget = 2, .begin = {}, .end = {8, 9}};
  EXPECT_EQ(next(opened, {}), kNone);
  EXPECT_EQ(next(opened, {1}), kNone);
  EXPECT_EQ(next(opened, {1, 2}), 8);
  EXPECT_EQ(next(opened, {1, 2, 8}), 9);
  EXPECT_EQ(next(opened, {1, 2, 8, 9}), kNone);
  EXPECT_EQ(next(opened, {1, 2, 8, 9, 1, 1}), kNone);
  EXPECT_EQ(next({.budget = 0, .begin = {}, .end = {8}}, {}), 8);
}

TEST(Thinking, CountsFromItsBeginning) {
  const ThinkingParams thinking{.budget = 1, .begin = {5, 6}, .end = {9}};
  EXPECT_EQ(next(thinking, {1, 2, 3}), kNone) << "it does not think";
  EXPECT_EQ(next(thinking, {1, 5, 6}), kNone);
  EXPECT_EQ(next(thinking, {1, 5, 6, 1}), 9);
  EXPECT_EQ(next(thinking, {5, 6, 9, 1, 1}), kNone) << "it ended by itself";
}

// The model has written the beginning of the end when the budget is used up.
TEST(Thinking, GoesOnWithAnEndThatHasBegun) {
  const ThinkingParams thinking{.budget = 3, .begin = {}, .end = {8, 8, 9}};
  EXPECT_EQ(next(thinking, {1, 2, 8}), 8);
  EXPECT_EQ(next(thinking, {1, 8, 8}), 9);
  EXPECT_EQ(next(thinking, {8, 8, 8}), 9);
  EXPECT_EQ(next(thinking, {8, 8, 1}), 8);
}

// Output and drafts count as one, and what is long past is not looked at.
TEST(Thinking, CountsDraftsAndForgets) {
  const ThinkingParams thinking{.budget = 2, .begin = {5}, .end = {8, 9}};
  const Tokens output{1, 5, 3}, drafts{4, 8};
  EXPECT_EQ(end_of_thinking(thinking, output, std::span(drafts).first(1)).value_or(kNone), 8);
  EXPECT_EQ(end_of_thinking(thinking, output, drafts).value_or(kNone), 9);
  Tokens late(30, 1);
  late.insert(late.end(), {5, 1, 1, 1});
  EXPECT_EQ(next(thinking, late), kNone) << "too late to be thinking";
}

TEST(Thinking, WithoutABudgetNothingIsForced) {
  EXPECT_EQ(next({.budget = -1, .begin = {}, .end = {9}}, {1, 2, 3}), kNone);
}

}  // namespace
}  // namespace caudal
