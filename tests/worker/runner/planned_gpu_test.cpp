// A GPU that is not there takes what one that is there takes.
#include "kernels/cuda/backend/planned_gpu.h"

#include <gtest/gtest.h>

#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/factory/make_backend.h"
#include "tests/worker/fixture.h"
#include "worker/comm/local.h"
#include "worker/runner/startup.h"

namespace caudal {
namespace {

Startup startup(Backend& backend, const RunnerOptions& options) {
  const std::unique_ptr<Communicator> group = std::move(make_local_group(1).front());
  return std::move(plan_startup(backend, *group, load_fixture("qwen2").model_dir, options)).value();
}

TEST(PlannedGpu, TakesWhatTheDeviceTakes) {
  for (const bool deterministic : {false, true}) {
    BackendOptions chosen;
    chosen.device = CAUDAL_TEST_DEVICE;
    chosen.deterministic = deterministic;
    const std::unique_ptr<Backend> real = std::move(make_backend(chosen)).value();
    const cudaDeviceProp& properties = dynamic_cast<cuda::CudaBackend&>(*real).context().properties();
    const std::unique_ptr<Backend> planned =
        cuda::make_planned_gpu("planned",
                               {.num_sms = properties.multiProcessorCount,
                                .compute_capability = 10 * properties.major + properties.minor,
                                .shared_bytes_per_sm = static_cast<int>(properties.sharedMemPerMultiprocessor)},
                               deterministic);
    for (const DTypeChoice dtype : {DTypeChoice::kBF16, DTypeChoice::kF32}) {
      RunnerOptions options;
      options.dtype = dtype;
      options.max_num_sequences = 8;
      options.max_tokens_per_step = 128;
      options.host_blocks.bytes = std::size_t{1} << 20;
      options.assumed.device_bytes = real->info().free_memory_bytes;
      const Startup a = startup(*real, options), b = startup(*planned, options);
      EXPECT_EQ(a.memory.weights_bytes, b.memory.weights_bytes);
      EXPECT_EQ(a.memory.workspace_bytes, b.memory.workspace_bytes);
      EXPECT_EQ(a.memory.block_bytes, b.memory.block_bytes);
      EXPECT_EQ(a.memory.num_blocks, b.memory.num_blocks);
      EXPECT_EQ(a.sizes.recorded_ops, b.sizes.recorded_ops);
      EXPECT_EQ(a.info.kv_windows, b.info.kv_windows);
    }
  }
}

}  // namespace
}  // namespace caudal
