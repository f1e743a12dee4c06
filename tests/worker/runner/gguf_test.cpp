// A model answers alike whatever file it comes from: every family as GGUF beside its safetensors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary_dir.h"
#include "tests/worker/gguf_model.h"
#include "tests/worker/runner/golden_cases.h"

namespace caudal {
namespace {

std::vector<std::string> names() {
  std::vector<std::string> names = fixture_names();
  std::erase(names, "llama_dynamic");  // GGUF cannot say it
  return names;
}

class GgufModel : public testing::TestWithParam<std::string> {
 protected:
  GgufModel() { dir_.write("model.gguf", gguf_of(fixture_.model_dir).image()); }

  RunnerOptions options(DTypeChoice dtype = DTypeChoice::kAuto) const { return golden_options(fixture_, dtype); }

  // Frequencies that llama.cpp keeps as rounded factors differ in the last bits.
  bool has_rounded_factors() const { return fixture_.name == "llama3_1" || fixture_.name == "llama3_2"; }

  const Fixture fixture_ = load_fixture(GetParam());
  const TemporaryDir dir_;
};

// In the dtype of the file, with one rank and two.
TEST_P(GgufModel, GivesTheSameBitsAsSafetensors) {
  for (const int ranks : {1, 2}) {
    TestReplica gguf(dir_.path(), ranks, options()), safetensors(fixture_.model_dir, ranks, options());
    ASSERT_TRUE(gguf.valid() && safetensors.valid());
    EXPECT_EQ(gguf.info().max_context_tokens, safetensors.info().max_context_tokens);
    EXPECT_NE(gguf.info().model_digest, safetensors.info().model_digest);
    const std::vector<TokenId>& prompt = fixture_.cases.back().prompt;
    if (!has_rounded_factors()) {
      EXPECT_EQ(gguf.prompt_logits(prompt, 32), safetensors.prompt_logits(prompt, 32));
    }
  }
}

TEST_P(GgufModel, AnswersAsTransformers) {
  TestReplica replica(dir_.path() / "model.gguf", 1, options(DTypeChoice::kF32));
  ASSERT_TRUE(replica.valid());
  expect_prompt_logits(fixture_, replica, 1e-4F);
  expect_answers(fixture_, generate(replica, golden_requests(fixture_)), &FixtureCase::greedy_f32);
}

// Rounded at load is the same as stored so. (Two ranks would cut these models through their blocks.)
TEST_P(GgufModel, GivesTheSameBitsAsADirectoryRoundedAtLoad) {
  for (const StoredFormat format : {StoredFormat::kQ8_0, StoredFormat::kQ4_0}) {
    const TemporaryDir dir;
    dir.write("model.gguf", gguf_of(fixture_.model_dir, format).image());
    RunnerOptions rounding = options();
    rounding.quantize = format;
    TestReplica gguf(dir.path(), 1, options()), safetensors(fixture_.model_dir, 1, rounding);
    ASSERT_TRUE(gguf.valid() && safetensors.valid());
    const std::vector<TokenId>& prompt = fixture_.cases.back().prompt;
    if (!has_rounded_factors()) {
      EXPECT_EQ(gguf.prompt_logits(prompt, 32), safetensors.prompt_logits(prompt, 32));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GgufModel, testing::ValuesIn(names()), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace caudal
