// Models whose layers differ in KV heads, head size and window: the tokens of a float64 decoder that keeps K and V in
// plain arrays, and the same bits however the tokens are computed.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/factory/make_backend.h"
#include "tests/worker/mixed_family.h"
#include "tests/worker/model/families/reference_decoder.h"
#include "tests/worker/same_answers.h"
#include "worker/model/plan/model_plan.h"

namespace caudal {
namespace {

std::vector<TokenId> prompt_of(std::size_t length, TokenId seed) {
  std::vector<TokenId> tokens;
  for (TokenId i = 0; i < static_cast<TokenId>(length); ++i) tokens.push_back((i * i * 7 + seed * 13 + i) % 101);
  return tokens;
}

// Prompts of less than a block to several windows, with the probabilities of what follows.
std::vector<ToyRequest> requests() {
  std::vector<ToyRequest> requests;
  for (const std::size_t length : {5U, 16U, 37U, 70U, 90U}) {
    requests.push_back(greedy_request(prompt_of(length, static_cast<TokenId>(length)), 24));
    requests.back().params.sampling.num_logprobs = 3;
  }
  return requests;
}

class MixedFamily : public testing::TestWithParam<MixedModel> {
 protected:
  MixedFamily() { GetParam().write_config(dir_); }
  ModelConfig config() const { return load_model_spec(dir_.path(), mixed_families()).value().config; }

  TemporaryDir dir_;
};

// Greedy tokens are the most likely ones, and every logit is right: both from one pass of the reference.
TEST_P(MixedFamily, AgreesWithFloat64) {
  std::vector<TokenId> tokens = prompt_of(30, 3);
  TestReplica replica(dir_.path(), 1, mixed_options()), two_ranks(dir_.path(), 2, mixed_options());
  ASSERT_TRUE(replica.valid() && two_ranks.valid());
  const ToyRun run = generate(replica, {greedy_request(tokens, 20)});
  const std::vector<TokenId>& said = run.answers.front().tokens;
  ASSERT_EQ(said.size(), 20U);
  tokens.insert(tokens.end(), said.begin(), said.end());

  const std::unique_ptr<Checkpoint> weights = dummy_checkpoint({});
  const std::vector<ReferenceDecoder::Vector> expected = ReferenceDecoder(config(), *weights).logits(tokens);
  for (std::size_t i = 0; i < said.size(); ++i)
    EXPECT_EQ(said[i], std::ranges::max_element(expected[29 + i]) - expected[29 + i].begin()) << "token " << i;
  double largest = 0.0;
  for (const double logit : expected.back()) largest = std::max(largest, std::abs(logit));
  for (TestReplica* ranks : {&replica, &two_ranks}) {
    const std::vector<float> logits = ranks->prompt_logits(tokens, 8);
    for (std::size_t t = 0; t < tokens.size(); ++t)
      for (std::size_t i = 0; i < 101; ++i) ASSERT_NEAR(logits[t * 101 + i], expected[t][i], 1e-5 * largest) << t;
  }
}

TEST_P(MixedFamily, HasTheSameBitsHoweverItIsComputed) {
  std::vector<std::vector<TokenId>> tokens;
  for (const int ranks : {1, 2}) {
    TestReplica replica(dir_.path(), ranks, mixed_options());
    ASSERT_TRUE(replica.valid());
    const ToyRun together = generate(replica, requests());
    for (std::size_t i = 0; i < together.answers.size(); ++i) {
      if (ranks == 1) tokens.push_back(together.answers[i].tokens);
      EXPECT_EQ(together.answers[i].tokens, tokens[i]);
    }
    expect_same(generate(replica, requests(), {.max_running = 1}), together);
    expect_same(generate(replica, requests(), {.chunk = 7}), together);
    // So few blocks that they are taken from one sequence and given to another.
    const auto num_blocks = 9 * replica.info().num_kv_groups();
    const ToyRun squeezed = generate(replica, requests(), {.chunk = 24, .num_blocks = num_blocks});
    EXPECT_GT(squeezed.num_preemptions, 0);
    expect_same(squeezed, together);
  }
}

// With itself as the draft model every draft token is right but those past the end, if the draft model finds its K and
// V again under the block ids of the other.
TEST_P(MixedFamily, DraftsForItself) {
  RunnerOptions options = mixed_options();
  options.max_draft_tokens = 4;
  TestReplica plain(dir_.path(), 1, options);
  options.draft_model_dir = dir_.path();
  TestReplica drafting(dir_.path(), 1, options);
  ASSERT_TRUE(plain.valid() && drafting.valid());
  const ToyRun run = generate(drafting, requests(), {.num_draft_tokens = 4});
  expect_same(run, generate(plain, requests()));
  EXPECT_GT(run.num_accepted, run.num_drafted * 3 / 4);
}

// Where CPUs have matrix units, that is other code.
TEST_P(MixedFamily, RunsInBF16) {
  RunnerOptions options = mixed_options();
  options.dtype = DTypeChoice::kBF16;
  TestReplica replica(dir_.path(), 1, options);
  ASSERT_TRUE(replica.valid());
  const ToyRun together = generate(replica, requests());
  expect_same(generate(replica, requests(), {.chunk = 7, .max_running = 1}), together);
}

TEST_P(MixedFamily, HasARotaryTableForEachHeadSizeAndAPartOfEachLayer) {
  const std::unique_ptr<Backend> cpu = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
  const ModelChoice choice{dir_.path(), LoadFormat::kDummy, DTypeChoice::kF32, mixed_families()};
  for (const int size : {1, 2}) {
    const OpenedModel model =
        std::move(open_model(load_model_spec(dir_.path(), mixed_families()).value(), choice, 0, size, *cpu)).value();
    const ModelPlan plan = plan_model(model, {.max_tokens = 16, .max_rows = 8, .max_context = 64}, *cpu);
    std::size_t tables = 0;
    std::vector<std::int64_t> head_dims;
    for (const LayerConfig& layer : config().layers) {
      if (std::ranges::find(head_dims, layer.head_dim) != head_dims.end()) continue;
      head_dims.push_back(layer.head_dim);
      tables += 64 * static_cast<std::size_t>(layer.head_dim) * sizeof(float);
    }
    EXPECT_EQ(plan.workspace_bytes - plan.temporary_bytes, tables);
    for (std::size_t i = 0; i < plan.kv.layers.size(); ++i)
      EXPECT_EQ(plan.kv.layers[i].num_kv_heads * size, config().layers[i].num_kv_heads);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, MixedFamily, testing::ValuesIn(mixed_models()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(MixedFamilyConfig, NamesTheHeadsThatTheBlocksDoNotTake) {
  for (const auto& [layer, field] :
       {std::pair(LayerConfig{4, 3, 16, 0}, "num_key_value_heads"), std::pair(LayerConfig{4, 2, 24, 0}, "head_dim"),
        std::pair(LayerConfig{4, 2, 272, 0}, "head_dim")}) {
    const TemporaryDir dir;
    MixedModel{"", {{4, 2, 16, 0}, layer}}.write_config(dir);
    const Result<ModelSpec> spec = load_model_spec(dir.path(), mixed_families());
    ASSERT_FALSE(spec.ok());
    EXPECT_EQ(spec.error().field, field);
  }
}

// The layers' sizes and those of the rank's part decide which numbers of ranks there can be.
TEST(MixedFamilyConfig, IsRefusedWhereALayerCannotBeCut) {
  const TemporaryDir dir;
  MixedModel{"", {{4, 4, 16, 0}, {6, 2, 16, 0}}}.write_config(dir);
  const ModelConfig config = load_model_spec(dir.path(), mixed_families()).value().config;
  EXPECT_TRUE(make_partition(config, 0, 2).ok());
  EXPECT_THAT(make_partition(config, 0, 4).error().message, testing::HasSubstr("6 heads with 2 KV heads"));
}

}  // namespace
}  // namespace caudal
