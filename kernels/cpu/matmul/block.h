// Weights computed in the codes that they are stored in (kernels/block_codes.h), by rows of x that are rounded to 8
// bits: each 32 values of a row become codes of -127 to 127 and one f32 scale, whatever rows are beside it. Products of
// codes are summed in integers, exactly; scales are applied in f32, step by step in the order of k. So all instruction
// sets give the same bits.
//
// A panel has its blocks one after the other. A block:
//   d     f16  [32]                          per column
//   m     f16  [32]                          with mins
//   then for each step of 32 k (one step in blocks of 32 values, eight in those of 256):
//   scales i8  [scales per step][32]         of blocks of 256
//   mins   u8  [32]                          of blocks of 256 with mins
//   codes  u8  [8 groups][32][4]             k group, column, k in the group: codes of 8 bits; else
//          u8  [4][32][4]                    lower 4 bits of group g in the lower half, of g + 4 in the upper, then
//          u8  [32][4]                       bit g: the fifth bit of group g; or
//          u8  [2][32][4]                    bits 2 g and 2 g + 1: the upper bits of group g, and of g + 4
#pragma once

#include <optional>

#include "kernels/cpu/matmul/packed_kind.h"
#include "kernels/stored_format.h"

namespace caudal {

inline constexpr std::int64_t kStep = 32;

struct BlockLayout {
  int bits;             // of a code
  bool mins;            // a minimum beside each scale
  int scales_per_step;  // 0: d is the only scale
  int steps;            // of a block

  bool operator==(const BlockLayout&) const = default;
  constexpr std::int64_t header_bytes() const { return kPanel * (mins ? 4 : 2); }
  constexpr std::int64_t scale_bytes() const { return kPanel * (scales_per_step + (scales_per_step > 0 && mins)); }
  constexpr std::int64_t code_bytes() const { return bits == 8 ? 1024 : 512 + 128 * (bits - 4); }
  constexpr std::int64_t step_bytes() const { return scale_bytes() + code_bytes(); }
  constexpr std::int64_t block_bytes() const { return header_bytes() + steps * step_bytes(); }
};

// Those that have kernels.
inline constexpr BlockLayout kLayouts[] = {{8, false, 0, 1}, {4, false, 0, 1}, {4, true, 0, 1}, {5, false, 0, 1},
                                           {5, true, 0, 1},  {4, true, 1, 8},  {5, true, 1, 8}, {6, false, 2, 8}};

// Rows of x.
struct CodedRows {
  std::int64_t num_rows;
  std::int64_t steps;       // of 32 codes: those of a weight's row
  std::int8_t* codes;       // [num_rows, steps, 32]
  std::int16_t* pairs;      // the same, but 0 2 1 3 of each four
  float* scales;            // [num_rows, steps]
  std::int32_t (*sums)[2];  // [num_rows, steps]: of the first and the last 16 codes
};

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
