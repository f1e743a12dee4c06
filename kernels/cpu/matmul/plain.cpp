// Packing of plain weights: conversion to the dtype of x, and a transpose into panels of 32 columns (layout in
// plain.h).
#include "kernels/cpu/matmul/plain.h"

#include <algorithm>
#include <cstring>

namespace caudal {
namespace {

// Columns [0, count) of the panel, words [0, depth) of each column's row, to [depth][width]: k-major. Small enough for
// the L1 cache.
template <int kWidth>
void transpose(const std::uint32_t* rows, std::int64_t stride, std::int64_t count, std::int64_t depth,
               std::uint32_t* out) {
  for (std::int64_t k = 0; k < depth; ++k, out += kWidth) {
    for (std::int64_t column = 0; column < count; ++column) out[column] = rows[column * stride + k];
  }
}

// Words are values of f32, or pairs of bf16 (stride in words; rows are padded with zeros to whole words).
struct F32Panel {
  static constexpr DType kDType = DType::kF32;
  // Of value k of a column, in values from the panel's beginning.
  static std::int64_t index(std::int64_t k, std::int64_t column) { return k * kPanel + column; }
  static std::int64_t elements(std::int64_t in) { return in * kPanel; }
  static void pack(const std::uint32_t* rows, std::int64_t stride, std::int64_t count, std::uint32_t* panel) {
    for (std::int64_t k = 0; k < stride; k += kBlockK)
      transpose<kPanel>(rows + k, stride, count, std::min(kBlockK, stride - k), panel + k * kPanel);
  }
};

struct BF16Panel {
  static constexpr DType kDType = DType::kBF16;
  static std::int64_t index(std::int64_t k, std::int64_t column) {
    const std::int64_t block = k / kBlockK, pair = k % kBlockK / 2, half = column / 16;
    return (((block * 2 + half) * 16 + pair) * 16 + column % 16) * 2 + k % 2;
  }
  static std::int64_t elements(std::int64_t in) { return (in + kBlockK - 1) / kBlockK * kBlockK * kPanel; }
  static void pack(const std::uint32_t* rows, std::int64_t stride, std::int64_t count, std::uint32_t* panel) {
    for (std::int64_t pair = 0; pair < stride; pair += 16) {
      for (std::int64_t half = 0; half < 2; ++half, panel += 256) {
        const std::int64_t columns = std::clamp<std::int64_t>(count - half * 16, 0, 16);
        transpose<16>(rows + half * 16 * stride + pair, stride, columns, std::min<std::int64_t>(16, stride - pair),
                      panel);
      }
    }
  }
};

template <typename Panel>
class PlainKind final : public PackedKind {
 public:
  std::size_t panel_bytes(std::int64_t in) const override { return Panel::elements(in) * dtype_bytes(Panel::kDType); }

  void pack_panel(std::span<const StoredPart> parts, std::int64_t first, std::int64_t count, Scratch& scratch,
                  std::byte* panel) const override {
    const std::int64_t in = parts.front().columns;
    const std::size_t value_bytes = dtype_bytes(Panel::kDType), row_bytes = in * value_bytes;
    const std::size_t words = (row_bytes + 3) / 4;
    const std::size_t rows = count;
    auto* read = scratch.get<std::byte>(rows * words * 4);
    read_rows(parts, first, count, Panel::kDType, read);
    if (words * 4 != row_bytes) spread(read, rows, row_bytes, words * 4);
    if (count < kPanel || in % kBlockK != 0) std::memset(panel, 0, panel_bytes(in));
    Panel::pack(reinterpret_cast<const std::uint32_t*>(read), static_cast<std::int64_t>(words), count,
                reinterpret_cast<std::uint32_t*>(panel));
  }

  void read_column(const std::byte* panel, std::int64_t column, std::int64_t in, DType dtype,
                   std::byte* out) const override {
    CHECK(dtype == Panel::kDType);
    const std::size_t bytes = dtype_bytes(dtype);
    for (std::int64_t k = 0; k < in; ++k, out += bytes) {
      const std::size_t index = Panel::index(k, column);
      std::memcpy(out, panel + index * bytes, bytes);
    }
  }

  void multiply(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) const override {
    const bool amx = context.isa() >= Isa::kAmx && Panel::kDType == DType::kBF16;
    amx ? linear_amx(context, x, weight, out) : linear_simd(context, x, weight, out);
  }

 private:
  // Rows that follow each other, moved apart to `stride` bytes each, with zeros between. From the last one on.
  static void spread(std::byte* rows, std::size_t count, std::size_t row_bytes, std::size_t stride) {
    for (std::size_t row = count; row-- > 0;) {
      std::memmove(rows + row * stride, rows + row * row_bytes, row_bytes);
      std::memset(rows + row * stride + row_bytes, 0, stride - row_bytes);
    }
  }
};

}  // namespace

const PackedKind& plain_kind(DType dtype) {
  static const PlainKind<F32Panel> f32;
  static const PlainKind<BF16Panel> bf16;
  if (dtype == DType::kF32) return f32;
  CHECK(dtype == DType::kBF16);
  return bf16;
}

}  // namespace caudal
