// The entry header of kernel sources: CUDA when nvcc compiles them, the CPU emulation when any other compiler
// does. Kernels declare shared memory with the two macros below, launch with caudal::simt::launch, and keep
// inline assembly out (kernels/cuda/device/ptx.cuh has it); kernels/cuda/README.md lists the rules.
//
//   SIMT_SHARED(float[32], partial);          // __shared__ float partial[32];
//   SIMT_DYN_SMEM(Tiles, tiles);              // Tiles* tiles = the launch's dynamic shared memory
//   simt::launch(kernel, grid, block, dynamic_smem_bytes, stream, args...);
#pragma once

#ifdef __CUDACC__

#define SIMT_CPU 0
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

#define SIMT_SHARED(T, name) __shared__ std::type_identity_t<T> name
#define SIMT_DYN_SMEM(T, name)                                         \
  extern __shared__ __align__(1024) unsigned char simt_dyn_smem_raw[]; \
  T* name = reinterpret_cast<T*>(simt_dyn_smem_raw)

namespace caudal::simt {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void check(cudaError_t status) {
  if (status != cudaSuccess) throw Error(std::string("kernel launch: ") + cudaGetErrorString(status));
}

// Throws Error when the launch itself is refused; what goes wrong later is the stream's to report.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t smem_bytes, cudaStream_t stream,
            Args&&... args) {
  if (smem_bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(smem_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = smem_bytes;
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
}

}  // namespace caudal::simt

#else

#define SIMT_CPU 1
#include "kernels/cuda/emulation/simt/device.h"

#endif
