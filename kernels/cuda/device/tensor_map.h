// Tensor maps for TMA, made on the host: the driver's encoder on a GPU, the emulation's otherwise. Included by .cu
// files only.
#pragma once

#include <array>
#include <cstdint>

#include "kernels/cuda/emulation/simt/simt.h"
#include "kernels/tensor.h"

namespace caudal::cuda {

// A bf16 or f16 tensor. dims and box are innermost first; strides_bytes are those of dims[1..]. Throws
// simt::Error when TMA cannot do it: addresses and strides must be multiples of 16 bytes, a box side at most 256.
template <std::size_t kRank>
CUtensorMap make_tensor_map(const void* base, DType dtype, const std::array<std::int64_t, kRank>& dims,
                            const std::array<std::int64_t, kRank - 1>& strides_bytes,
                            const std::array<std::uint32_t, kRank>& box, CUtensorMapSwizzle swizzle);

namespace detail {

struct TensorMapArgs {
  const void* base = nullptr;
  DType dtype = DType::kBF16;
  std::uint32_t rank = 0;
  std::array<std::uint64_t, 5> dims{}, strides{};
  std::array<std::uint32_t, 5> box{};
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_NONE;
};

inline CUresult encode(CUtensorMap* map, const TensorMapArgs& args) {
#if SIMT_CPU
  simt::TensorMapShape shape;
  shape.element_bytes = 2;
  shape.rank = static_cast<int>(args.rank);
  shape.dims = args.dims.data();
  shape.strides_bytes = args.strides.data();
  shape.box = args.box.data();
  shape.swizzle = args.swizzle;
  return simt::tensor_map_encode(map, args.base, shape);
#else
  // The driver's entry point is asked for at run time, so that nothing links libcuda.
  void* encoder = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  simt::check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &encoder, 12000, cudaEnableDefault, &found));
  if (found != cudaDriverEntryPointSuccess) return CUDA_ERROR_NOT_FOUND;
  using Encoder = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                               const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                               CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  const std::array<std::uint32_t, 5> steps = {1, 1, 1, 1, 1};
  const auto type = args.dtype == DType::kF16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  std::array<cuuint64_t, 5> dims{}, strides{};
  for (std::uint32_t i = 0; i < args.rank; ++i) dims[i] = args.dims[i], strides[i] = args.strides[i];
  return reinterpret_cast<Encoder>(encoder)(map, type, args.rank, const_cast<void*>(args.base), dims.data(),
                                            strides.data(), args.box.data(), steps.data(),
                                            CU_TENSOR_MAP_INTERLEAVE_NONE, args.swizzle,
                                            CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
#endif
}

}  // namespace detail

template <std::size_t kRank>
CUtensorMap make_tensor_map(const void* base, DType dtype, const std::array<std::int64_t, kRank>& dims,
                            const std::array<std::int64_t, kRank - 1>& strides_bytes,
                            const std::array<std::uint32_t, kRank>& box, CUtensorMapSwizzle swizzle) {
  CHECK(dtype == DType::kBF16 || dtype == DType::kF16);
  detail::TensorMapArgs args;
  args.base = base;
  args.dtype = dtype;
  args.rank = kRank;
  args.swizzle = swizzle;
  for (std::size_t i = 0; i < kRank; ++i) {
    args.dims[i] = static_cast<std::uint64_t>(dims[i]);
    args.box[i] = box[i];
    if (i > 0) args.strides[i - 1] = static_cast<std::uint64_t>(strides_bytes[i - 1]);
  }
  CUtensorMap map;
  if (detail::encode(&map, args) != CUDA_SUCCESS) throw simt::Error("this tensor cannot be copied by TMA");
  return map;
}

}  // namespace caudal::cuda
