// The distributions have the means and spreads that their names promise. Bounds are about four standard errors
// wide; the seed is fixed, so they hold always or never.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/bench/workload.h"

namespace caudal::bench {
namespace {

constexpr std::int32_t kCount = 20000;

struct Moments {
  double mean = 0.0;
  double variation = 0.0;  // standard deviation over mean
};

Moments moments(const std::vector<double>& values) {
  double sum = 0.0, squares = 0.0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const double count = static_cast<double>(values.size());
  const double mean = sum / count;
  return {mean, std::sqrt(squares / count - mean * mean) / mean};
}

WorkloadOptions options_of(const std::string& lengths) {
  WorkloadOptions options;
  options.lengths = lengths;
  options.num_requests = kCount;
  options.seed = 7;
  return options;
}

std::vector<RequestShape> requests_of(const WorkloadOptions& options) { return make_workload(options).value(); }

std::vector<double> outputs(const WorkloadOptions& options) {
  std::vector<double> lengths;
  for (const RequestShape& request : requests_of(options)) lengths.push_back(request.num_output_tokens);
  return lengths;
}

Moments gaps(double rate, double burstiness) {
  WorkloadOptions options = options_of("fixed");
  options.request_rate = rate;
  options.burstiness = burstiness;
  const std::vector<RequestShape> requests = requests_of(options);
  std::vector<double> gaps;
  for (std::size_t i = 1; i < requests.size(); ++i) gaps.push_back(requests[i].arrival_s - requests[i - 1].arrival_s);
  return moments(gaps);
}

TEST(Workload, ExponentialOutputsKeepTheirMeanUnderAFarCap) {
  WorkloadOptions options = options_of("exponential");
  options.mean_output_tokens = 100;
  options.max_output_tokens = 100000;
  const Moments found = moments(outputs(options));
  EXPECT_NEAR(found.mean, 100.5, 3.0);  // rounded up to whole tokens
  EXPECT_NEAR(found.variation, 1.0, 0.05);
}

TEST(Workload, ExponentialDrawsAgainAboveTheCap) {
  WorkloadOptions options = options_of("exponential");
  options.mean_output_tokens = 128;
  options.max_output_tokens = 256;
  const std::vector<double> lengths = outputs(options);
  EXPECT_LE(*std::ranges::max_element(lengths), 256.0);
  EXPECT_LT(std::ranges::count(lengths, 256.0), kCount / 200);  // clamping would pile up 13% there
  // Mean of an exponential cut off at two means: (1 - 3 e^-2) / (1 - e^-2) of the mean.
  EXPECT_NEAR(moments(lengths).mean, 128.0 * 0.687 + 0.5, 2.5);
}

// The caps at 1024 tokens cost a few per cent of the stated 161 and 338.
TEST(Workload, ShareGptHasTheStatedMeans) {
  double prompt = 0.0, output = 0.0;
  for (const RequestShape& request : requests_of(options_of("sharegpt"))) {
    prompt += request.num_prompt_tokens;
    output += request.num_output_tokens;
  }
  EXPECT_NEAR(prompt / kCount, 155.0, 8.0);
  EXPECT_NEAR(output / kCount, 315.0, 16.0);
}

TEST(Workload, UniformStaysInItsRange) {
  WorkloadOptions options = options_of("uniform");
  options.mean_output_tokens = 200;
  options.range = 0.25;
  const std::vector<double> lengths = outputs(options);
  EXPECT_EQ(*std::ranges::min_element(lengths), 150.0);
  EXPECT_EQ(*std::ranges::max_element(lengths), 250.0);
  EXPECT_NEAR(moments(lengths).mean, 200.0, 1.0);
}

TEST(Workload, PoissonGapsAndBurstiness) {
  const Moments poisson = gaps(5.0, 1.0);
  EXPECT_NEAR(poisson.mean, 0.2, 0.006);
  EXPECT_NEAR(poisson.variation, 1.0, 0.04);
  for (const double burstiness : {0.25, 4.0}) {  // gamma: the variation is 1/sqrt(shape), the rate stays
    const Moments found = gaps(5.0, burstiness);
    EXPECT_NEAR(found.mean, 0.2, 0.012) << burstiness;
    EXPECT_NEAR(found.variation, 1.0 / std::sqrt(burstiness), 0.08 / std::sqrt(burstiness)) << burstiness;
  }
}

TEST(Workload, WithoutARateEverythingArrivesAtOnce) {
  for (const RequestShape& request : requests_of(options_of("fixed"))) ASSERT_EQ(request.arrival_s, 0.0);
}

TEST(Workload, SameSeedSameRequests) {
  WorkloadOptions options = options_of("sharegpt");
  EXPECT_EQ(outputs(options), outputs(options));
  const std::vector<double> first = outputs(options);
  options.seed = 8;
  EXPECT_NE(first, outputs(options));
  EXPECT_FALSE(make_workload(options_of("zipf")));
}

TEST(Prompts, DifferFromEachOtherAndStayInTheVocabulary) {
  std::set<std::vector<std::int32_t>> prompts;
  for (std::size_t index = 0; index < 100; ++index) {
    const std::vector<std::int32_t> prompt = make_prompt(3, index, 16, 50);
    ASSERT_EQ(prompt.size(), 16U);
    EXPECT_TRUE(std::ranges::all_of(prompt, [](std::int32_t token) { return token >= 0 && token < 50; }));
    prompts.insert(prompt);
  }
  EXPECT_EQ(prompts.size(), 100U);
}

}  // namespace
}  // namespace caudal::bench
