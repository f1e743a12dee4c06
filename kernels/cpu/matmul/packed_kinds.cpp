// The table of packed kinds.
#include "kernels/cpu/matmul/block.h"
#include "kernels/cpu/matmul/plain.h"
#include "kernels/cpu/matmul/q8_0.h"

namespace caudal {

// A format without a kind is converted to values of x's dtype.
const PackedKind& packed_kind(StoredFormat format, DType dtype) {
  if (format == StoredFormat::kQ8_0) return q8_0_kind();
  const PackedKind* blocks = block_kind(format);
  return blocks == nullptr ? plain_kind(dtype) : *blocks;
}

}  // namespace caudal
