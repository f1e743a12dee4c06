// The whole worker on the build's CUDA device, emulated or real: the answers of every fixture, tensor parallelism
// through the host. Few tokens under emulation, where every CUDA thread is a fiber.
#include "tests/sanitized.h"
#include "tests/worker/runner/golden_cases.h"

namespace caudal {
namespace {

const bool kEmulated = std::string(CAUDAL_TEST_DEVICE) == "simt";
const std::int32_t kTokens = kEmulated ? 8 : 64;

// Where every access is watched, a family with a window and one with a head size of 80.
std::vector<std::string> families() {
  return test::kSanitized ? std::vector<std::string>{"llama_linear", "qwen2"} : fixture_names();
}

class Device : public testing::TestWithParam<std::string> {};

TEST_P(Device, PromptLogitsInF32) {
  const Fixture fixture = load_fixture(GetParam());
  for (int ranks : {1, 2}) {
    TestReplica replica(fixture.model_dir, ranks, golden_options(fixture, DTypeChoice::kF32), CAUDAL_TEST_DEVICE);
    ASSERT_TRUE(replica.valid());
    expect_prompt_logits(fixture, replica, 1e-4F);
  }
}

TEST_P(Device, GreedyTokensInF32) {
  const Fixture fixture = load_fixture(GetParam());
  TestReplica replica(fixture.model_dir, 1, golden_options(fixture, DTypeChoice::kF32), CAUDAL_TEST_DEVICE);
  ASSERT_TRUE(replica.valid());
  expect_answers(fixture, generate(replica, golden_requests(fixture, kTokens), {.chunk = 64}),
                 &FixtureCase::greedy_f32);
}

// The tensor-core kernels.
TEST_P(Device, GreedyTokensInBF16) {
  const Fixture fixture = load_fixture(GetParam());
  TestReplica replica(fixture.model_dir, 1, golden_options(fixture, DTypeChoice::kBF16), CAUDAL_TEST_DEVICE);
  ASSERT_TRUE(replica.valid());
  expect_answers(fixture, generate(replica, golden_requests(fixture, kTokens), {.chunk = 64}),
                 &FixtureCase::greedy_bf16);
}

// What the model would say is banned piece by piece: a token, a pair and three in a row of its answer. Greedily and
// drawn, the device says what the CPU says.
TEST(DeviceSampling, BadWordsNeverComeOut) {
  Fixture fixture = load_fixture("qwen2");
  fixture.cases.resize(2);
  const auto make = [&](const char* device) {
    return TestReplica(fixture.model_dir, 1, golden_options(fixture, DTypeChoice::kF32), device);
  };
  TestReplica device = make(CAUDAL_TEST_DEVICE), cpu = make("cpu");
  ASSERT_TRUE(device.valid() && cpu.valid());
  std::vector<ToyRequest> requests = golden_requests(fixture, 8);
  for (ToyRequest drawn : golden_requests(fixture, 8)) {
    drawn.params.sampling.temperature = 0.8F;
    drawn.params.sampling.seed = 11;
    requests.push_back(drawn);
  }
  const ToyRun free = generate(device, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::vector<TokenId>& said = free.answers[i].tokens;
    requests[i].params.sampling.bad_words = {{said[7]}, {said[4], said[5]}, {said[1], said[2], said[3]}};
  }
  const ToyRun banned = generate(device, requests), expected = generate(cpu, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::vector<TokenId>& said = banned.answers[i].tokens;
    EXPECT_EQ(said, expected.answers[i].tokens) << "request " << i;
    EXPECT_NE(said, free.answers[i].tokens) << "request " << i;
    for (const std::vector<TokenId>& word : requests[i].params.sampling.bad_words) {
      EXPECT_TRUE(std::ranges::search(said, word).empty()) << "request " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Device, testing::ValuesIn(families()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace caudal
