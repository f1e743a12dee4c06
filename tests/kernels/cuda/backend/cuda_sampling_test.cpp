// Samples come back while the host goes on: several may be on their way, each keeps its own, and a step makes no new
// pinned memory. On the stand-in, whose streams run only when someone waits.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/cuda/emulation/fake/device.h"
#include "kernels/factory/make_backend.h"

namespace caudal {
namespace {

class CudaSamplingTest : public testing::Test {
 protected:
  static constexpr std::int64_t kRows = 3, kVocab = 40;

  void SetUp() override {
    fake::reset({});
    backend_ = std::move(make_backend({.device = "simt", .max_isa = ""})).value();
    memory_ = std::move(backend_->allocate(kRows * kVocab * sizeof(float))).value();
    sampled_memory_ = std::move(backend_->allocate(kRows * sizeof(TokenId))).value();
    logits_ = memory_.tensor(DType::kF32, {kRows, kVocab});
    sampled_ = sampled_memory_.tensor(DType::kI32, {kRows});
    params_.temperature = 0.0F;
  }
  // Row i is largest at favourite + i.
  std::unique_ptr<PendingSamples> sample(std::size_t favourite) {
    std::vector<float> host(kRows * kVocab, 0.0F);
    for (std::size_t i = 0; i < kRows; ++i) host[i * kVocab + favourite + i] = 5.0F;
    backend_->copy_to_device(host.data(), logits_);
    const std::vector<SamplingRow> rows(kRows, {.params = &params_, .position = 1, .counts = {}, .banned = {}});
    return backend_->sample(logits_, kVocab, rows, sampled_);
  }
  static std::vector<TokenId> tokens_of(PendingSamples& samples) {
    std::vector<SamplingOutput> out(kRows);
    samples.wait(out);
    std::vector<TokenId> tokens;
    for (const SamplingOutput& output : out) {
      tokens.push_back(output.token);
      EXPECT_TRUE(output.valid);
    }
    return tokens;
  }

  std::unique_ptr<Backend> backend_;
  Buffer memory_, sampled_memory_;
  Tensor logits_, sampled_;
  SamplingParams params_;
};

TEST_F(CudaSamplingTest, QueuedSamplesKeepTheirOwnResults) {
  const auto first = sample(3), second = sample(20);
  const auto fetched = backend_->fetch_samples(sampled_);
  EXPECT_EQ(fake::counters().waits, 0);
  EXPECT_EQ(tokens_of(*second), (std::vector<TokenId>{20, 21, 22}));
  EXPECT_EQ(tokens_of(*first), (std::vector<TokenId>{3, 4, 5}));
  EXPECT_EQ(tokens_of(*fetched), (std::vector<TokenId>{20, 21, 22}));
}

TEST_F(CudaSamplingTest, LogProbabilitiesComeWithTheTokens) {
  params_.num_logprobs = 1;
  const auto samples = sample(9);
  params_.num_logprobs = -1;  // what was asked for is remembered
  std::vector<SamplingOutput> out(kRows);
  samples->wait(out);
  for (const SamplingOutput& output : out) {
    ASSERT_EQ(output.logprobs.size(), 2U);
    EXPECT_EQ(output.logprobs[0].token, output.token);
    EXPECT_EQ(output.logprobs[1].token, output.token);  // it is the most likely too
  }
}

TEST_F(CudaSamplingTest, SampledTokensAreInsertedOnTheDevice) {
  const auto samples = sample(7);
  const std::vector<TokenId> ids = {-1, 30, -3, -2};
  const Buffer memory = std::move(backend_->allocate(ids.size() * sizeof(TokenId))).value();
  const Tensor token_ids = memory.tensor(DType::kI32, {4});
  backend_->copy_to_device(ids.data(), token_ids);
  backend_->insert_sampled(sampled_, token_ids);
  std::vector<TokenId> inserted(4);
  backend_->copy_to_host(token_ids, inserted.data());
  backend_->synchronize();
  EXPECT_EQ(inserted, (std::vector<TokenId>{7, 30, 9, 8}));
}

TEST_F(CudaSamplingTest, AFailedDeviceEndsTheWait) {
  const auto samples = sample(3);
  fake::settings().fail_call = "kernel";
  fake::settings().fail_with = cudaErrorIllegalAddress;
  std::vector<SamplingOutput> out(kRows);
  samples->wait(out);
  EXPECT_FALSE(backend_->health().ok());
  sample(3)->wait(out);
}

// The stream's copies read the source late, so pieces must not lie in memory that is written anew.
TEST_F(CudaSamplingTest, LargeAndStridedCopiesMayLoseTheirSourceAtOnce) {
  constexpr std::int64_t kCount = 9'000'000;  // twice around the ring
  const Buffer memory = std::move(backend_->allocate(kCount * sizeof(std::int32_t))).value();
  const Tensor whole = memory.tensor(DType::kI32, {kCount});
  std::vector<std::int32_t> source(kCount), back(kCount);
  std::iota(source.begin(), source.end(), 0);
  backend_->copy_to_device(source.data(), whole);
  std::vector<std::int32_t> part = {-1, -2, -3, -4, -5, -6};
  backend_->copy_to_device(part.data(), Tensor(memory.data(), DType::kI32, {2, 100}).columns(10, 3));
  std::ranges::fill(part, 7);
  backend_->copy_to_host(whole, back.data());
  std::ranges::fill(source, 7);
  backend_->synchronize();
  for (std::int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(back[static_cast<std::size_t>(10 + i)], -1 - i);
    EXPECT_EQ(back[static_cast<std::size_t>(110 + i)], -4 - i);
  }
  for (std::size_t i = 200; i < back.size(); ++i) ASSERT_EQ(back[i], static_cast<std::int32_t>(i));
}

}  // namespace
}  // namespace caudal
