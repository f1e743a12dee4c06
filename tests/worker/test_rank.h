// One rank with its queues and its step loop, on the qwen2 fixture, and plans that fit it.
#pragma once

#include <memory>

#include "kernels/factory/make_backend.h"
#include "tests/worker/fixture.h"
#include "worker/process/step_loop.h"

namespace caudal {

// Loads on the thread that runs the loop.
struct TestRank {
  explicit TestRank(std::unique_ptr<Communicator> communicator, const std::string& device = "cpu")
      : group(std::move(communicator)) {
    backend = std::move(make_backend({.device = device, .num_threads = 1, .max_isa = ""})).value();
  }
  void load() {
    RunnerOptions options;
    options.host_blocks.bytes = std::size_t{1} << 20;  // for plans that move blocks there
    options.max_num_sequences = 4;
    options.max_tokens_per_step = 64;
    options.kv.num_blocks = 8;
    runner = std::move(Runner::create(*backend, *group, load_fixture("qwen2").model_dir, options)).value();
    loop = std::make_unique<StepLoop>(*group, *runner, queues);
  }

  std::unique_ptr<Backend> backend;
  std::unique_ptr<Communicator> group;
  std::unique_ptr<Runner> runner;
  StepQueues queues;
  std::unique_ptr<StepLoop> loop;
  int exit_code = -1;
};

// Plan `step` of an epoch: the first enters a sequence, all go on with it.
inline StepPlan plan_of(Epoch epoch, StepId step) {
  StepPlan plan;
  plan.epoch = epoch;
  plan.step_id = step;
  if (step == 1) {
    NewSequence& sequence = plan.new_sequences.emplace_back();
    sequence.tokens = {5, 6, 7};
    sequence.num_prompt_tokens = 3;
    sequence.blocks = {1, 2};
    sequence.params.sampling.temperature = 0.0F;
    sequence.params.stop.max_tokens = 20;
  }
  plan.scheduled = {{0, step == 1 ? 3 : 1, {}}};
  return plan;
}

}  // namespace caudal
