// The device's sampler against the float64 definition and against the CPU backend: the same tokens from the same
// logits, parameters and counters, whatever the schedule.
#include "kernels/cuda/sampling/sampling.h"

#include <array>

#include "kernels/cpu/make_cpu.h"
#include "kernels/philox.h"
#include "tests/kernels/cuda/device.h"
#include "tests/kernels/cuda/emulation.h"
#include "tests/kernels/op_test.h"
#include "tests/kernels/reference_sampling.h"

namespace caudal {
namespace {

using test::DeviceArray;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Normal logits on a grid of 1/8, so that many are equal.
std::vector<float> random_logits(std::size_t vocab, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 2.0F);
  std::vector<float> logits(vocab);
  for (float& logit : logits) logit = std::round(normal(random) * 8.0F) / 8.0F;
  return logits;
}

SamplingParams filters(float temperature, std::int32_t top_k, float top_p, float min_p) {
  SamplingParams params;
  params.temperature = temperature;
  params.top_k = top_k;
  params.top_p = top_p;
  params.min_p = min_p;
  params.seed = 0x123456789ABCDEF;
  return params;
}

// Samples on the device as a backend does: pack, copy, launch, copy back, unpack. `logits` [rows][columns].
std::vector<SamplingOutput> sample(const std::vector<std::vector<float>>& logits, const std::vector<SamplingRow>& rows,
                                   std::int64_t vocab) {
  const std::size_t num_rows = rows.size(), columns = logits[0].size();
  std::vector<float> flat;
  for (const std::vector<float>& row : logits) flat.insert(flat.end(), row.begin(), row.end());
  const cuda::PackedSampling packed = cuda::pack_sampling(rows, vocab);
  const std::size_t width = static_cast<std::size_t>(packed.max_logprobs + 1);
  const DeviceArray<float> device_logits(flat), logprobs(num_rows * width, -7.0F);
  const DeviceArray<cuda::SampleRow> device_rows(packed.rows);
  const DeviceArray<cuda::LogitEdit> edits(packed.edits);
  const DeviceArray<std::uint32_t> allowed(packed.allowed);
  const std::vector<std::int32_t> untouched(num_rows * width, -7);
  const DeviceArray<std::int32_t> tokens(num_rows, -7);
  const DeviceArray<std::int32_t> logprob_tokens(packed.columns.empty() ? untouched : packed.columns);
  const auto n = static_cast<std::int64_t>(num_rows);
  cuda::SampleArgs args;
  args.logits = Tensor(device_logits.data(), DType::kF32, {n, static_cast<std::int64_t>(columns)});
  args.vocab_size = vocab;
  args.rows = device_rows.data();
  args.edits = edits.data();
  args.allowed = allowed.data();
  args.tokens = Tensor(tokens.data(), DType::kI32, {n});
  if (width > 0) {
    args.logprobs = Tensor(logprobs.data(), DType::kF32, {n, static_cast<std::int64_t>(width)});
    args.logprob_tokens = Tensor(logprob_tokens.data(), DType::kI32, {n, static_cast<std::int64_t>(width)});
  }
  cuda::sample(args, nullptr);
  std::vector<SamplingOutput> out(num_rows);
  const auto host_tokens = tokens.read(), host_logprob_tokens = logprob_tokens.read();
  const auto host_logprobs = logprobs.read();
  cuda::unpack_sampling({host_tokens.data(), host_logprob_tokens.data(), host_logprobs.data(), packed.max_logprobs},
                        packed.rows, out);
  const std::vector<float> after = device_logits.read();
  EXPECT_EQ(std::memcmp(after.data(), flat.data(), flat.size() * sizeof(float)), 0) << "logits were changed";
  return out;
}

std::vector<SamplingOutput> sample_on_cpu(const std::vector<std::vector<float>>& logits,
                                          const std::vector<SamplingRow>& rows, std::int64_t vocab) {
  BackendOptions options;
  options.num_threads = 1;
  const auto backend = make_cpu_backend(options);
  CHECK(backend.ok());
  std::vector<float> flat;
  for (const std::vector<float>& row : logits) flat.insert(flat.end(), row.begin(), row.end());
  std::vector<SamplingOutput> out(rows.size());
  backend.value()
      ->sample(Tensor(flat.data(), DType::kF32, {std::ssize(rows), std::ssize(logits[0])}), vocab, rows, {})
      ->wait(out);
  return out;
}

// One row per position from 50 on.
std::vector<TokenId> draws(const std::vector<float>& logits, SamplingRow row, int count) {
  std::vector<SamplingRow> rows(static_cast<std::size_t>(count), row);
  for (int i = 0; i < count; ++i) rows[static_cast<std::size_t>(i)].position = 50 + i;
  const std::vector<std::vector<float>> matrix(rows.size(), logits);
  std::vector<TokenId> tokens;
  for (const SamplingOutput& out : sample(matrix, rows, std::ssize(logits)))
    tokens.push_back(out.valid ? out.token : -1);
  return tokens;
}

// A draw is the inverse of the distribution function at the uniform number of (seed, position).
void expect_draws_from_the_distribution(const std::vector<float>& logits, const SamplingRow& row, int count) {
  const std::vector<double> p = reference::distribution({logits.begin(), logits.end()}, row);
  std::vector<double> cumulative(p.size() + 1, 0.0);
  for (std::size_t i = 0; i < p.size(); ++i) cumulative[i + 1] = cumulative[i] + p[i];
  const std::vector<TokenId> drawn = draws(logits, row, count);
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    ASSERT_GE(drawn[i], 0);
    const auto token = static_cast<std::size_t>(drawn[i]);
    const double uniform = philox_uniform(row.params->seed, 50 + static_cast<std::int64_t>(i));
    ASSERT_GT(p[token], 0.0) << "token " << token << " cannot be drawn";
    ASSERT_GE(uniform, cumulative[token] - 2e-6) << "token " << token;
    ASSERT_LE(uniform, cumulative[token + 1] + 2e-6) << "token " << token;
  }
}

class CudaSampleTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_device()) GTEST_SKIP() << "needs a GPU";
  }
  // ThreadSanitizer is slow, and needs no luck.
  static int few(int count) { return test::sanitizer() == test::Sanitizer::kNone ? count : 2; }
};

TEST_F(CudaSampleTest, DrawsFromTheDefinedDistribution) {
  const SamplingParams cases[] = {
      filters(1.0F, 0, 1.0F, 0.0F),  filters(0.7F, 0, 1.0F, 0.0F),  filters(1.5F, 10, 1.0F, 0.0F),
      filters(1.0F, 1, 1.0F, 0.0F),  filters(1.0F, 0, 0.8F, 0.0F),  filters(1.3F, 0, 0.999F, 0.0F),
      filters(1.0F, 0, 1e-6F, 0.0F), filters(1.0F, 0, 1.0F, 0.05F), filters(0.8F, 0, 1.0F, 1.0F),
      filters(1.2F, 40, 0.7F, 0.0F), filters(2.0F, 30, 0.9F, 0.1F), filters(1.0F, 1 << 20, 1.0F, 0.0F),
      filters(1.0F, 0, 0.9F, 0.2F),  filters(1e-4F, 0, 0.9F, 0.0F), filters(1e-44F, 0, 1.0F, 0.0F)};
  for (const std::size_t vocab : {1, 37, 1031}) {
    const std::vector<float> logits = random_logits(vocab, static_cast<unsigned>(vocab));
    for (const SamplingParams& params : cases) {
      SamplingRow row;
      row.params = &params;
      SCOPED_TRACE(testing::Message() << "vocab " << vocab << " T " << params.temperature << " k " << params.top_k
                                      << " p " << params.top_p << " min_p " << params.min_p);
      expect_draws_from_the_distribution(logits, row, few(12));
    }
  }
}

TEST_F(CudaSampleTest, DrawsFromALargeVocabulary) {
  if (test::sanitizer() == test::Sanitizer::kThread) GTEST_SKIP() << "blocks of 1024 threads take too long";
  const std::vector<float> logits = random_logits(32003, 5);
  for (const SamplingParams& params : {filters(1.0F, 0, 0.95F, 0.0F), filters(1.0F, 0, 1.0F, 0.0F),
                                       filters(1.0F, 5000, 1.0F, 0.0F), filters(0.6F, 20, 0.95F, 0.0F)}) {
    SamplingRow row;
    row.params = &params;
    expect_draws_from_the_distribution(logits, row, few(3));
  }
}

TEST_F(CudaSampleTest, AllLogitsEqual) {
  const std::vector<float> logits(700, -0.0F);
  for (const SamplingParams& params : {filters(1.0F, 5, 1.0F, 0.0F), filters(1.0F, 0, 0.5F, 0.0F)}) {
    SamplingRow row;
    row.params = &params;
    expect_draws_from_the_distribution(logits, row, few(12));
  }
}

TEST_F(CudaSampleTest, EditsAreAppliedInOrder) {
  const std::vector<float> logits = random_logits(200, 9);
  SamplingParams params = filters(1.0F, 50, 0.95F, 0.0F);
  params.repetition_penalty = 1.3F;
  params.presence_penalty = 0.7F;
  params.frequency_penalty = -0.4F;
  params.logit_bias = {{3, 4.0F}, {7, -2.0F}, {3, 1.5F}, {11, 9.0F}, {-1, 50.0F}, {200, 50.0F}};
  const std::array<TokenCount, 4> counts{{{3, 0}, {5, 2}, {7, 1}, {190, 5}}};
  const std::array<TokenId, 2> banned{11, 12};
  SamplingRow row;
  row.params = &params;
  row.counts = counts;
  row.banned = banned;
  SamplingParams known = params;  // the definition knows tokens of the vocabulary only
  known.logit_bias.resize(4);
  SamplingRow known_row = row;
  known_row.params = &known;
  EXPECT_EQ(draws(logits, row, few(40)), draws(logits, known_row, few(40)));
  expect_draws_from_the_distribution(logits, known_row, few(40));
}

// Rows of every kind in one batch: the same tokens and log-probabilities as the CPU backend, in every schedule.
TEST_F(CudaSampleTest, AMixedBatchIsTheCpuBackends) {
  std::vector<SamplingParams> params{filters(0.0F, 0, 1.0F, 0.0F), filters(1.0F, 0, 1.0F, 0.0F),
                                     filters(0.8F, 20, 0.9F, 0.05F), filters(1.2F, 0, 0.95F, 0.0F)};
  params[0].num_logprobs = 5;
  params[0].logit_bias = {{77, 100.0F}};
  params[2].num_logprobs = 0;
  params[3].num_logprobs = 20;
  std::vector<SamplingRow> rows(params.size());
  std::vector<std::vector<float>> logits;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].params = &params[i];
    rows[i].position = 1000 + static_cast<std::int64_t>(i);
    logits.push_back(random_logits(1031, static_cast<unsigned>(20 + i)));
  }
  const std::vector<SamplingOutput> expected = sample_on_cpu(logits, rows, 1024);
  test::for_each_schedule([&] {
    const std::vector<SamplingOutput> actual = sample(logits, rows, 1024);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(actual[i].token, expected[i].token) << i;
      EXPECT_EQ(actual[i].valid, expected[i].valid) << i;
      ASSERT_EQ(actual[i].logprobs.size(), expected[i].logprobs.size()) << i;
      for (std::size_t j = 0; j < expected[i].logprobs.size(); ++j) {
        EXPECT_EQ(actual[i].logprobs[j].token, expected[i].logprobs[j].token) << i << " " << j;
        EXPECT_NEAR(actual[i].logprobs[j].logprob, expected[i].logprobs[j].logprob, 1e-5F) << i << " " << j;
      }
    }
  });
}

// Every third token but one; the most likely ones are not among them. Log-probabilities are of the whole row.
TEST_F(CudaSampleTest, OnlyAllowedTokensAreSampled) {
  std::vector<std::uint64_t> bits(17, 0);
  for (std::size_t token = 0; token < 1031; token += 3) bits[token / 64] |= std::uint64_t{1} << (token % 64);
  std::vector<float> logits = random_logits(1031, 31);
  for (std::size_t token = 1; token < 1031; token += 100) logits[token - token % 3 + 1] += 20.0F;
  std::vector<SamplingParams> params{filters(1.0F, 0, 1.0F, 0.0F), filters(0.8F, 20, 0.9F, 0.01F),
                                     filters(0.0F, 0, 1.0F, 0.0F)};
  std::vector<SamplingRow> rows(3);
  for (std::size_t i = 0; i < 3; ++i) {
    params[i].logit_bias = {{1, 100.0F}, {3, 2.0F}};
    params[i].num_logprobs = 4;
    rows[i] = {.params = &params[i], .position = 7, .counts = {}, .banned = {}, .allowed = bits};
    if (i < 2) expect_draws_from_the_distribution(logits, rows[i], few(20));
  }
  rows.push_back({.params = &params[0], .position = 8, .counts = {}, .banned = {}, .allowed = {}});
  const std::vector<SamplingOutput> expected = sample_on_cpu({4, logits}, rows, 1031);
  test::for_each_schedule([&] {
    const std::vector<SamplingOutput> actual = sample({4, logits}, rows, 1031);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(i == 3 || actual[i].token % 3 == 0) << i;
      EXPECT_EQ(actual[i].token, expected[i].token) << i;
      ASSERT_EQ(actual[i].logprobs.size(), 5U) << i;
      for (std::size_t j = 0; j < 5; ++j) {
        EXPECT_EQ(actual[i].logprobs[j].token, expected[i].logprobs[j].token) << i << " " << j;
        EXPECT_NEAR(actual[i].logprobs[j].logprob, expected[i].logprobs[j].logprob, 1e-5F) << i << " " << j;
      }
    }
  });
  std::ranges::fill(bits, 0);
  EXPECT_FALSE(sample({logits}, {rows[0]}, 1031)[0].valid) << "nothing is allowed";
}

TEST_F(CudaSampleTest, GreedyTakesTheLowestOfEqualMaxima) {
  const SamplingParams params = filters(0.0F, 0, 1.0F, 0.0F);
  SamplingRow row;
  row.params = &params;
  for (const std::size_t vocab : {1, 3, 1025}) {
    std::vector<std::vector<float>> logits;
    std::vector<TokenId> expected;
    for (const std::size_t where : {std::size_t{0}, vocab / 3, vocab - 1}) {
      logits.emplace_back(vocab, -3.0F);
      logits.back()[where] = logits.back()[vocab - 1] = -1.0F;
      expected.push_back(static_cast<TokenId>(where));
    }
    const std::vector<SamplingOutput> out = sample(logits, {row, row, row}, static_cast<std::int64_t>(vocab));
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i].token, expected[i]) << vocab;
  }
}

TEST_F(CudaSampleTest, BrokenRowsAreInvalid) {
  const SamplingParams params = filters(1.0F, 5, 0.9F, 0.0F);
  const std::array<TokenId, 1> banned{30};
  SamplingRow row, banning;
  row.params = banning.params = &params;
  banning.banned = banned;
  std::vector<std::vector<float>> logits(5, random_logits(40, 13));
  logits[0][5] = std::nanf("");
  logits[1][30] = kInfinity;         // banned, and still broken
  logits[2].assign(40, -kInfinity);  // nothing to draw
  logits[3][39] = std::nanf("");     // padding: not read
  const std::vector<SamplingOutput> out = sample(logits, {row, banning, row, row, row}, 39);
  for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i].valid, i >= 3) << i;
}

TEST_F(CudaSampleTest, BansCanLeaveNothingOrOneToken) {
  const SamplingParams params = filters(1.0F, 5, 0.9F, 0.1F), greedy = filters(0.0F, 0, 1.0F, 0.0F);
  const std::vector<TokenId> most{0, 1, 2, 4}, all{0, 1, 2, 3, 4};
  std::vector<SamplingRow> rows(3);
  rows[0].params = rows[2].params = &params;
  rows[1].params = &greedy;
  rows[0].banned = rows[1].banned = most;
  rows[2].banned = all;
  const std::vector<SamplingOutput> out = sample({3, {9, 8, 7, -20, 3}}, rows, 5);
  EXPECT_EQ(out[0].token, 3);
  EXPECT_EQ(out[1].token, 3);
  EXPECT_FALSE(out[2].valid);
}

TEST_F(CudaSampleTest, TokensThatRowsNameAreToldAsOnTheCpu) {
  const std::array<TokenId, 3> named{0, 699, 7};
  const std::array<std::int32_t, 4> counts{0, 5, -1, 61};
  std::vector<SamplingParams> params(counts.size(), filters(1.0F, 0, 0.9F, 0.0F));
  std::vector<SamplingRow> rows(counts.size());
  for (std::size_t i = 0; i < counts.size(); ++i) {
    params[i].num_logprobs = counts[i];
    rows[i].params = &params[i];
    rows[i].position = static_cast<std::int64_t>(i);
    rows[i].logprob_tokens = std::span(named).first(i == 1 ? 0 : 3);
  }
  const std::vector<std::vector<float>> logits(rows.size(), random_logits(700, 14));
  const std::vector<SamplingOutput> mine = sample(logits, rows, 700), cpu = sample_on_cpu(logits, rows, 700);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(mine[i].logprobs.size(), cpu[i].logprobs.size()) << i;
    for (std::size_t j = 0; j < mine[i].logprobs.size(); ++j) {
      EXPECT_EQ(mine[i].logprobs[j].token, cpu[i].logprobs[j].token) << i << ' ' << j;
      EXPECT_NEAR(mine[i].logprobs[j].logprob, cpu[i].logprobs[j].logprob, 1e-5F) << i << ' ' << j;
    }
  }
}

TEST_F(CudaSampleTest, FewerTokensThanLogprobsAskedFor) {
  SamplingParams params = filters(0.0F, 0, 1.0F, 0.0F);
  params.num_logprobs = 20;
  SamplingRow row;
  row.params = &params;
  const std::vector<SamplingOutput> out = sample({{1, 3, -kInfinity, 2}}, {row}, 4);
  ASSERT_EQ(out[0].logprobs.size(), 4U);
  EXPECT_EQ(out[0].logprobs[1].token, 1);
  EXPECT_EQ(out[0].logprobs[3].token, 0);
}

}  // namespace
}  // namespace caudal
