// Ops that only move rows: embedding, gather, cache block copies, host copies.
#include <cstring>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"
#include "kernels/expect.h"

namespace caudal {
namespace {

std::byte* row_address(const Tensor& tensor, std::int64_t row) {
  return tensor.as<std::byte>() + row * tensor.stride0() * static_cast<std::int64_t>(dtype_bytes(tensor.dtype()));
}

std::size_t row_bytes(const Tensor& tensor) {
  return static_cast<std::size_t>(tensor.row_elements()) * dtype_bytes(tensor.dtype());
}

}  // namespace

void CpuBackend::copy_to_device(const void* source, const Tensor& destination) {
  if (destination.elements() == 0) return;
  const std::size_t bytes = row_bytes(destination);
  for (std::int64_t row = 0; row < destination.dim(0); ++row)
    std::memcpy(row_address(destination, row),
                static_cast<const std::byte*>(source) + static_cast<std::size_t>(row) * bytes, bytes);
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

void CpuBackend::embedding(const Tensor& token_ids, const Tensor& table, std::int64_t first_token, const Tensor& out) {
  Dim num_tokens("num_tokens"), rows("rows"), hidden("hidden");
  Expect expect("embedding");
  expect.shape("token_ids", token_ids, {num_tokens}).dtype("token_ids", token_ids, DType::kI32);
  expect.shape("table", table, {rows, hidden}).shape("out", out, {num_tokens, hidden});
  expect.dtype("out", out, table.dtype());
  for_rows(*context_, out, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t row = token_ids.as<std::int32_t>()[token] - first_token;
      if (row >= 0 && row < *rows) {
        std::memcpy(row_address(out, token), row_address(table, row), row_bytes(out));
      } else {
        std::memset(row_address(out, token), 0, row_bytes(out));
      }
    }
  });
}

void CpuBackend::gather_rows(const Tensor& x, const Tensor& rows, const Tensor& out) {
  Dim num_tokens("num_tokens"), hidden("hidden"), n("n");
  Expect expect("gather_rows");
  expect.shape("x", x, {num_tokens, hidden}).shape("rows", rows, {n}).shape("out", out, {n, hidden});
  expect.dtype("rows", rows, DType::kI32).dtype("out", out, x.dtype());
  for_rows(*context_, out, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = rows.as<std::int32_t>()[i];
      CHECK(row >= 0 && row < *num_tokens);
      std::memcpy(row_address(out, i), row_address(x, row), row_bytes(out));
    }
  });
}

void CpuBackend::copy_blocks(std::span<const BlockCopy> copies, const Tensor& from, const Tensor& to) {
  Dim sources("sources"), destinations("destinations"), block_size("block_size", kBlockSize),
      num_kv_heads("num_kv_heads"), head_dim("head_dim");
  Expect expect("copy_blocks");
  expect.shape("from", from, {sources, block_size, num_kv_heads, head_dim});
  expect.shape("to", to, {destinations, block_size, num_kv_heads, head_dim}).dtype("to", to, from.dtype());
  for (const BlockCopy& copy : copies) {  // in order: a copy may read what an earlier one wrote
    CHECK(copy.source >= 0 && copy.source < *sources);
    CHECK(copy.destination >= 0 && copy.destination < *destinations);
    std::byte* const source = row_address(from, copy.source);
    std::byte* const destination = row_address(to, copy.destination);
    if (source != destination) std::memcpy(destination, source, row_bytes(from));
  }
}

}  // namespace caudal
