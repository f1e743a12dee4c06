// GGUF's block formats: a block of small whole numbers ("codes") with scales, taken apart. Value i of a block is
//   d * scales[i / s] * (codes[i] - zero) - m * mins[i / s]     every product and difference rounded to f32
// with s (values of one scale) and zero from the format's BlockCoding. The decoders are named in the table of
// stored_format.h. Specification: ggml's block layouts, as the Python package "gguf" reads them
// (tests/reference/blocks.json).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace caudal {

struct BlockCodes {
  static constexpr int kMaxValues = 256;
  std::uint16_t d = 0, m = 0;  // f16
  std::array<std::int8_t, 16> scales{1};
  std::array<std::uint8_t, 16> mins{1};
  std::array<std::uint8_t, kMaxValues> codes;
};

struct BlockCoding {
  int bits = 0;              // of a code; 0: values are stored as they are
  int values_per_scale = 0;  // s
  int zero = 0;              // the code that stands for 0, where there are no mins
  bool has_mins = false;     // else m is 0
  void (*decode)(const std::byte* block, BlockCodes& out) = nullptr;
  void (*encode)(const float* values, std::byte* block) = nullptr;  // where weights can be rounded to it
};

void decode_q8_0(const std::byte* block, BlockCodes& out);
void decode_q4_0(const std::byte* block, BlockCodes& out);
void decode_q4_1(const std::byte* block, BlockCodes& out);
void decode_q5_0(const std::byte* block, BlockCodes& out);
void decode_q5_1(const std::byte* block, BlockCodes& out);
void decode_q4_k(const std::byte* block, BlockCodes& out);
void decode_q5_k(const std::byte* block, BlockCodes& out);
void decode_q6_k(const std::byte* block, BlockCodes& out);

// The block of these 32 values, with the bytes that ggml's reference quantisers (quantize_row_q8_0_ref and
// quantize_row_q4_0_ref) write on x86-64: every operation is rounded to f32. A value that is not finite makes all
// values of its block NaN. Specification: tests/reference/rounded_blocks.json.
void encode_q8_0(const float* values, std::byte* block);
void encode_q4_0(const float* values, std::byte* block);

// The first values of a block.
void widen_codes(const BlockCoding& coding, const BlockCodes& codes, std::size_t num_values, float* out);
void widen_block(const BlockCoding& coding, const std::byte* block, std::size_t num_values, float* out);

}  // namespace caudal
