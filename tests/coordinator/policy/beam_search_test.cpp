// BeamSearch against a plain reference that scores the whole vocabulary, over random models; and its rules by example.
#include "coordinator/policy/beam_search.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/sim/reference_beams.h"

namespace caudal {
namespace {

constexpr std::int32_t kVocab = 24;

struct Search {
  BeamParams params;
  std::vector<TokenId> stops;
  std::int32_t max_tokens = 8;
};

// Of a random model: the first tokens it forgets, so that beams that differ meet the same choices.
std::vector<float> logprobs_behind(std::uint64_t seed, const std::vector<TokenId>& tokens) {
  std::uint64_t state = seed;
  for (std::size_t i = tokens.size() > 3 ? tokens.size() - 3 : 0; i < tokens.size(); ++i) {
    state = state * 6364136223846793005ULL + static_cast<std::uint64_t>(tokens[i]) + 1442695040888963407ULL;
  }
  std::mt19937_64 random(state);
  std::vector<float> logprobs;
  for (std::int32_t token = 0; token < kVocab; ++token)
    logprobs.push_back(-static_cast<float>(random() >> 44) / 131072.0F);
  return logprobs;
}

// As a worker tells them: the most likely, as many as have to be asked for.
std::vector<TokenLogprob> candidates_of(const std::vector<float>& logprobs, std::size_t count) {
  std::vector<TokenLogprob> all;
  for (std::size_t token = 0; token < logprobs.size(); ++token)
    all.push_back({static_cast<TokenId>(token), logprobs[token]});
  std::ranges::stable_sort(all, std::greater(), &TokenLogprob::logprob);
  all.resize(std::min(all.size(), count));
  return all;
}

// Drives a search as the scheduler does: each place keeps its own tokens, by parents alone.
std::vector<Hypothesis> search(const Search& setup, std::uint64_t seed) {
  BeamSearch search(setup.params, setup.stops, -1);
  const auto width = static_cast<std::size_t>(setup.params.width);
  std::vector<std::vector<TokenId>> places(width);
  for (;;) {
    std::vector<std::vector<TokenLogprob>> candidates(width);
    for (std::size_t place = 0; place < width; ++place) {
      if (!search.is_live(place)) continue;
      EXPECT_EQ(search.beams()[place].tokens, places[place]);
      candidates[place] = candidates_of(logprobs_behind(seed, places[place]), width + setup.stops.size());
    }
    const std::vector<std::int32_t> parents = search.advance(candidates, setup.max_tokens);
    if (parents[0] == BeamSearch::kNone) return search.take_best(setup.params.width);
    std::vector<std::vector<TokenId>> next(width);
    for (std::size_t place = 0; place < width; ++place) {
      const std::int32_t parent = parents[place];
      if (parent == BeamSearch::kNone) continue;
      next[place] = places[static_cast<std::size_t>(parent)];
      next[place].push_back(search.beams()[place].tokens.back());
      const bool goes_on = std::ranges::find(parents, static_cast<std::int32_t>(place)) != parents.end();
      if (!goes_on || place == 0) continue;
      EXPECT_EQ(parent, static_cast<std::int32_t>(place)) << "a beam that goes on keeps its place";
    }
    places = std::move(next);
  }
}

TEST(BeamSearch, FindsWhatAPlainSearchFinds) {
  std::mt19937_64 random(5);
  int num_stopped = 0, num_full = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Search setup;
    setup.params.width = 1 + static_cast<std::int32_t>(random() % 6);
    setup.params.length_penalty = -1.0 + 0.5 * static_cast<double>(random() % 7);
    setup.params.early_stopping = static_cast<EarlyStopping>(random() % 3);
    setup.max_tokens = 1 + static_cast<std::int32_t>(random() % 14);
    for (auto left = random() % 4; left > 0; --left) setup.stops.push_back(static_cast<TokenId>(random() % kVocab));
    const std::vector<Hypothesis> found = search(setup, seed);
    const auto expected = sim::reference_beams(setup.params, setup.stops, setup.max_tokens,
                                               [&](const auto& tokens) { return logprobs_behind(seed, tokens); });
    ASSERT_EQ(found.size(), expected.size()) << "seed " << seed;
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].beam.tokens, expected[i].tokens) << "seed " << seed << ", hypothesis " << i;
      EXPECT_EQ(found[i].score, expected[i].score);
      EXPECT_EQ(found[i].finish_reason, expected[i].finish_reason);
      (found[i].finish_reason == FinishReason::kStop ? num_stopped : num_full) += 1;
    }
  }
  EXPECT_GT(num_stopped, 2000);
  EXPECT_GT(num_full, 2000);
}

using Candidates = std::vector<std::vector<TokenLogprob>>;

TEST(BeamSearch, GoesOnWithTheBestOfAllBeams) {
  BeamSearch search({.width = 2}, {}, -1);
  EXPECT_EQ(search.advance(Candidates{{{7, -0.1F}, {8, -1.0F}, {9, -2.0F}}, {}}, 9), (std::vector<std::int32_t>{0, 0}));
  EXPECT_EQ(search.beams()[1].tokens, (std::vector<TokenId>{8}));
  // Both continuations of the first beat those of the second, whose place is taken.
  const Candidates next{{{1, -0.2F}, {2, -0.3F}}, {{3, -0.4F}, {4, -0.5F}}};
  EXPECT_EQ(search.advance(next, 9), (std::vector<std::int32_t>{0, 0}));
  EXPECT_EQ(search.beams()[0].tokens, (std::vector<TokenId>{7, 1}));
  EXPECT_EQ(search.beams()[1].tokens, (std::vector<TokenId>{7, 2}));
}

TEST(BeamSearch, AStopCountsOnlyAmongTheBest) {
  BeamSearch search({.width = 2, .early_stopping = EarlyStopping::kYes}, {5}, -1);
  // The stop is third: two better ones go on instead.
  search.advance(Candidates{{{1, -0.1F}, {2, -0.2F}, {5, -0.3F}}, {}}, 3);
  search.advance(Candidates{{{1, -0.1F}, {2, -0.2F}}, {{5, -0.05F}, {3, -3.0F}}}, 3);
  const auto parents = search.advance(Candidates{{{1, -0.1F}, {3, -9.0F}}, {{5, -0.1F}, {3, -8.0F}}}, 3);
  EXPECT_EQ(parents.front(), BeamSearch::kNone) << "as long as anything may get";
  const std::vector<Hypothesis> best = search.take_best(2);
  ASSERT_EQ(best.size(), 2U);
  EXPECT_EQ(best[0].beam.tokens, (std::vector<TokenId>{1, 1, 1}));
  EXPECT_EQ(best[0].finish_reason, FinishReason::kLength);
  EXPECT_EQ(best[1].beam.tokens.back(), 5);
}

TEST(BeamSearch, ThePenaltyDecidesBetweenShortAndLong) {
  for (const double penalty : {0.0, 2.0}) {
    BeamSearch search({.width = 2, .length_penalty = penalty, .early_stopping = EarlyStopping::kNever}, {5}, -1);
    search.advance(Candidates{{{5, -1.0F}, {1, -1.1F}, {2, -9.0F}}, {}}, 3);
    search.advance(Candidates{{{1, -0.1F}, {2, -9.0F}}, {{2, -9.0F}, {1, -9.5F}}}, 3);
    if (search.is_live(0)) search.advance(Candidates{{{1, -0.1F}, {2, -9.0F}}, {{2, -9.0F}, {1, -9.5F}}}, 3);
    EXPECT_EQ(search.take_best(1).at(0).beam.tokens.size(), penalty == 0.0 ? 1U : 3U);
  }
}

TEST(BeamSearch, TellsLogprobsOfTheTokensAndOfTheMostLikely) {
  BeamSearch search({.width = 2}, {}, 1);
  search.advance(Candidates{{{7, -0.1F}, {8, -1.0F}, {9, -2.0F}}, {}}, 1);
  const std::vector<Hypothesis> best = search.take_best(2);
  const std::vector<std::vector<TokenLogprob>>& told = best.at(1).beam.logprobs;
  ASSERT_EQ(told.size(), 1U);
  ASSERT_EQ(told[0].size(), 2U);
  EXPECT_EQ(told[0][0].token, 8);
  EXPECT_EQ(told[0][1].token, 7);
}

// Fewer continuations than beams: what is left stands in the first place.
TEST(BeamSearch, PlaceZeroIsNeverEmpty) {
  BeamSearch search({.width = 3}, {}, -1);
  search.advance(Candidates{{{7, -0.1F}, {8, -1.0F}, {9, -2.0F}}, {}, {}}, 9);
  const std::vector<std::int32_t> parents = search.advance(Candidates{{}, {{1, -0.1F}}, {{2, -0.1F}}}, 9);
  EXPECT_EQ(parents[0], 2);
  EXPECT_EQ(parents[1], 1);
  EXPECT_FALSE(search.is_live(2));
}

}  // namespace
}  // namespace caudal
