// silu(gate) * up; see kernels/cpu/silu.cpp. One thread per vector of the output, rows along the grid's y.
#include "kernels/cuda/device/dispatch.h"
#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/ops/ops.h"

namespace caudal::cuda {
namespace {

constexpr unsigned kThreads = 256;

template <class T>
struct SiluParams {
  const T* gate_up;
  T* out;
  std::int64_t num_tokens, intermediate, gate_up_stride, out_stride;
};

__device__ __forceinline__ float silu(float x) { return x / (1.0F + expf(-x)); }

// kSize elements per thread: a vector, or 1 where rows are not made of whole vectors.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads) silu_and_mul_kernel(const __grid_constant__ SiluParams<T> p) {
  const std::int64_t column = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kSize;
  if (column >= p.intermediate) return;
  for (std::int64_t row = blockIdx.y; row < p.num_tokens; row += gridDim.y) {
    const T* gate = p.gate_up + row * p.gate_up_stride + column;
    T* out = p.out + row * p.out_stride + column;
    const Vec<T, kSize> g = load_vec<T, kSize>(gate), up = load_vec<T, kSize>(gate + p.intermediate);
    Vec<T, kSize> result;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      result.value[i] = from_float<T>(rounded<T>(silu(to_float(g.value[i]))) * to_float(up.value[i]));
    }
    store_vec(out, result);
  }
}

}  // namespace

void launch(const op::SiluAndMul& o, cudaStream_t stream) {
  const std::int64_t num_tokens = o.out.dim(0), intermediate = o.out.dim(1);
  if (num_tokens == 0) return;
  dispatch_float(o.out.dtype(), [&]<class T>(std::type_identity<T>) {
    const SiluParams<T> params{o.gate_up.as<T>(), o.out.as<T>(),       num_tokens,
                               intermediate,      o.gate_up.stride0(), o.out.stride0()};
    const auto grid = [&](std::int64_t size) {
      return dim3(static_cast<unsigned>(ceil_div(intermediate, kThreads * size)),
                  static_cast<unsigned>(std::min<std::int64_t>(num_tokens, 65535)));
    };
    // Reads 2 and writes 1 element of num_tokens * intermediate each: bytes = 3 * sizeof(T) * that.
    if (fits_vectors<T>(intermediate, o.gate_up, o.out)) {
      constexpr int kSize = 16 / sizeof(T);
      simt::launch(silu_and_mul_kernel<T, kSize>, grid(kSize), kThreads, 0, stream, params);
    } else {
      simt::launch(silu_and_mul_kernel<T, 1>, grid(1), kThreads, 0, stream, params);
    }
  });
}

}  // namespace caudal::cuda
