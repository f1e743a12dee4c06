// The ops of backend.h on a CUDA stream, one .cu file per family; CudaBackend adds streams, memory and matrix
// products to them. Contracts, shapes and rounding are backend.h's and kernels/cpu's. Calls check the shapes,
// queue a kernel and return. In the emulation the "device" is the host's memory and a call has ended when it returns.
#pragma once

#include <driver_types.h>

#include "kernels/tensor.h"

namespace caudal::cuda {

// gate_up [num_tokens, 2 * intermediate], out [num_tokens, intermediate]
void silu_and_mul(const Tensor& gate_up, const Tensor& out, cudaStream_t stream);

}  // namespace caudal::cuda
