// Rows of 16-bit and 32-bit floats, converted through f32. For loading and for sums across ranks, which
// are host work on any device; ops on the device have their own (kernels).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tensor.h"

namespace caudal {

float f16_to_float(std::uint16_t bits);    // exact, with subnormals, infinities and NaN
std::uint16_t float_to_f16(float value);   // to nearest, ties to even; overflow becomes infinity
float bf16_to_float(std::uint16_t bits);   // exact
std::uint16_t float_to_bf16(float value);  // to nearest, ties to even

// n elements. `source` and `destination` may be unaligned. kF32, kBF16 and kF16 only.
void widen(DType dtype, const void* source, std::size_t n, float* destination);
void narrow(DType dtype, const float* source, std::size_t n, void* destination);

// n elements from one dtype to another: a copy where they are equal, else widen and narrow.
void convert(DType from, const void* source, std::size_t n, DType to, void* destination);

}  // namespace caudal
