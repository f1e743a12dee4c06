// How the ranks of a replica on the stand-in for CUDA talk, and what two runs of it must have in common.
#pragma once

#include <gtest/gtest.h>

#include "kernels/cuda/cuda_backend.h"
#include "tests/worker/toy_scheduler.h"
#include "worker/comm/nccl.h"
#include "worker/comm/staged.h"

namespace caudal {

inline std::unique_ptr<Communicator> through_the_host(Backend& backend, std::unique_ptr<Communicator> local) {
  return make_staged_communicator(backend, std::move(local));
}

inline std::unique_ptr<Communicator> over_nccl(Backend& backend, std::unique_ptr<Communicator> local) {
  cuda::CudaContext& context = static_cast<cuda::CudaBackend&>(backend).context();
  return std::move(make_nccl_communicator(context, std::move(local))).value();
}

inline void expect_same(const ToyRun& run, const ToyRun& plain) {
  ASSERT_EQ(run.answers.size(), plain.answers.size());
  for (std::size_t i = 0; i < run.answers.size(); ++i) {
    EXPECT_EQ(run.answers[i].tokens, plain.answers[i].tokens) << i;
    EXPECT_EQ(run.answers[i].finish_reason, plain.answers[i].finish_reason) << i;
    ASSERT_EQ(run.answers[i].logprobs.size(), plain.answers[i].logprobs.size()) << i;
    for (std::size_t t = 0; t < run.answers[i].logprobs.size(); ++t)
      for (std::size_t n = 0; n < run.answers[i].logprobs[t].size(); ++n)
        EXPECT_EQ(run.answers[i].logprobs[t][n].logprob, plain.answers[i].logprobs[t][n].logprob) << i << ' ' << t;
  }
}

}  // namespace caudal
