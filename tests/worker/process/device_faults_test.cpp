// What a rank does when its device is too small or dies: a clear message and a known exit code. On the stand-in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/emulation/fake/device.h"
#include "kernels/factory/make_backend.h"
#include "tests/worker/test_rank.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

class DeviceFaults : public testing::Test {
 protected:
  void SetUp() override { fake::reset({}); }
  void TearDown() override { fake::reset({}); }
};

TEST_F(DeviceFaults, AModelThatDoesNotFitSaysByHowMuch) {
  fake::settings().memory_bytes = std::size_t{36} << 20;  // 32 of them are the matrix products'
  const std::unique_ptr<Backend> backend = std::move(make_backend({.device = "simt", .max_isa = ""})).value();
  const std::unique_ptr<Communicator> alone = std::move(make_local_group(1).front());
  const auto runner = Runner::create(*backend, *alone, load_fixture("qwen2").model_dir, {});
  ASSERT_FALSE(runner.ok());
  EXPECT_THAT(runner.error().message,
              testing::AllOf(testing::HasSubstr("the model does not fit"), testing::HasSubstr("more than the")));
}

// A kernel that dies in the second step: the step loop says so, with the exit code of a failed step.
TEST_F(DeviceFaults, AnErrorInAStepEndsTheRank) {
  TestRank rank(std::move(make_local_group(1).front()), "simt");
  rank.load();
  rank.queues.epoch = 9;
  rank.queues.plans.push(plan_of(9, 1));
  rank.queues.plans.push(plan_of(9, 2));
  fake::settings().fail_call = "kernel";
  fake::settings().fail_after = 20;
  fake::settings().fail_with = cudaErrorIllegalAddress;
  rank.queues.plans.close();
  EXPECT_EQ(rank.loop->run(), kExitStepFailed);
  const std::vector<FromWorker> answers = rank.queues.answers.drain_for(std::chrono::milliseconds(0));
  ASSERT_FALSE(answers.empty());
  EXPECT_THAT(std::get<Failed>(answers.back()).reason, testing::HasSubstr("cudaErrorIllegalAddress"));
}

}  // namespace
}  // namespace caudal
