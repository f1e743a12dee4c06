// The ops of backend.h on a CUDA stream, one .cu file per family; CudaBackend adds streams, memory and matrix
// products to them. Contracts, shapes and rounding are backend.h's and kernels/cpu's, in f32, bf16 and f16. Calls
// check the shapes, queue kernels and return; an index out of range traps. In the emulation the "device" is the
// host's memory and a call has ended when it returns. Sampling is in sampling.h, attention in attention.h.
#pragma once

#include <driver_types.h>

#include "kernels/op_args.h"
#include "kernels/tensor.h"

namespace caudal::cuda {

// ---- rows.cu ----
// token_ids i32 [num_tokens], table [rows, hidden], out [num_tokens, hidden]
void embedding(const Tensor& token_ids, const Tensor& table, std::int64_t first_token, const Tensor& out,
               cudaStream_t stream);
// x [num_tokens, hidden], rows i32 [n], out [n, hidden]
void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& out, cudaStream_t stream);
// token_ids[i] = drawn[-1 - token_ids[i]] where it is below zero. i32 [num_rows] and [num_tokens]
void take_drawn(const Tensor& drawn, const Tensor& token_ids, cudaStream_t stream);
// out[i] = the sum over r of parts[r][i], in f32 and in the order of r. parts [num_parts, n], out [n]
void sum_rows(const Tensor& parts, const Tensor& out, cudaStream_t stream);
// copies i32 [n, 2] on the device: source and destination block, applied in order; cache [num_blocks, 16,
// num_kv_heads, head_dim]
void copy_blocks(const Tensor& copies, const Tensor& cache, cudaStream_t stream);

// ---- norm.cu ----
// x, out [num_tokens, hidden], weight [hidden]
void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out, cudaStream_t stream);
// residual += x; out = rms_norm(residual); out may be x
void add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, const Tensor& out,
                  cudaStream_t stream);

// ---- silu.cu ----
// gate_up [num_tokens, 2 * intermediate], out [num_tokens, intermediate]
void silu_and_mul(const Tensor& gate_up, const Tensor& out, cudaStream_t stream);

// ---- rope.cu ----
// A token with a negative cache_slot is padding of a captured batch: nothing of it is read or written.
void rope_and_cache(const RopeCacheArgs& args, cudaStream_t stream);

}  // namespace caudal::cuda
