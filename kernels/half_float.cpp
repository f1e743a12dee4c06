#include "kernels/half_float.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace caudal {
namespace {

// Elements converted at a time: the f32 copy stays in the first-level cache.
constexpr std::size_t kTile = 1024;

template <typename T>
T load(const void* source, std::size_t i) {
  T value;
  std::memcpy(&value, static_cast<const std::byte*>(source) + i * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void store(void* destination, std::size_t i, T value) {
  std::memcpy(static_cast<std::byte*>(destination) + i * sizeof(T), &value, sizeof(T));
}

}  // namespace

float f16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13);
  // The same bits read as f32 are the value times 2^-112, subnormals included.
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

std::uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000U) {
    half = 0x7E00U;  // NaN
  } else if (magnitude >= 0x477FF000U) {
    half = 0x7C00U;  // rounds past 65504
  } else if (magnitude < 0x38800000U) {
    // Below 2^-14: adding 2^-1 leaves the subnormal's bits, rounded to even, at the low end of the sum.
    half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3F000000U;
  } else {
    half = (magnitude - 0x38000000U + 0xFFFU + (magnitude >> 13 & 1U)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | half);
}

float bf16_to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  const std::uint32_t quiet_nan = bits >> 16 | 0x40U;
  return static_cast<std::uint16_t>((bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet_nan : rounded);
}

void widen(DType dtype, const void* source, std::size_t n, float* destination) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(destination, source, n * sizeof(float));
      return;
    case DType::kBF16:
      for (std::size_t i = 0; i < n; ++i) destination[i] = bf16_to_float(load<std::uint16_t>(source, i));
      return;
    case DType::kF16:
      for (std::size_t i = 0; i < n; ++i) destination[i] = f16_to_float(load<std::uint16_t>(source, i));
      return;
    case DType::kI32:
      break;
  }
  CHECK_MSG(false, "only floats widen");
}

void narrow(DType dtype, const float* source, std::size_t n, void* destination) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(destination, source, n * sizeof(float));
      return;
    case DType::kBF16:
      for (std::size_t i = 0; i < n; ++i) store(destination, i, float_to_bf16(source[i]));
      return;
    case DType::kF16:
      for (std::size_t i = 0; i < n; ++i) store(destination, i, float_to_f16(source[i]));
      return;
    case DType::kI32:
      break;
  }
  CHECK_MSG(false, "only floats narrow");
}

void convert(DType from, const void* source, std::size_t n, DType to, void* destination) {
  if (from == to) {
    std::memcpy(destination, source, n * dtype_bytes(from));
    return;
  }
  std::array<float, kTile> tile;
  for (std::size_t begin = 0; begin < n; begin += kTile) {
    const std::size_t count = std::min(kTile, n - begin);
    widen(from, static_cast<const std::byte*>(source) + begin * dtype_bytes(from), count, tile.data());
    narrow(to, tile.data(), count, static_cast<std::byte*>(destination) + begin * dtype_bytes(to));
  }
}

}  // namespace caudal
