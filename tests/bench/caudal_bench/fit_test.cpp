// What caudal-bench makes of the server's context: defaults give way, what the user asked for does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/bench/caudal_bench/caudal_bench_fit.h"

namespace caudal::bench {
namespace {

using ::testing::HasSubstr;

WorkloadOptions defaults(std::string lengths = "fixed") {
  WorkloadOptions options;
  options.lengths = std::move(lengths);
  options.mean_prompt_tokens = 1024;
  options.num_requests = 200;
  return options;
}

// All requests of the workload fit, and the longest is what the options promise.
void expect_fits(const WorkloadOptions& options, std::int32_t context) {
  const RequestShape longest = longest_request(options);
  EXPECT_LE(longest.num_prompt_tokens + longest.num_output_tokens, context);
  const std::vector<RequestShape> requests = make_workload(options).value();
  for (const RequestShape& request : requests) {
    ASSERT_GE(std::min(request.num_prompt_tokens, request.num_output_tokens), 1);
    ASSERT_LE(request.num_prompt_tokens, longest.num_prompt_tokens);
    ASSERT_LE(request.num_output_tokens, longest.num_output_tokens);
  }
}

TEST(Fit, LeavesWhatFits) {
  for (const std::int32_t context : {0, 1152, 4096}) {  // 0: the server does not say
    WorkloadOptions options = defaults();
    EXPECT_EQ(fit_to_context({}, context, options).value(), "");
    EXPECT_EQ(options.mean_prompt_tokens, 1024);
    EXPECT_EQ(options.mean_output_tokens, 128);
  }
}

TEST(Fit, CutsDefaultsAndSaysSo) {
  WorkloadOptions options = defaults();
  const std::string said = fit_to_context({}, 1024, options).value();
  EXPECT_EQ(options.mean_prompt_tokens, 896);
  EXPECT_EQ(options.mean_output_tokens, 128);
  EXPECT_THAT(said,
              HasSubstr("context of 1024 tokens: up to 896 prompt and 128 output tokens instead of 1024 and 128"));
}

TEST(Fit, WhateverTheLengths) {
  for (const char* lengths : {"fixed", "uniform", "exponential"}) {
    for (const std::int32_t context : {8, 64, 1000, 1024, 1151}) {
      WorkloadOptions options = defaults(lengths);
      options.range = 0.7;
      ASSERT_TRUE(fit_to_context({}, context, options)) << lengths << context;
      expect_fits(options, context);
    }
  }
  WorkloadOptions options = defaults("sharegpt");
  ASSERT_TRUE(fit_to_context({}, 1100, options));
  EXPECT_EQ(options.max_output_tokens, 76);
  expect_fits(options, 1100);
}

TEST(Fit, KeepsWhatWasAsked) {
  WorkloadOptions long_prompts = defaults();
  long_prompts.mean_prompt_tokens = 1000;
  ASSERT_TRUE(fit_to_context({.prompt = true}, 1024, long_prompts));
  EXPECT_EQ(long_prompts.mean_prompt_tokens, 1000);
  EXPECT_EQ(long_prompts.mean_output_tokens, 24);
  WorkloadOptions long_outputs = defaults();
  long_outputs.mean_output_tokens = 1000;
  ASSERT_TRUE(fit_to_context({.output = true}, 1024, long_outputs));
  EXPECT_EQ(long_outputs.mean_prompt_tokens, 24);
  EXPECT_EQ(long_outputs.mean_output_tokens, 1000);
}

TEST(Fit, RefusesWhatCannotFit) {
  const auto refusal = [](AskedLengths asked, std::int32_t context, WorkloadOptions options) {
    const Result<std::string> fitted = fit_to_context(asked, context, options);
    return fitted ? "" : fitted.error().message;
  };
  EXPECT_THAT(refusal({.prompt = true}, 1024, defaults()), HasSubstr("up to 1024 prompt and 128 output tokens"));
  EXPECT_THAT(refusal({.prompt = true, .output = true}, 1151, defaults()), HasSubstr("--random-output-len"));
  EXPECT_THAT(refusal({}, 1024, defaults("sharegpt")), HasSubstr("--max-output-len"));
  EXPECT_THAT(refusal({}, 1, defaults()), HasSubstr("context of 1 tokens"));
}

TEST(FindModel, NeedsOne) {
  const std::string two = R"({"data":[{"id":"m","max_model_len":512},{"id":"n"}]})";
  EXPECT_EQ(find_model(two, "").value().name, "m");
  EXPECT_EQ(find_model(two, "m").value().max_context_tokens, 512);
  EXPECT_EQ(find_model(two, "n").value().max_context_tokens, 0);
  EXPECT_THAT(find_model(two, "o").error().message, HasSubstr("no o; it has m, n"));
  for (const char* bad : {"", "[]", R"({"data":[]})", R"({"data":[{"id":3}]})"})
    EXPECT_FALSE(find_model(bad, "")) << bad;
}

}  // namespace
}  // namespace caudal::bench
