// Weights computed in the codes that they are stored in (kernels/block_codes.h), by rows of x that are rounded to 8
// bits: each 32 values of a row become codes of -127 to 127 and one f32 scale, whatever rows are beside it. Products of
// codes are summed in integers, exactly; scales are applied in f32, step by step in the order of k. So all instruction
// sets give the same bits.
//
// A panel has its blocks one after the other. A block:
//   d     f16  [32]                          per column
//   m     f16  [32]                          with mins
//   then for each step of 32 k (one step in blocks of 32 values, eight in those of 256):
//   scales i8  [scales per step][32]         of blocks with more than one
//   mins   u8  [scales per step][32]         likewise, with mins
//   codes  u8  [bits of a code][32][4]
// Codes lie in planes. A plane has `width` bits of each code: first as many lower bits as are a power of two, then as
// many of the rest, and so on, which is 4 and 2 of 6 bits. It is u8 [width][32][4]: column, k in its group of four.
// Bits of group g of the eight are in entry g * width / 8, from bit g * width % 8 on.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "kernels/cpu/matmul/packed_kind.h"
#include "kernels/stored_format.h"

namespace caudal {

inline constexpr std::int64_t kStep = 32;
inline constexpr std::int64_t kPlaneBytes = 4 * kPanel;  // of a plane of width 1

// The first plane of codes of so many bits.
constexpr int plane_width(int bits) { return static_cast<int>(std::bit_floor(static_cast<unsigned>(bits))); }

struct BlockLayout {
  int bits;             // of a code
  bool mins;            // a minimum beside each scale
  int scales_per_step;  // 0: d is the only scale
  int steps;            // of a block

  bool operator==(const BlockLayout&) const = default;
  constexpr std::int64_t header_bytes() const { return kPanel * (mins ? 4 : 2); }
  constexpr std::int64_t scale_bytes() const { return kPanel * scales_per_step * (mins ? 2 : 1); }
  constexpr std::int64_t step_bytes() const { return scale_bytes() + bits * kPlaneBytes; }
  constexpr std::int64_t block_bytes() const { return header_bytes() + steps * step_bytes(); }
};

// Code of value `k` of a step, in the column whose codes begin at `packed`.
inline unsigned code_at(const BlockLayout& layout, const std::uint8_t* packed, std::int64_t k) {
  unsigned code = 0;
  for (int shift = 0, width; shift < layout.bits; shift += width, packed += width * kPlaneBytes) {
    width = plane_width(layout.bits - shift);
    const std::int64_t bit = k / 4 * width;
    code |= (packed[bit / 8 * kPlaneBytes + k % 4] >> (bit % 8) & ((1U << width) - 1U)) << shift;
  }
  return code;
}

// Nothing when the kernels cannot compute on the format's codes.
constexpr std::optional<BlockLayout> layout_of(const FormatInfo& format) {
  if (format.coding.bits >= 8) return std::nullopt;  // x in 8 bits would lose more than they have lost: q8_0.h
  const int values_per_scale = format.coding.values_per_scale;
  if ((values_per_scale != 16 && values_per_scale != 32) || format.block_values % kStep != 0) return std::nullopt;
  const bool has_scales = format.block_values > values_per_scale;
  return BlockLayout{.bits = format.coding.bits,
                     .mins = format.coding.has_mins,
                     .scales_per_step = has_scales ? static_cast<int>(kStep) / values_per_scale : 0,
                     .steps = static_cast<int>(format.block_values / kStep)};
}

// The layouts of all stored formats, each once.
struct BlockLayouts {
  std::array<BlockLayout, kStoredFormats.size()> items{};
  std::size_t count = 0;

  constexpr BlockLayouts() {
    for (const FormatInfo& format : kStoredFormats) {
      const std::optional<BlockLayout> layout = layout_of(format);
      if (layout && index_of(*layout) == count) items[count++] = *layout;
    }
  }
  constexpr std::size_t index_of(const BlockLayout& layout) const {
    return std::find(items.begin(), items.begin() + count, layout) - items.begin();
  }
  constexpr const BlockLayout& operator[](std::size_t i) const { return items[i]; }
};
inline constexpr BlockLayouts kLayouts;

// Rows of x.
struct CodedRows {
  std::int64_t num_rows;
  std::int64_t steps;       // of 32 codes: those of a weight's row
  std::int8_t* codes;       // [num_rows, steps, 32]
  std::int16_t* pairs;      // the same, but 0 2 1 3 of each four
  float* scales;            // [num_rows, steps]
  std::int32_t (*sums)[2];  // [num_rows, steps]: of the first and the last 16 codes
};

// Of the codes of x to which scale `scale` of a step's applies. `halves`: an entry of CodedRows::sums.
constexpr std::int32_t sum_of_codes(const std::int32_t (&halves)[2], int scale, int num_scales) {
  return num_scales == 2 ? halves[scale] : halves[0] + halves[1];
}

struct BlockJob {
  CodedRows x;
  const PackedMatrix* weight;
  std::size_t layout;  // index in kLayouts
  int zero;            // the code of 0
  const Tensor* out;   // [num_rows, out]
};

void multiply_blocks(CpuContext& context, const Tensor& x, const PackedMatrix& weight, std::size_t layout, int zero,
                     const Tensor& out);

// Nothing for a format that has no such kernel.
const PackedKind* block_kind(StoredFormat format);

}  // namespace caudal
