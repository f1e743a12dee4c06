// The sampler against a float64 definition that sorts: which tokens can be drawn, how often, and that a draw
// depends on (seed, position) alone.
#include <array>

#include "kernels/philox.h"
#include "tests/kernels/op_test.h"
#include "tests/kernels/reference_sampling.h"

namespace caudal {
namespace {

class SampleTest : public testing::TestWithParam<const char*> {
 protected:
  // Draws one token per position first .. first + count - 1 from the same logits.
  std::vector<TokenId> draws(const std::vector<float>& logits, SamplingRow row, std::int64_t first, int count) {
    const auto vocab = static_cast<std::int64_t>(logits.size());
    OwnedMatrix matrix(DType::kF32, count, vocab, 3);
    std::vector<SamplingRow> rows(static_cast<std::size_t>(count), row);
    for (int i = 0; i < count; ++i) {
      std::memcpy(matrix.tensor().rows(i, 1).data(), logits.data(), logits.size() * sizeof(float));
      rows[static_cast<std::size_t>(i)].position = first + i;
    }
    std::vector<SamplingOutput> out(rows.size());
    backend_->sample(matrix.tensor(), vocab, rows, {})->wait(out);
    std::vector<TokenId> tokens;
    for (const SamplingOutput& output : out) tokens.push_back(output.valid ? output.token : -1);
    return tokens;
  }

  SamplingOutput sample_one(std::vector<float> logits, const SamplingRow& row, std::int64_t vocab = 0) {
    const auto columns = static_cast<std::int64_t>(logits.size());
    SamplingOutput out;
    TestVector<float> copy(logits.begin(), logits.end());
    backend_->sample(Tensor(copy.data(), DType::kF32, {1, columns}), vocab == 0 ? columns : vocab, {&row, 1}, {})
        ->wait({&out, 1});
    EXPECT_EQ(std::memcmp(logits.data(), copy.data(), logits.size() * sizeof(float)), 0) << "logits were changed";
    return out;
  }

  std::unique_ptr<Backend> backend_ = make_test_backend(GetParam(), 2);
};
INSTANTIATE_TEST_SUITE_P(Isa, SampleTest, kTargetsOfRows, [](const auto& info) { return std::string(info.param); });

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Normal logits on a grid of 1/8, so that many are equal.
std::vector<float> random_logits(std::size_t vocab, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 2.0F);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = std::round(normal(random) * 8.0F) / 8.0F;
  return logits;
}

std::vector<double> widen(const std::vector<float>& logits) { return {logits.begin(), logits.end()}; }

SamplingParams filters(float temperature, std::int32_t top_k, float top_p, float min_p) {
  SamplingParams params;
  params.temperature = temperature;
  params.top_k = top_k;
  params.top_p = top_p;
  params.min_p = min_p;
  params.seed = 0x123456789ABCDEF;
  return params;
}

const std::vector<SamplingParams>& filter_cases() {
  static const std::vector<SamplingParams> cases{
      filters(1.0F, 0, 1.0F, 0.0F),  filters(0.7F, 0, 1.0F, 0.0F),  filters(1.5F, 10, 1.0F, 0.0F),
      filters(1.0F, 1, 1.0F, 0.0F),  filters(1.0F, 0, 0.8F, 0.0F),  filters(1.3F, 0, 0.999F, 0.0F),
      filters(1.0F, 0, 1e-6F, 0.0F), filters(1.0F, 0, 1.0F, 0.05F), filters(0.8F, 0, 1.0F, 1.0F),
      filters(1.2F, 40, 0.7F, 0.0F), filters(2.0F, 30, 0.9F, 0.1F), filters(1.0F, 1 << 20, 1.0F, 0.0F),
      filters(1.0F, 0, 0.9F, 0.2F),  filters(1e-4F, 0, 0.9F, 0.0F), filters(1e-44F, 0, 1.0F, 0.0F)};
  return cases;
}

// A draw is the inverse of the distribution function at the uniform number of (seed, position), so each can
// be checked exactly, but for numbers that fall on a step.
void expect_inverse(const std::vector<double>& probabilities, const SamplingParams& params,
                    const std::vector<TokenId>& drawn, std::int64_t first) {
  std::vector<double> cumulative(probabilities.size() + 1, 0.0);
  for (std::size_t i = 0; i < probabilities.size(); ++i) cumulative[i + 1] = cumulative[i] + probabilities[i];
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    ASSERT_GE(drawn[i], 0);
    const auto token = static_cast<std::size_t>(drawn[i]);
    const double uniform = philox_uniform(params.seed, first + static_cast<std::int64_t>(i));
    ASSERT_GT(probabilities[token], 0.0) << "token " << token << " cannot be drawn";
    ASSERT_GE(uniform, cumulative[token] - 2e-6) << "token " << token;
    ASSERT_LE(uniform, cumulative[token + 1] + 2e-6) << "token " << token;
  }
}

TEST_P(SampleTest, DrawsFromTheDefinedDistribution) {
  for (const std::size_t vocab : {1, 2, 37, 1024, 5003}) {
    const std::vector<float> logits = random_logits(vocab, static_cast<unsigned>(vocab));
    for (const SamplingParams& params : filter_cases()) {
      SamplingRow row;
      row.params = &params;
      SCOPED_TRACE(testing::Message() << "vocab " << vocab << " T " << params.temperature << " k " << params.top_k
                                      << " p " << params.top_p << " min_p " << params.min_p);
      expect_inverse(reference::distribution(widen(logits), row), params, draws(logits, row, 50, 60), 50);
    }
  }
}

TEST_P(SampleTest, DrawsFromALargeVocabulary) {
  const std::vector<float> logits = random_logits(151936, 5);
  for (const SamplingParams& params : {filters(1.0F, 0, 0.95F, 0.0F), filters(1.0F, 0, 1.0F, 0.0F),
                                       filters(1.0F, 50000, 1.0F, 0.0F), filters(0.6F, 20, 0.95F, 0.0F)}) {
    SamplingRow row;
    row.params = &params;
    expect_inverse(reference::distribution(widen(logits), row), params, draws(logits, row, 0, 4), 0);
  }
}

TEST_P(SampleTest, EditsAreAppliedInOrder) {
  const std::vector<float> logits = random_logits(200, 9);
  SamplingParams params = filters(1.0F, 50, 0.95F, 0.0F);
  params.repetition_penalty = 1.3F;
  params.presence_penalty = 0.7F;
  params.frequency_penalty = -0.4F;
  params.logit_bias = {{3, 4.0F}, {7, -2.0F}, {3, 1.5F}, {11, 9.0F}};
  const std::array<TokenCount, 4> counts{{{3, 0}, {5, 2}, {7, 1}, {190, 5}}};
  const std::array<TokenId, 2> banned{11, 12};
  SamplingRow row;
  row.params = &params;
  row.counts = counts;
  row.banned = banned;
  const std::vector<double> probabilities = reference::distribution(widen(logits), row);
  EXPECT_EQ(probabilities[11], 0.0);
  expect_inverse(probabilities, params, draws(logits, row, 0, 300), 0);
}

TEST_P(SampleTest, OnlyAllowedTokensAreSampled) {
  for (const std::size_t vocab : {std::size_t{5}, std::size_t{64}, std::size_t{1031}, std::size_t{151936}}) {
    std::vector<float> logits = random_logits(vocab, 19);
    for (std::size_t token = 1; token < vocab; token += 3) logits[token] += 12.0F;
    std::vector<std::uint64_t> bits((vocab + 63) / 64, 0);
    for (std::size_t token = 0; token < vocab; token += 3) bits[token / 64] |= std::uint64_t{1} << (token % 64);
    for (const SamplingParams& params : {filters(1.0F, 0, 1.0F, 0.0F), filters(0.8F, 20, 0.9F, 0.01F)}) {
      SamplingRow row;
      row.params = &params;
      row.allowed = bits;
      expect_inverse(reference::distribution(widen(logits), row), params, draws(logits, row, 0, 4), 0);
    }
    SamplingParams greedy = filters(0.0F, 0, 1.0F, 0.0F);
    greedy.num_logprobs = 0;
    SamplingRow row;
    row.params = &greedy;
    const SamplingOutput free = sample_one(logits, row);
    row.allowed = bits;
    const SamplingOutput held = sample_one(logits, row);
    EXPECT_EQ(free.token % 3, 1);
    EXPECT_EQ(held.token % 3, 0);
    EXPECT_LT(held.logprobs[0].logprob, -5.0F) << "not of the whole row";
    logits[4] = std::nanf("");
    EXPECT_FALSE(sample_one(logits, row).valid) << "not allowed, and still broken";
    std::ranges::fill(bits, 0);
    EXPECT_FALSE(sample_one(random_logits(vocab, 19), row).valid) << "nothing is allowed";
  }
}

// Pearson's test over 10^5 draws: the sum has mean `cells - 1` and variance twice that.
TEST_P(SampleTest, FrequenciesPassAChiSquaredTest) {
  const std::vector<float> logits = random_logits(40, 11);
  for (const SamplingParams& params : {filters(1.0F, 0, 1.0F, 0.0F), filters(1.5F, 12, 1.0F, 0.0F),
                                       filters(1.0F, 0, 0.9F, 0.0F), filters(1.0F, 0, 1.0F, 0.02F)}) {
    SamplingRow row;
    row.params = &params;
    const std::vector<double> probabilities = reference::distribution(widen(logits), row);
    constexpr int kDraws = 100000;
    std::vector<int> seen(logits.size(), 0);
    for (const TokenId token : draws(logits, row, 0, kDraws)) ++seen[static_cast<std::size_t>(token)];
    double chi_squared = 0, rare_expected = 0, rare_seen = 0;
    int cells = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const double expected = probabilities[i] * kDraws;
      if (expected < 10) {
        rare_expected += expected;
        rare_seen += seen[i];
        continue;
      }
      chi_squared += (seen[i] - expected) * (seen[i] - expected) / expected;
      ++cells;
    }
    EXPECT_NEAR(rare_seen, rare_expected, 5 * std::sqrt(rare_expected));
    ASSERT_GT(cells, 3);
    EXPECT_LT(chi_squared, cells - 1 + 5 * std::sqrt(2.0 * (cells - 1)));
  }
}

TEST_P(SampleTest, ADrawDependsOnSeedAndPositionOnly) {
  const std::vector<float> logits = random_logits(3000, 12);
  SamplingParams params = filters(1.0F, 0, 0.98F, 0.0F);
  SamplingRow row;
  row.params = &params;
  const std::vector<TokenId> together = draws(logits, row, 0, 64);
  for (int i = 0; i < 64; ++i) EXPECT_EQ(draws(logits, row, i, 1)[0], together[static_cast<std::size_t>(i)]);
  backend_ = make_test_backend(GetParam(), 1);
  EXPECT_EQ(draws(logits, row, 0, 64), together);
  params.seed += 1;
  EXPECT_NE(draws(logits, row, 0, 64), together);
}

TEST_P(SampleTest, GreedyTakesTheLowestOfEqualMaxima) {
  SamplingParams params;
  params.temperature = 0.0F;
  SamplingRow row;
  row.params = &params;
  for (const std::size_t vocab : {1, 3, 17, 1000, 1025, 5000}) {
    for (const std::size_t where : {std::size_t{0}, vocab / 3, vocab / 2, vocab - 1}) {
      std::vector<float> logits(vocab, -3.0F);
      logits[where] = -1.0F;
      logits[std::max(where, vocab - 1)] = -1.0F;
      EXPECT_EQ(sample_one(logits, row).token, static_cast<TokenId>(where)) << vocab;
    }
  }
}

TEST_P(SampleTest, BrokenRowsAreInvalid) {
  for (const float temperature : {0.0F, 1.0F}) {
    const SamplingParams params = filters(temperature, 0, 0.9F, 0.0F);
    const std::array<TokenId, 1> banned{700};
    SamplingRow row;
    row.params = &params;
    row.banned = banned;
    for (const float poison : {std::nanf(""), kInfinity}) {
      for (const std::size_t where : {0, 5, 700, 1023, 1030}) {
        std::vector<float> logits = random_logits(1031, 13);
        logits[where] = poison;
        EXPECT_FALSE(sample_one(logits, row).valid) << where;
      }
      std::vector<float> logits = random_logits(40, 14);
      logits[39] = poison;
      EXPECT_TRUE(sample_one(logits, row, 39).valid) << "padding was read";
    }
    EXPECT_FALSE(sample_one(std::vector<float>(40, -kInfinity), row).valid);
  }
}

TEST_P(SampleTest, BansCanLeaveNothingOrOneToken) {
  SamplingParams params = filters(1.0F, 5, 0.9F, 0.1F);
  std::vector<TokenId> banned{0, 1, 2, 4};
  SamplingRow row;
  row.params = &params;
  row.banned = banned;
  const std::vector<float> logits{9, 8, 7, -20, 3};
  EXPECT_EQ(sample_one(logits, row).token, 3);
  params.temperature = 0.0F;
  EXPECT_EQ(sample_one(logits, row).token, 3);
  banned.push_back(3);
  row.banned = banned;
  EXPECT_FALSE(sample_one(logits, row).valid);
}

TEST_P(SampleTest, TokensOutsideTheVocabularyAreIgnored) {
  SamplingParams params;
  params.temperature = 0.0F;
  params.logit_bias = {{-1, 50.0F}, {3, 50.0F}, {1 << 30, 50.0F}};
  SamplingRow row;
  row.params = &params;
  EXPECT_EQ(sample_one({1, 5, 2, 0}, row, 3).token, 1);
}

TEST_P(SampleTest, LogprobsAreOfTheUnmodifiedDistribution) {
  const std::vector<float> logits = random_logits(3001, 15);
  SamplingParams params = filters(0.0F, 0, 1.0F, 0.0F);
  params.num_logprobs = 5;
  params.logit_bias = {{77, 100.0F}};
  SamplingRow row;
  row.params = &params;
  const SamplingOutput out = sample_one(logits, row);
  EXPECT_EQ(out.token, 77);
  ASSERT_EQ(out.logprobs.size(), 6U);
  EXPECT_EQ(out.logprobs[0].token, 77);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  for (std::size_t i = 0; i < 6; ++i) {
    const TokenLogprob& got = out.logprobs[i];
    if (i > 0) {
      EXPECT_EQ(got.token, order[i - 1]);
    }
    const auto logit = static_cast<double>(logits[static_cast<std::size_t>(got.token)]);
    EXPECT_NEAR(static_cast<double>(got.logprob), logit - std::log(sum), 1e-5);
  }
  params.num_logprobs = 0;
  EXPECT_EQ(sample_one(logits, row).logprobs.size(), 1U);
  params.num_logprobs = -1;
  EXPECT_TRUE(sample_one(logits, row).logprobs.empty());
}

// Against float64, whichever way a backend takes for so many.
TEST_P(SampleTest, NamedTokensAndAnyNumberOfTheMostLikelyAreTold) {
  const std::vector<float> logits = random_logits(3001, 16);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  const std::array<TokenId, 4> named{0, 3000, 77, 77};
  SamplingParams params = filters(1.0F, 0, 1.0F, 0.0F);
  SamplingRow row;
  row.params = &params;
  row.position = 5;
  const TokenId plain = sample_one(logits, row).token;
  row.logprob_tokens = named;
  for (const std::int32_t count : {0, 3, 60, 61, 200, 3001, 5000}) {
    params.num_logprobs = count;
    const SamplingOutput out = sample_one(logits, row);
    EXPECT_EQ(out.token, plain);
    std::vector<TokenId> expected{plain};
    expected.insert(expected.end(), order.begin(), order.begin() + std::min(count, 3001));
    expected.insert(expected.end(), named.begin(), named.end());
    ASSERT_EQ(out.logprobs.size(), expected.size()) << count;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(out.logprobs[i].token, expected[i]) << count << ' ' << i;
      const double exact = static_cast<double>(logits[expected[i]]) - std::log(sum);
      EXPECT_NEAR(static_cast<double>(out.logprobs[i].logprob), exact, 1e-5) << count << ' ' << i;
    }
  }
  params.num_logprobs = -1;
  EXPECT_TRUE(sample_one(logits, row).logprobs.empty());
}

TEST_P(SampleTest, AnEmptyBatchIsFine) {
  backend_->sample(Tensor(nullptr, DType::kF32, {0, 10}), 10, {}, {})->wait({});
}

TEST(SampleDeathTest, RefusesAVocabularyWiderThanTheRow) {
  const std::unique_ptr<Backend> backend = make_test_backend("", 1);
  const OwnedMatrix logits(DType::kF32, 0, 10);
  EXPECT_DEATH(backend->sample(logits.tensor(), 11, {}, {}), "vocab_size");
}

}  // namespace
}  // namespace caudal
