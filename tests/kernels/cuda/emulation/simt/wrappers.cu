#include "tests/kernels/cuda/emulation/simt/wrappers.h"

#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/device/ptx_sm90.cuh"
#include "kernels/cuda/device/tensor_map.h"

namespace caudal::wrappers {
namespace {

template <class T, int kColumns>
struct Tiles {
  alignas(1024) T a[64 * kDepth];
  alignas(1024) T b[(kColumns + 63) / 64 * 64 * kDepth];
};

// Copies rows of 64 elements; 16-byte chunks swizzled over 8 rows.
template <class T>
__device__ void place(T* to, const T* from, int rows, int row_elements, int first_column) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * 8; i += 128) {
    const int row = i / 8, c = i % 8;
    if (first_column + c * 8 >= row_elements) continue;
    cuda::store_vec(to + row * 64 + (c ^ (row & 7)) * 8,
                    cuda::load_vec(from + row * row_elements + first_column + c * 8));
  }
}

template <class T, int kColumns, bool kTransposeB, bool kFromRegisters>
__global__ void __launch_bounds__(128) product_kernel(float* out, const T* a, const T* b) {
#if SIMT_SM90
  using Shared = Tiles<T, kColumns>;
  SIMT_DYN_SMEM(Shared, tiles);
  const int t = static_cast<int>(threadIdx.x), lane = t % 32, row = t / 32 * 16 + lane / 4;
  place(tiles->a, a, 64, kDepth, 0);
  if constexpr (kTransposeB) {
    for (int c = 0; c < kColumns; c += 64) place(tiles->b + c * kDepth, b, kDepth, kColumns, c);
  } else {
    place(tiles->b, b, kColumns, kDepth, 0);
  }
  ptx::fence_proxy_async();
  __syncthreads();
  uint32_t fragments[kDepth / 16][4];
#pragma unroll
  for (int i = 0; i < kDepth / 16 * 4; ++i) {
    const T* pair = a + (row + i % 2 * 8) * kDepth + i / 4 * 16 + i % 4 / 2 * 8 + lane % 4 * 2;
    memcpy(&fragments[i / 4][i % 4], pair, 4);
  }
  float d[kColumns / 2];
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) d[i] = NAN;  // that the first product does not add to
  ptx::wgmma_fence();
#pragma unroll
  for (int step = 0; step < kDepth / 16; ++step) {
    const uint64_t db = kTransposeB ? ptx::smem_desc_128b(tiles->b + step * 16 * 64, kDepth * 128, 1024)
                                    : ptx::smem_desc_128b(tiles->b + step * 16, 16, 1024);
    if constexpr (kFromRegisters) {
      ptx::wgmma_rs<T, kTransposeB>(d, fragments[step], db, step > 0);
    } else {
      ptx::wgmma<T, kTransposeB>(d, ptx::smem_desc_128b(tiles->a + step * 16, 16, 1024), db, step > 0);
    }
  }
  ptx::wgmma_commit();
  ptx::wgmma_wait<0>();
#pragma unroll
  for (int j = 0; j < kColumns / 2; ++j)
    out[(row + j / 2 % 2 * 8) * kColumns + j / 4 * 8 + lane % 4 * 2 + j % 2] = d[j];
#endif
}

template <class T, int kColumns>
bool launch_product(float* out, const std::uint16_t* a, const std::uint16_t* b, const Product& product,
                    cudaStream_t stream) {
  const auto launch = [&](auto kernel) {
    simt::launch(kernel, 1, 128, sizeof(Tiles<T, kColumns>), stream, out, reinterpret_cast<const T*>(a),
                 reinterpret_cast<const T*>(b));
    return true;
  };
  if (product.transpose_b == product.a_in_registers) {
    return product.transpose_b ? launch(product_kernel<T, kColumns, true, true>)
                               : launch(product_kernel<T, kColumns, false, false>);
  }
  if constexpr (std::is_same_v<T, __half>) return false;  // the order of B does not depend on the type
  return product.transpose_b ? launch(product_kernel<T, kColumns, true, false>)
                             : launch(product_kernel<T, kColumns, false, true>);
}

template <class T>
bool launch_columns(float* out, const std::uint16_t* a, const std::uint16_t* b, const Product& product,
                    cudaStream_t stream) {
  switch (product.n) {
    case 64:
      return launch_product<T, 64>(out, a, b, product, stream);
    case 80:
      return launch_product<T, 80>(out, a, b, product, stream);
    case 96:
      return launch_product<T, 96>(out, a, b, product, stream);
    case 128:
      return launch_product<T, 128>(out, a, b, product, stream);
    case 256:
      return launch_product<T, 256>(out, a, b, product, stream);
    default:
      return false;
  }
}

struct CopyParams {
  std::uint16_t* out;
  const std::uint16_t* source;  // of a bulk copy
  int elements;
  std::array<int, 4> start;
};

// kRank 0 is a bulk copy.
template <int kRank>
__global__ void __launch_bounds__(32)
    copy_kernel(const __grid_constant__ CUtensorMap map, const __grid_constant__ CopyParams p) {
#if SIMT_SM90
  struct Shared {
    alignas(128) std::uint16_t data[2048];
    alignas(8) uint64_t arrived;
  };
  SIMT_DYN_SMEM(Shared, shared);
  const unsigned bytes = static_cast<unsigned>(p.elements) * 2;
  if (threadIdx.x == 0) {
    ptx::mbar_init(&shared->arrived, 1);
    ptx::fence_mbar_init();
    ptx::mbar_arrive_expect_tx(&shared->arrived, bytes);
    if constexpr (kRank == 0) ptx::bulk_load(shared->data, p.source, bytes, &shared->arrived);
    if constexpr (kRank == 3)
      ptx::tma_load_3d(shared->data, &map, &shared->arrived, p.start[0], p.start[1], p.start[2]);
    if constexpr (kRank == 4)
      ptx::tma_load_4d(shared->data, &map, &shared->arrived, p.start[0], p.start[1], p.start[2], p.start[3]);
  }
  __syncthreads();
  ptx::mbar_wait(&shared->arrived, 0);
  for (int i = static_cast<int>(threadIdx.x); i < p.elements; i += 32) p.out[i] = shared->data[i];
#endif
}
constexpr std::size_t kCopyShared = 2048 * 2 + 128;

template <std::size_t kRank>
void launch_copy(std::uint16_t* out, const std::uint16_t* tensor, const Box& box, cudaStream_t stream) {
  std::array<std::int64_t, kRank> dims{};
  std::array<std::int64_t, kRank - 1> strides{};
  std::array<std::uint32_t, kRank> sides{};
  CopyParams params{out, nullptr, 1, box.start};
  std::int64_t bytes = 2;
  for (std::size_t i = 0; i < kRank; ++i) {
    dims[i] = box.dims[i], sides[i] = box.box[i];
    params.elements *= static_cast<int>(sides[i]);
    bytes *= dims[i];
    if (i + 1 < kRank) strides[i] = bytes;
  }
  const CUtensorMap map =
      cuda::make_tensor_map<kRank>(tensor, DType::kBF16, dims, strides, sides, CU_TENSOR_MAP_SWIZZLE_NONE);
  simt::launch(copy_kernel<static_cast<int>(kRank)>, 1, 32, kCopyShared, stream, map, params);
}

}  // namespace

bool wgmma_product(float* out, const std::uint16_t* a, const std::uint16_t* b, const Product& product,
                   cudaStream_t stream) {
  return product.dtype == DType::kBF16 ? launch_columns<__nv_bfloat16>(out, a, b, product, stream)
                                       : launch_columns<__half>(out, a, b, product, stream);
}

void copy_box(std::uint16_t* out, const std::uint16_t* tensor, const Box& box, cudaStream_t stream) {
  box.rank == 3 ? launch_copy<3>(out, tensor, box, stream) : launch_copy<4>(out, tensor, box, stream);
}

void copy_bulk(std::uint16_t* out, const std::uint16_t* x, cudaStream_t stream) {
  simt::launch(copy_kernel<0>, 1, 32, kCopyShared, stream, CUtensorMap{}, CopyParams{out, x, 512, {}});
}

}  // namespace caudal::wrappers
