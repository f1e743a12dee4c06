// The table of packed kinds.
#include "kernels/cpu/matmul/packed_kind.h"
#include "kernels/cpu/matmul/plain.h"

namespace caudal {

// A format without a kind is converted to values of x's dtype.
const PackedKind& packed_kind(StoredFormat, DType dtype) { return plain_kind(dtype); }

}  // namespace caudal
