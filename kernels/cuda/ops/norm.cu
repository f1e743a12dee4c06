// RMS norm, alone and fused with the residual addition; rounding as in kernels/cpu/norm.cpp. One block per row,
// which it reads once: the row waits in registers for its sum of squares.
#include "kernels/cuda/device/dispatch.h"
#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/ops/ops.h"

namespace caudal::cuda {
namespace {

template <class T>
struct NormParams {
  const T* x;  // null: residual is only read
  T* residual;
  const T* weight;
  T* out;
  std::int64_t x_stride, residual_stride, out_stride;
  int hidden;
  float eps;
};

// Thread t holds vectors t, t + kThreads, ...: kVecs of kSize elements.
template <class T, int kSize, int kVecs, int kThreads>
__global__ void __launch_bounds__(kThreads) norm_kernel(const __grid_constant__ NormParams<T> p) {
  const std::int64_t row = blockIdx.x;
  T* residual = p.residual + row * p.residual_stride;
  T* out = p.out + row * p.out_stride;
  Vec<T, kSize> held[kVecs];
  float squares = 0.0F;
#pragma unroll
  for (int v = 0; v < kVecs; ++v) {
    const int column = (v * kThreads + static_cast<int>(threadIdx.x)) * kSize;
    if (column >= p.hidden) break;
    held[v] = load_vec<T, kSize>(residual + column);
    if (p.x != nullptr) {
      const Vec<T, kSize> x = load_vec<T, kSize>(p.x + row * p.x_stride + column);
#pragma unroll
      for (int i = 0; i < kSize; ++i)
        held[v].value[i] = from_float<T>(to_float(held[v].value[i]) + to_float(x.value[i]));
      store_vec(residual + column, held[v]);
    }
#pragma unroll
    for (int i = 0; i < kSize; ++i) squares += to_float(held[v].value[i]) * to_float(held[v].value[i]);
  }
  const float inverse = 1.0F / sqrtf(block_sum(squares) / static_cast<float>(p.hidden) + p.eps);
#pragma unroll
  for (int v = 0; v < kVecs; ++v) {
    const int column = (v * kThreads + static_cast<int>(threadIdx.x)) * kSize;
    if (column >= p.hidden) break;
    const Vec<T, kSize> weight = load_vec<T, kSize>(p.weight + column);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      held[v].value[i] = from_float<T>(rounded<T>(to_float(held[v].value[i]) * inverse) * to_float(weight.value[i]));
    }
    store_vec(out + column, held[v]);
  }
}

// The smallest block that holds the row; it depends on the row's length alone, and so does the order of the sum.
// Moves 2 (fused: 4) rows of `hidden` elements per token: bytes = 2 or 4 * sizeof(T) * num_tokens * hidden.
template <class T, int kSize>
void launch_norm(const NormParams<T>& params, std::int64_t num_tokens, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(num_tokens));
  const std::int64_t vectors = ceil_div(params.hidden, kSize);
  if (vectors <= 128) {
    simt::launch(norm_kernel<T, kSize, 1, 128>, grid, 128, 0, stream, params);
  } else if (vectors <= 256) {
    simt::launch(norm_kernel<T, kSize, 1, 256>, grid, 256, 0, stream, params);
  } else if (vectors <= 512) {
    simt::launch(norm_kernel<T, kSize, 2, 256>, grid, 256, 0, stream, params);
  } else if (vectors <= 1024) {
    simt::launch(norm_kernel<T, kSize, 4, 256>, grid, 256, 0, stream, params);
  } else {
    CHECK_MSG(vectors <= 4096, "rows this long are not supported");
    simt::launch(norm_kernel<T, kSize, 4, 1024>, grid, 1024, 0, stream, params);
  }
}

void norm(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, const Tensor& out,
          cudaStream_t stream) {
  if (out.dim(0) == 0) return;
  dispatch_float(out.dtype(), [&]<class T>(std::type_identity<T>) {
    NormParams<T> params{x.as<T>(), residual.as<T>(),   weight.as<T>(), out.as<T>(),
                         0,         residual.stride0(), out.stride0(),  static_cast<int>(out.dim(1)),
                         eps};
    bool vectors =
        fits_vectors<T>(out.dim(1), residual, out) && reinterpret_cast<std::uintptr_t>(weight.data()) % 16 == 0;
    if (!x.empty()) {
      params.x_stride = x.stride0();
      vectors = vectors && fits_vectors<T>(out.dim(1), x);
    }
    if (vectors) {
      launch_norm<T, 16 / sizeof(T)>(params, out.dim(0), stream);
    } else {
      launch_norm<T, 1>(params, out.dim(0), stream);
    }
  });
}

}  // namespace

void launch(const op::RmsNorm& o, cudaStream_t stream) { norm(Tensor(), o.x, o.weight, o.eps, o.out, stream); }

void launch(const op::AddRmsNorm& o, cudaStream_t stream) { norm(o.x, o.residual, o.weight, o.eps, o.out, stream); }

}  // namespace caudal::cuda
