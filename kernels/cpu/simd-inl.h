// Vector loads and stores of f32 and bf16 rows, compiled once per Highway target. A row is walked in steps of
// Lanes(d); `left` is what remains, so the last step may be short. The order of operations depends on the
// row's length only, which keeps a row's result independent of its neighbours.
#if defined(CAUDAL_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CAUDAL_KERNELS_CPU_SIMD_INL_H_
#undef CAUDAL_KERNELS_CPU_SIMD_INL_H_
#else
#define CAUDAL_KERNELS_CPU_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/half_float.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using V32 = hn::Vec<F32>;
using U32 = hn::Rebind<std::uint32_t, F32>;
using I32 = hn::Rebind<std::int32_t, F32>;
using U16 = hn::Rebind<std::uint16_t, F32>;

HWY_INLINE V32 load_full(F32 d, const float* p) { return hn::LoadU(d, p); }
HWY_INLINE V32 load_full(F32 d, const BF16* p) {
  const auto bits = hn::PromoteTo(U32(), hn::LoadU(U16(), reinterpret_cast<const std::uint16_t*>(p)));
  return hn::BitCast(d, hn::ShiftLeft<16>(bits));
}

HWY_INLINE V32 load_full(F32 d, const hwy::float16_t* p) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::float16_t, F32>(), p));
}

HWY_INLINE void store_full(V32 v, F32 d, float* p) { hn::StoreU(v, d, p); }
HWY_INLINE void store_full(V32 v, F32 d, BF16* p) {
  const U32 du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFF))));
  const auto quiet_nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(du, 0x40));
  const auto half = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet_nan, rounded);
  hn::StoreU(hn::DemoteTo(U16(), hn::BitCast(I32(), half)), U16(), reinterpret_cast<std::uint16_t*>(p));
  (void)d;
}

// Values past f16's range become the greatest ones.
HWY_INLINE void store_full(V32 v, F32 d, hwy::float16_t* p) {
  const V32 greatest = hn::Set(d, 65504.0F);
  const V32 in_range = hn::IfThenElse(hn::IsNaN(v), v, hn::Max(hn::Neg(greatest), hn::Min(v, greatest)));
#if HWY_TARGET <= HWY_AVX2
  hn::StoreU(hn::DemoteTo(hn::Rebind<hwy::float16_t, F32>(), in_range), hn::Rebind<hwy::float16_t, F32>(), p);
#else  // Highway's own cuts off there
  float values[hn::MaxLanes(F32())];
  hn::StoreU(in_range, d, values);
  narrow(DType::kF16, values, hn::MaxLanes(F32()), p);
#endif
}

// Elements past `left` read as `pad` (0 unless told) and are not written.
template <typename T>
HWY_INLINE V32 load(F32 d, const T* p, std::int64_t left, T pad = T{}) {
  constexpr std::int64_t kMaxLanes = HWY_MAX_BYTES / 4;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (HWY_LIKELY(left >= lanes)) return load_full(d, p);
  T buffer[kMaxLanes];
  for (std::int64_t i = 0; i < lanes; ++i) buffer[i] = i < left ? p[i] : pad;
  return load_full(d, buffer);
}

template <typename T>
HWY_INLINE void store(V32 v, F32 d, T* p, std::int64_t left) {
  constexpr std::int64_t kMaxLanes = HWY_MAX_BYTES / 4;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  if (HWY_LIKELY(left >= lanes)) return store_full(v, d, p);
  T buffer[kMaxLanes];
  store_full(v, d, buffer);
  for (std::int64_t i = 0; i < lanes; ++i) {
    if (i < left) p[i] = buffer[i];
  }
}

// What storing as T and loading again would give.
template <typename T>
HWY_INLINE V32 round_to(F32 d, V32 v) {
  if constexpr (sizeof(T) == sizeof(float)) return v;
  const U32 du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::And(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFF))), hn::Set(du, 0xFFFF0000U));
  return hn::IfThenElse(hn::IsNaN(v), v, hn::BitCast(d, rounded));
}

// e^x to 3e-7 of itself, 0 below -87; x <= 88. About a third of the instructions of hn::Exp, which also
// covers denormals. x = n ln 2 + r: adding 1.5 * 2^23 rounds to the integer n and leaves it in the low bits,
// ready to be added to the exponent of e^r (Taylor, |r| < 0.35).
HWY_INLINE V32 exp(F32 d, V32 x) {
  const U32 du;
  const V32 shifter = hn::Set(d, 12582912.0F);
  const V32 shifted = hn::MulAdd(x, hn::Set(d, 1.44269504F), shifter);
  const V32 n = hn::Sub(shifted, shifter);
  V32 r = hn::NegMulAdd(n, hn::Set(d, 0.693359375F), x);  // ln 2 in two parts: n times the first is exact
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4F), r);
  V32 y = hn::MulAdd(hn::Set(d, 1.0F / 720), r, hn::Set(d, 1.0F / 120));
  y = hn::MulAdd(y, r, hn::Set(d, 1.0F / 24));
  y = hn::MulAdd(y, r, hn::Set(d, 1.0F / 6));
  y = hn::MulAdd(y, r, hn::Set(d, 0.5F));
  y = hn::MulAdd(y, r, hn::Set(d, 1.0F));
  y = hn::MulAdd(y, r, hn::Set(d, 1.0F));
  const auto bits = hn::Add(hn::BitCast(du, y), hn::ShiftLeft<23>(hn::BitCast(du, shifted)));
  return hn::IfThenElseZero(hn::Ge(x, hn::Set(d, -87.0F)), hn::BitCast(d, bits));
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
