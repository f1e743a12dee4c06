#include "worker/comm/ordered_sum.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/half_float.h"

namespace caudal {

void ordered_sum(DType dtype, std::span<const std::byte* const> parts, std::size_t n, std::byte* out) {
  constexpr std::size_t kTile = 1024;  // two f32 tiles stay in the first-level cache
  std::array<float, kTile> sum;
  std::array<float, kTile> next;
  for (std::size_t begin = 0; begin < n; begin += kTile) {
    const std::size_t count = std::min(kTile, n - begin);
    const std::size_t offset = begin * dtype_bytes(dtype);
    widen(dtype, parts[0] + offset, count, sum.data());
    for (std::size_t r = 1; r < parts.size(); ++r) {
      widen(dtype, parts[r] + offset, count, next.data());
      for (std::size_t i = 0; i < count; ++i) sum[i] += next[i];
    }
    narrow(dtype, sum.data(), count, out + offset);
  }
}

void place_columns(const std::byte* parts, int size, std::size_t rows, std::size_t row_bytes, std::byte* out) {
  for (std::size_t r = 0; r < static_cast<std::size_t>(size); ++r) {
    for (std::size_t row = 0; row < rows; ++row) {
      std::memcpy(out + (row * static_cast<std::size_t>(size) + r) * row_bytes, parts + (r * rows + row) * row_bytes,
                  row_bytes);
    }
  }
}

}  // namespace caudal
