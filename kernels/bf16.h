// bf16 as a storage type: the upper half of an f32. Arithmetic happens in f32; rounding is to nearest even,
// as in PyTorch. The SIMD twins of these functions are in kernels/cpu/simd-inl.h.
#pragma once

#include <bit>
#include <cstdint>

namespace caudal {

struct BF16 {
  std::uint16_t bits;
};

inline float to_float(BF16 value) { return std::bit_cast<float>(std::uint32_t{value.bits} << 16); }
inline float to_float(float value) { return value; }

inline BF16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (value != value) return {static_cast<std::uint16_t>((bits >> 16) | 0x40)};  // a quiet NaN stays one
  return {static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace caudal
