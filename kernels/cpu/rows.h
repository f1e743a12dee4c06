// Splits an op over rows. Little work stays on the calling thread: handing it over costs a few microseconds,
// in which one core moves tens of kilobytes. How rows are cut never changes a row's result.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/cpu_context.h"
#include "kernels/tensor.h"

namespace caudal {

// Calls fn(begin, end) on ranges that cover the rows of `rows`, which stands for the memory the op moves.
template <typename Fn>
void for_rows(CpuContext& context, const Tensor& rows, const Fn& fn) {
  constexpr std::size_t kWorthAThread = 32 << 10;
  if (rows.bytes() < 2 * kWorthAThread) {
    if (rows.dim(0) > 0) fn(std::int64_t{0}, rows.dim(0));
    return;
  }
  context.parallel_for(rows.dim(0), fn);
}

}  // namespace caudal
