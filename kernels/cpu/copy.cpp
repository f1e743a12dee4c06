// What only moves rows: gather, sampled tokens, cache block copies, host copies.
#include <cstring>

#include "kernels/cpu/copy_stream.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/expect.h"

namespace caudal {
namespace {

std::byte* row_address(const Tensor& tensor, std::int64_t row) {
  return tensor.as<std::byte>() + row * tensor.stride0() * static_cast<std::int64_t>(dtype_bytes(tensor.dtype()));
}

std::size_t row_bytes(const Tensor& tensor) { return tensor.row_elements() * dtype_bytes(tensor.dtype()); }

}  // namespace

void CpuBackend::copy_to_device(const void* source, const Tensor& destination) {
  if (destination.elements() == 0) return;
  const std::size_t bytes = row_bytes(destination);
  for (std::int64_t row = 0; row < destination.dim(0); ++row)
    std::memcpy(row_address(destination, row), static_cast<const std::byte*>(source) + row * bytes, bytes);
}

void CpuBackend::copy_to_host(const Tensor& source, void* destination) {
  Expect("copy_to_host").contiguous("source", source);
  if (source.bytes() > 0) std::memcpy(destination, source.data(), source.bytes());
}

void CpuBackend::zero(const Tensor& destination) {
  for (std::int64_t row = 0; row < destination.dim(0); ++row) {
    std::memset(row_address(destination, row), 0, row_bytes(destination));
  }
}

void compute(CpuContext& context, const op::GatherRows& o) {
  for_rows(context, o.out, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = o.rows.as<std::int32_t>()[i];
      CHECK(row >= 0 && row < o.x.dim(0));
      std::memcpy(row_address(o.out, i), row_address(o.x, row), row_bytes(o.out));
    }
  });
}

void compute(CpuContext&, const op::InsertSampled& o) {
  for (TokenId& id : std::span(o.token_ids.as<TokenId>(), static_cast<std::size_t>(o.token_ids.dim(0)))) {
    if (id >= 0) continue;
    CHECK(-1 - id < o.sampled.dim(0));
    id = o.sampled.as<TokenId>()[-1 - id];
  }
}

void copy_blocks_now(std::span<const BlockPair> pairs, const Tensor& from, const Tensor& to) {
  for (const BlockPair& copy : pairs) {
    std::byte* const source = row_address(from, copy.source);
    std::byte* const destination = row_address(to, copy.destination);
    if (source != destination) std::memcpy(destination, source, row_bytes(from));
  }
}

void CpuBackend::copy_blocks(std::span<const BlockPair> copies, const Tensor& from, const Tensor& to) {
  check_copy_blocks(copies, from, to);
  copy_blocks_now(copies, from, to);
}

std::unique_ptr<CopyStream> CpuBackend::make_copy_stream() { return std::make_unique<CpuCopyStream>(); }

}  // namespace caudal
