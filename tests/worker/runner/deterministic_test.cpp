// --deterministic on the build's CUDA device: what a request gets has the same bits alone and in company, in chunks and
// whole, with guesses and without. Under emulation products of different shapes are told to add in different orders, as
// a GPU's library does, and without the option answers differ.
#include "tests/sanitized.h"
#include "tests/worker/runner/golden_cases.h"
#include "tests/worker/same_answers.h"

namespace caudal {
namespace {

const bool kEmulated = std::string(CAUDAL_TEST_DEVICE) == "simt";

std::vector<ToyRequest> requests_of(const Fixture& fixture) {
  std::vector<ToyRequest> requests = golden_requests(fixture, kEmulated ? 6 : 48);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].params.sampling.num_logprobs = 2;
    requests[i].params.sampling.seed = i;
    if (i % 2 == 1) requests[i].params.sampling.temperature = 0.9F;
  }
  return requests;
}

using Model = std::tuple<std::string, DTypeChoice, int>;  // name, dtype, ranks
std::vector<Model> models() {
  if (test::kSanitized) return {{"mistral", DTypeChoice::kBF16, 1}};
  return {{"qwen2", DTypeChoice::kBF16, 1}, {"mistral", DTypeChoice::kBF16, 2}, {"qwen2", DTypeChoice::kF32, 1}};
}

class Deterministic : public testing::TestWithParam<Model> {
 protected:
  std::unique_ptr<TestReplica> replica(bool deterministic) const {
    const auto& [name, dtype, ranks] = GetParam();
    RunnerOptions options = golden_options(fixture_, dtype);
    options.max_num_sequences = 8;
    options.max_tokens_per_step = 256;
    options.max_draft_tokens = 3;
    return std::make_unique<TestReplica>(fixture_.model_dir, ranks, options, CAUDAL_TEST_DEVICE, JoinRanks(),
                                         deterministic);
  }

  void SetUp() override {
    if (kEmulated) fixture_.cases.resize(5);  // prompts of 1 to 100 tokens; the window is 32
  }

  Fixture fixture_ = load_fixture(std::get<0>(GetParam()));
};

TEST_P(Deterministic, AnswersDoNotDependOnTheBatch) {
  const std::unique_ptr<TestReplica> all = replica(true);
  ASSERT_TRUE(all->valid());
  const std::vector<ToyRequest> requests = requests_of(fixture_);
  const ToyRun together = generate(*all, requests);
  expect_same(generate(*all, requests, {.max_running = 1}), together);
  expect_same(generate(*all, requests, {.chunk = 7}), together);
  std::vector<ToyRequest> guessing = requests;
  for (ToyRequest& request : guessing) request.params.speculative = SpeculativeMode::kNgram;
  expect_same(generate(*all, guessing, {.num_draft_tokens = 3}), together);
}

bool equal(const ToyRun& some, const ToyRun& others) {
  for (std::size_t i = 0; i < some.answers.size(); ++i) {
    const auto &a = some.answers[i].logprobs, &b = others.answers[i].logprobs;
    for (std::size_t t = 0; t < std::min(a.size(), b.size()); ++t)
      for (std::size_t n = 0; n < a[t].size(); ++n)
        if (a[t][n].logprob != b[t][n].logprob) return false;
  }
  return true;
}

TEST_P(Deterministic, WithoutTheOptionTheyDo) {
  if (!kEmulated) GTEST_SKIP() << "a GPU may happen to give the same";
  if (test::kSanitized) GTEST_SKIP() << "long, and it has no more to say";
  const std::unique_ptr<TestReplica> all = replica(false);
  ASSERT_TRUE(all->valid());
  const std::vector<ToyRequest> requests = requests_of(fixture_);
  EXPECT_FALSE(equal(generate(*all, requests, {.chunk = 7}), generate(*all, requests)));
}

INSTANTIATE_TEST_SUITE_P(Models, Deterministic, testing::ValuesIn(models()));

}  // namespace
}  // namespace caudal
