// Matmuls whose rows have the same bits in any batch. A library computes matmuls of different shapes in different
// ways, so it gets one shape for each weight: tiles of kTileRows rows, one after another. A tile that is not whole, or
// lies otherwise, goes through memory where it does. In a tile, rows know nothing of each other.
#include "kernels/cuda/backend/cuda_backend.h"

namespace caudal::cuda {
namespace {

bool is_tile(const Tensor& rows) {
  return rows.dim(0) == kTileRows && rows.contiguous() && reinterpret_cast<std::uintptr_t>(rows.data()) % 16 == 0;
}

std::size_t bytes_of_tile(DType dtype, std::int64_t columns) { return kTileRows * columns * dtype_bytes(dtype); }

}  // namespace

void CudaBackend::prepare_tiles(const StepSizes& sizes) {
  grow(tile_in_, kTileRows * sizes.row_in_bytes);
  grow(tile_out_, kTileRows * sizes.row_out_bytes);
}

void CudaBackend::copy_rows(const Tensor& from, const Tensor& to) {
  if (!ready()) return;
  const std::size_t element = dtype_bytes(from.dtype());
  context_->check(cudaMemcpy2DAsync(to.data(), static_cast<std::size_t>(to.stride0()) * element, from.data(),
                                    static_cast<std::size_t>(from.stride0()) * element,
                                    static_cast<std::size_t>(from.row_elements()) * element,
                                    static_cast<std::size_t>(from.dim(0)), cudaMemcpyDefault, context_->stream()),
                  "copying rows of a matmul");
}

void CudaBackend::linear_in_tiles(const Tensor& x, const CudaLinear& weight, const Tensor& out) {
  if (!grow(tile_in_, bytes_of_tile(x.dtype(), x.dim(1))) || !grow(tile_out_, bytes_of_tile(out.dtype(), out.dim(1))))
    return;
  const Tensor in_tile(tile_in_.data(), x.dtype(), {kTileRows, x.dim(1)});
  const Tensor out_tile(tile_out_.data(), out.dtype(), {kTileRows, out.dim(1)});
  for (std::int64_t first = 0; first < x.dim(0); first += kTileRows) {
    const std::int64_t count = std::min(kTileRows, x.dim(0) - first);
    const Tensor rows = x.rows(first, count), results = out.rows(first, count);
    if (!is_tile(rows)) copy_rows(rows, in_tile.rows(0, count));
    matmul_->run(is_tile(rows) ? rows : in_tile, weight, is_tile(results) ? results : out_tile);
    if (!is_tile(results)) copy_rows(out_tile.rows(0, count), results);
  }
}

}  // namespace caudal::cuda
