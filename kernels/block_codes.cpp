#include "kernels/block_codes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/half_float.h"

namespace caudal {
namespace {

std::uint8_t byte_at(const std::byte* block, std::size_t i) { return std::to_integer<std::uint8_t>(block[i]); }

std::uint16_t half_at(const std::byte* block, std::size_t i) {
  std::uint16_t bits;
  std::memcpy(&bits, block + i, sizeof bits);
  return bits;
}

std::uint8_t low(const std::byte* packed, std::size_t i) { return byte_at(packed, i) & 15U; }
std::uint8_t high(const std::byte* packed, std::size_t i) { return byte_at(packed, i) >> 4U; }

// Bits [shift, shift + count) of byte i, as the bits of a code from 4 on.
template <unsigned kCount>
std::uint8_t upper(const std::byte* packed, std::size_t i, std::size_t shift) {
  return static_cast<std::uint8_t>((byte_at(packed, i) >> shift & ((1U << kCount) - 1U)) << 4U);
}

// 16 bytes: values 0 to 15 in the lower halves, 16 to 31 in the upper ones.
void read_nibbles(const std::byte* packed, BlockCodes& out) {
  for (std::size_t i = 0; i < 16; ++i) {
    out.codes[i] = low(packed, i);
    out.codes[i + 16] = high(packed, i);
  }
}

// 4 bytes: the fifth bits of 32 values, in their order.
void add_fifth_bits(const std::byte* packed, BlockCodes& out) {
  for (std::size_t i = 0; i < 32; ++i) out.codes[i] |= upper<1>(packed, i / 8, i % 8);
}

// 12 bytes: eight scales and eight mins of 6 bits. The first four of each lie in the lower 6 bits of bytes 0 to 3 and 4
// to 7; the last four have their lower 4 bits in bytes 8 to 11 and their upper 2 above those of the first four.
void read_scales_of_6_bits(const std::byte* packed, BlockCodes& out) {
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint8_t scale = byte_at(packed, i), min = byte_at(packed, i + 4);
    out.scales[i] = static_cast<std::int8_t>(scale & 63U);
    out.mins[i] = min & 63U;
    out.scales[i + 4] = static_cast<std::int8_t>(low(packed, i + 8) | (scale >> 6U) << 4U);
    out.mins[i + 4] = static_cast<std::uint8_t>(high(packed, i + 8) | (min >> 6U) << 4U);
  }
}

// 128 bytes: pieces of 64 values, the first 32 of them in the lower halves of 32 bytes.
void read_nibbles_of_64(const std::byte* packed, BlockCodes& out) {
  for (std::size_t i = 0; i < 128; ++i) {
    out.codes[i / 32 * 64 + i % 32] = low(packed, i);
    out.codes[i / 32 * 64 + i % 32 + 32] = high(packed, i);
  }
}

// --- Rounding ---

constexpr int kRoundedValues = 32;  // of a block

// The value farthest from zero, the first of several. Bits order magnitudes as values do, and NaN above all.
float farthest_from_zero(const float* values) {
  std::uint32_t largest = 0;
  float found = 0.0F;
  for (int i = 0; i < kRoundedValues; ++i) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(values[i]) & 0x7FFFFFFFU;
    if (magnitude <= largest) continue;
    largest = magnitude;
    found = values[i];
  }
  return found;
}

// Writes the scale; returns what values are multiplied with, or 0 where every code must be that of zero.
float write_scale(float d, std::byte* block) {
  const std::uint16_t half = float_to_f16(d);
  std::memcpy(block, &half, sizeof half);
  const float inverse = 1.0F / d;
  return std::isfinite(d) && std::isfinite(inverse) ? inverse : 0.0F;
}

// To nearest, halves away from zero; what is subtracted and added here is exact.
int round_away(float value) {
  const int whole = static_cast<int>(value);
  const float rest = value - static_cast<float>(whole);
  return whole + static_cast<int>(rest >= 0.5F) - static_cast<int>(rest <= -0.5F);
}

}  // namespace

void decode_q8_0(const std::byte* block, BlockCodes& out) {
  out.d = half_at(block, 0);
  for (std::size_t i = 0; i < 32; ++i) out.codes[i] = byte_at(block, 2 + i) ^ 0x80U;
}

void decode_q4_0(const std::byte* block, BlockCodes& out) {
  out.d = half_at(block, 0);
  read_nibbles(block + 2, out);
}

// Adds m: subtracts its opposite.
void decode_q4_1(const std::byte* block, BlockCodes& out) {
  out.d = half_at(block, 0);
  out.m = half_at(block, 2) ^ 0x8000U;
  read_nibbles(block + 4, out);
}

void decode_q5_0(const std::byte* block, BlockCodes& out) {
  out.d = half_at(block, 0);
  read_nibbles(block + 6, out);
  add_fifth_bits(block + 2, out);
}

void decode_q5_1(const std::byte* block, BlockCodes& out) {
  out.d = half_at(block, 0);
  out.m = half_at(block, 2) ^ 0x8000U;
  read_nibbles(block + 8, out);
  add_fifth_bits(block + 4, out);
}

void decode_q4_k(const std::byte* block, BlockCodes& out) {
  out.d = half_at(block, 0);
  out.m = half_at(block, 2);
  read_scales_of_6_bits(block + 4, out);
  read_nibbles_of_64(block + 16, out);
}

// Byte i of the fifth bits has those of values i, i + 32, ..., i + 224.
void decode_q5_k(const std::byte* block, BlockCodes& out) {
  out.d = half_at(block, 0);
  out.m = half_at(block, 2);
  read_scales_of_6_bits(block + 4, out);
  read_nibbles_of_64(block + 48, out);
  for (std::size_t i = 0; i < 256; ++i) out.codes[i] |= upper<1>(block + 16, i % 32, i / 32);
}

// Two pieces of 128 values. Each has 64 bytes of lower 4 bits (values 0 to 63 in the lower halves) and 32 bytes of
// upper 2 bits (values i, i + 32, i + 64 and i + 96 in byte i).
void decode_q6_k(const std::byte* block, BlockCodes& out) {
  std::memcpy(out.scales.data(), block + 192, 16);
  out.d = half_at(block, 208);
  for (std::size_t i = 0; i < 256; ++i) {
    const std::size_t piece = i / 128, k = i % 128;
    const std::byte* nibbles = block + piece * 64;
    out.codes[i] = k < 64 ? low(nibbles, k) : high(nibbles, k - 64);
    out.codes[i] |= upper<2>(block + 128 + piece * 32, k % 32, k / 32 * 2);
  }
}

void encode_q8_0(const float* values, std::byte* block) {
  const float inverse = write_scale(std::abs(farthest_from_zero(values)) / 127.0F, block);
  for (int i = 0; i < kRoundedValues; ++i)
    block[2 + i] = static_cast<std::byte>(inverse == 0.0F ? 0 : round_away(values[i] * inverse));
}

// The value farthest from zero gets the code 0, which stands for -8.
void encode_q4_0(const float* values, std::byte* block) {
  const float inverse = write_scale(farthest_from_zero(values) / -8.0F, block);
  const auto code = [&](int i) {
    return inverse == 0.0F ? 8 : std::min(15, static_cast<int>(values[i] * inverse + 8.5F));
  };
  for (int i = 0; i < kRoundedValues / 2; ++i)
    block[2 + i] = static_cast<std::byte>(code(i) | code(i + kRoundedValues / 2) << 4);
}

void widen_codes(const BlockCoding& coding, const BlockCodes& codes, std::size_t num_values, float* out) {
  const float d = f16_to_float(codes.d), m = f16_to_float(codes.m);
  const std::size_t values_per_scale = coding.values_per_scale;
  for (std::size_t i = 0; i < num_values; ++i) {
    const std::size_t s = i / values_per_scale;
    const float scale = d * static_cast<float>(codes.scales[s]), min = m * static_cast<float>(codes.mins[s]);
    out[i] = scale * static_cast<float>(codes.codes[i] - coding.zero) - min;
  }
}

void widen_block(const BlockCoding& coding, const std::byte* block, std::size_t num_values, float* out) {
  BlockCodes codes;
  coding.decode(block, codes);
  widen_codes(coding, codes, num_values, out);
}

}  // namespace caudal
