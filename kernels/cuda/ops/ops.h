// The ops of kernels/ops.h on a CUDA stream, one .cu file per family; CudaBackend adds memory, attention (attention.h),
// matmuls and sampling (sampling.h). Contracts, shapes and rounding are those of kernels/ops.h and kernels/cpu, in f32,
// bf16 and f16. The op has passed its check. Calls queue kernels and return; an index out of range traps. In the
// emulation the "device" is the host's memory and a call has ended when it returns.
#pragma once

#include <driver_types.h>

#include "kernels/ops.h"

namespace caudal::cuda {

// ---- rows.cu ----
// table [rows, hidden]: the weight of o.table.
void launch(const op::Embedding& o, const Tensor& table, cudaStream_t stream);
void launch(const op::GatherRows& o, cudaStream_t stream);
void launch(const op::InsertSampled& o, cudaStream_t stream);
// out[i] = the sum over r of parts[r][i], in f32 and in the order of r. parts [num_parts, n], out [n]
void sum_rows(const Tensor& parts, const Tensor& out, cudaStream_t stream);

// ---- norm.cu ----
void launch(const op::RmsNorm& o, cudaStream_t stream);
void launch(const op::AddRmsNorm& o, cudaStream_t stream);

// ---- silu.cu ----
void launch(const op::SiluAndMul& o, cudaStream_t stream);

// ---- rope.cu ----
// A token with a negative cache_slot is padding of a captured batch: nothing of it is read or written.
void launch(const op::RopeAndCache& o, cudaStream_t stream);

}  // namespace caudal::cuda
