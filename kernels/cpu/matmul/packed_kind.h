// PackedKind: a way to pack a weight on the CPU, and to multiply by it. The table in packed_kinds.cpp says which stored
// formats have one of their own; CpuLinear (linear.h) knows kinds by this interface only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/cpu_context.h"
#include "kernels/linear.h"

namespace caudal {

// Columns of y = rows of the weight come in panels of 32, padded with zeros, each contiguous. What is in a panel is the
// kind's own matter.
inline constexpr std::int64_t kPanel = 32;

// Rows of a weight that are packed in one way; a view.
struct PackedMatrix {
  const std::byte* panels = nullptr;
  std::size_t panel_bytes = 0;
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  const float* bias = nullptr;  // [num_panels() * 32], 0 without one

  std::int64_t num_panels() const { return (out_features + kPanel - 1) / kPanel; }
  template <typename T = std::byte>
  const T* panel(std::int64_t i) const {
    return reinterpret_cast<const T*>(panels + i * panel_bytes);
  }
};

class PackedKind {
 public:
  virtual ~PackedKind() = default;

  virtual std::size_t panel_bytes(std::int64_t in_features) const = 0;  // a multiple of 64

  // Rows [first, first + count) of the parts, count <= 32, to a panel. Called by many threads, each with scratch.
  virtual void pack_panel(std::span<const StoredPart> parts, std::int64_t first, std::int64_t count, Scratch& scratch,
                          std::byte* panel) const = 0;

  // Column `column` of a panel, a row of the weight, as [in_features] values of `dtype`: those that were packed.
  virtual void read_column(const std::byte* panel, std::int64_t column, std::int64_t in_features, DType dtype,
                           std::byte* out) const = 0;

  // out = x W^T + b. x [num_tokens, in], out [num_tokens, out] of x's dtype or f32. Each value is one sum over k in a
  // fixed order, so a row has the same bits whatever the number of rows and threads.
  virtual void multiply(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) const = 0;
};

// For weights stored like that and x of `dtype`.
const PackedKind& packed_kind(StoredFormat format, DType dtype);

// Calls fn(begin, end, thread) on groups of panels: several per thread, which evens out what the machine does besides.
template <typename Fn>
void for_panels(CpuContext& context, std::int64_t num_panels, const Fn& fn) {
  const std::int64_t group = std::max<std::int64_t>(1, num_panels / (std::int64_t{8} * context.num_threads()));
  context.parallel_tasks((num_panels + group - 1) / group, [&](std::int64_t task, int thread) {
    fn(task * group, std::min(num_panels, (task + 1) * group), thread);
  });
}

}  // namespace caudal
