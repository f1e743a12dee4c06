// CAUDAL_WITH_CUDA_AS is the name of the device that kernels/cuda is: "cuda", or "simt" where it runs under emulation,
// for tests.
#include "kernels/factory/make_backend.h"

#include <fmt/core.h>

#include "kernels/cpu/make_cpu.h"
#include "kernels/cpu/memory.h"
#include "kernels/cuda/backend/planned_gpu.h"

#ifdef CAUDAL_WITH_CUDA_AS
#include "kernels/cuda/backend/make_cuda.h"
#ifdef CAUDAL_WITH_NCCL
#include "kernels/cuda/comm/nccl.h"
#define CAUDAL_MAKE_NCCL make_nccl_communicator
#else
#define CAUDAL_MAKE_NCCL nullptr
#endif
#define CAUDAL_DEVICES "\"cpu\" or \"" CAUDAL_WITH_CUDA_AS "\""
#else
#define CAUDAL_DEVICES "\"cpu\""
#endif

namespace caudal {

Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options) {
  if (options.device == "cpu") return make_cpu_backend(options);
#ifdef CAUDAL_WITH_CUDA_AS
  if (options.device == CAUDAL_WITH_CUDA_AS) return make_cuda_backend(options, CAUDAL_MAKE_NCCL);
#endif
  return Error{fmt::format("device must be " CAUDAL_DEVICES " in this build, not \"{}\"", options.device), "device"};
}

Result<std::unique_ptr<Backend>> make_backend_to_plan(const BackendOptions& options) {
  if (options.device != "cuda") return make_backend(options);
  const char* name = options.deterministic ? "cuda: a GPU like an H100, deterministic" : "cuda: a GPU like an H100";
  return cuda::make_planned_gpu(name, cuda::kHopper, options.deterministic);
}

std::size_t free_host_bytes() { return host_memory().free_bytes; }

}  // namespace caudal
