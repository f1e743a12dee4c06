// silu(gate) * up, the activation of the Llama-family MLP (Shazeer, arXiv 2002.05202). In bf16 silu(gate) is
// rounded before the product, as transformers computes it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/silu.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/highway.h>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

// x / (1 + e^-x). The reciprocal is an estimate and one Newton step: 3e-7, and half the time of a division.
// Below -87 e^-x would leave the range of f32, and the result is 0 to within 1e-35; NaN stays NaN.
HWY_INLINE V32 silu(F32 d, V32 x) {
  const V32 lowest = hn::Set(d, -87.0F);
  const V32 denominator = hn::Add(hn::Set(d, 1.0F), exp(d, hn::Min(hn::Neg(x), hn::Neg(lowest))));
  const V32 estimate = hn::ApproximateReciprocal(denominator);
  const V32 sigmoid = hn::Mul(estimate, hn::NegMulAdd(denominator, estimate, hn::Set(d, 2.0F)));
  return hn::IfThenZeroElse(hn::Lt(x, lowest), hn::Mul(x, sigmoid));
}

// gate, up, out [intermediate]
template <typename T>
void silu_and_mul_row(const T* gate, const T* up, std::int64_t intermediate, T* out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < intermediate; i += lanes) {
    const V32 activated = round_to<T>(d, silu(d, load(d, gate + i, intermediate - i)));
    store(hn::Mul(activated, load(d, up + i, intermediate - i)), d, out + i, intermediate - i);
  }
}

template <typename T>
void silu_and_mul_rows(const Tensor& gate_up, const Tensor& out, std::int64_t begin, std::int64_t end) {
  const std::int64_t intermediate = out.dim(1);
  for (std::int64_t row = begin; row < end; ++row) {
    const T* gate = gate_up.as<T>() + row * gate_up.stride0();
    silu_and_mul_row(gate, gate + intermediate, intermediate, out.as<T>() + row * out.stride0());
  }
}

void silu_and_mul_any(const Tensor& gate_up, const Tensor& out, std::int64_t begin, std::int64_t end) {
  if (out.dtype() == DType::kBF16) return silu_and_mul_rows<BF16>(gate_up, out, begin, end);
  silu_and_mul_rows<float>(gate_up, out, begin, end);
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {

HWY_EXPORT(silu_and_mul_any);

void compute(CpuContext& context, const op::SiluAndMul& o) {
  for_rows(context, o.out, [&](std::int64_t begin, std::int64_t end) {
    CAUDAL_SIMD(context, silu_and_mul_any)(o.gate_up, o.out, begin, end);
  });
}

}  // namespace caudal
#endif  // HWY_ONCE
