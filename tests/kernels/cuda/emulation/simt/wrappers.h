// One small kernel per wrapper of ptx_sm90.cuh that a matrix product or a copy is made of: every size of wgmma,
// operands from shared memory and registers, both orders of B; TMA in 3 and 4 dimensions; bulk copies.
#pragma once

#include <driver_types.h>

#include <array>
#include <cstdint>

#include "kernels/tensor.h"

namespace caudal::wrappers {

constexpr int kDepth = 64;

struct Product {
  DType dtype = DType::kBF16;  // or f16
  int n = 64;                  // 64, 80, 96, 128 or 256
  bool transpose_b = false;    // b is [kDepth, n], else [n, kDepth]
  bool a_in_registers = false;
};
// out [64, n] = a [64, kDepth] b. False when there is no such kernel.
bool wgmma_product(float* out, const std::uint16_t* a, const std::uint16_t* b, const Product& product,
                   cudaStream_t stream = nullptr);

// out = the box at `start` of a tensor of bf16 with these dimensions, innermost first; rank 3 or 4. What lies outside
// is 0.
struct Box {
  int rank = 3;
  std::array<std::int64_t, 4> dims{1, 1, 1, 1};
  std::array<std::uint32_t, 4> box{1, 1, 1, 1};
  std::array<int, 4> start{};
};
void copy_box(std::uint16_t* out, const std::uint16_t* tensor, const Box& box, cudaStream_t stream = nullptr);

// out [512] = x [512], by one bulk copy.
void copy_bulk(std::uint16_t* out, const std::uint16_t* x, cudaStream_t stream = nullptr);

}  // namespace caudal::wrappers
