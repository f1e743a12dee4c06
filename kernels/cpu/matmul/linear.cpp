// Matmuls of the CPU: the choice of the kernel.
#include "kernels/cpu/matmul/linear.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_ops.h"

namespace caudal {

std::size_t CpuBackend::packed_bytes(const LinearShape& shape) const {
  return CpuLinear(shape.dtype, shape.out_features, shape.in_features).packed_bytes();
}

Result<std::unique_ptr<Linear>> CpuBackend::pack_linear(const LinearSource& source) {
  CHECK(computes_in(source.dtype));
  return CpuLinear::pack(source);
}

void compute(CpuContext& context, const op::Matmul& o) {
  const auto& weight = static_cast<const CpuLinear&>(*o.weight);  // made by pack_linear above
  if (o.x.dim(0) == 0) return;
  const bool amx = context.isa() >= Isa::kAmx && weight.compute_dtype() == DType::kBF16;
  amx ? linear_amx(context, o.x, weight, o.out) : linear_simd(context, o.x, weight, o.out);
}

}  // namespace caudal
