// The one sum behind every all_reduce on the CPU: rank 0 + rank 1 + ... element by element in f32, rounded
// once at the end. However a message is cut into pieces, the result has the same bits.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/tensor.h"

namespace caudal {

// parts[r] points at rank r's n elements of `dtype` (f32, bf16 or f16); out may be one of them.
void ordered_sum(DType dtype, std::span<const std::byte* const> parts, std::size_t n, std::byte* out);

// Elements [begin, end) that rank `r` of `size` sums when a message of n elements is divided.
struct Piece {
  std::size_t begin = 0;
  std::size_t end = 0;
};
inline Piece piece_of(std::size_t n, int r, int size) {
  const auto rank = static_cast<std::size_t>(r), ranks = static_cast<std::size_t>(size);
  return {n * rank / ranks, n * (rank + 1) / ranks};
}

// parts [size][rows, columns] one after another -> out [rows, size * columns] side by side.
void place_columns(const std::byte* parts, int size, std::size_t rows, std::size_t row_bytes, std::byte* out);

}  // namespace caudal
