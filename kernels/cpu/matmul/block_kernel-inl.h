// The products of block.h, compiled once per Highway target, and once more with VNNI (CAUDAL_VNNI). A panel is walked
// by a few rows and a few vectors of columns at a time; a lane of an integer vector is a column.
//
// No include guard: block_simd.cpp includes it again for each build, each in a namespace of its own (CAUDAL_BLOCKS).

#if CAUDAL_VNNI
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR_AVX3 ",avx512vnni")  // not inside another: clang takes the outer one
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace caudal::HWY_NAMESPACE::CAUDAL_BLOCKS {

using U8 = hn::Repartition<std::uint8_t, F32>;
using I16 = hn::Repartition<std::int16_t, F32>;
using U16x2 = hn::Repartition<std::uint16_t, F32>;
using VI32 = hn::Vec<I32>;
using VI16 = hn::Vec<I16>;
using VU8 = hn::Vec<U8>;

inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
inline constexpr int kPanelVectors = static_cast<int>(kPanel) / kLanes;
inline constexpr int kMaxRows = HWY_MAX_BYTES == 64 ? 8 : 4;
// Of columns, for so many rows at a time: eight sums of integers, or twice that with 32 registers.
template <int kRows>
inline constexpr int kVectors = std::clamp(8 / kRows, 2, kPanelVectors);

// One vector of codes of k group `kGroup`, or its bits from kShift on where kBits are left; `packed` at the first
// column.
template <int kBits, int kGroup, int kShift = 0>
HWY_INLINE VU8 load_codes(const std::uint8_t* packed) {
  const U8 d;
  const U16x2 dw;
  constexpr int kWidth = plane_width(kBits), kBit = kGroup * kWidth % 8;
  const VU8 plane = hn::LoadU(d, packed + kGroup * kWidth / 8 * kPlaneBytes);
  if constexpr (kWidth == 8) return plane;
  auto bits = hn::BitCast(dw, plane);
  if constexpr (kBit > kShift) bits = hn::ShiftRight<kBit - kShift>(bits);
  if constexpr (kBit < kShift) bits = hn::ShiftLeft<kShift - kBit>(bits);
  const auto mask = hn::Set(dw, ((1U << kWidth) - 1U) * 0x0101U << kShift);
  if constexpr (kWidth == kBits) return hn::BitCast(d, hn::And(bits, mask));
  const VU8 upper = load_codes<kBits - kWidth, kGroup, kShift + kWidth>(packed + kWidth * kPlaneBytes);
  return hn::BitCast(d, hn::OrAnd(hn::BitCast(dw, upper), bits, mask));
}

// The four codes of x at `p`, in each lane.
template <typename T>
HWY_INLINE hn::Vec<U32> broadcast(const T* p) {
  std::uint32_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return hn::Set(U32(), bits);
}

// How many k groups of products are added in 16 bits: as many as cannot overflow, at two products of a code and 127 for
// each. 0: none, where those of one may, or where VNNI adds in 32 bits.
constexpr int groups_in_word(const BlockLayout& layout) {
  if (CAUDAL_VNNI || HWY_TARGET == HWY_SSE4) return 0;
  const unsigned greatest = 2 * 127 * ((1U << layout.bits) - 1);
  return std::min(static_cast<int>(std::bit_floor(0x7FFF / greatest)), 8 / std::max(1, layout.scales_per_step));
}
template <BlockLayout kL>
inline constexpr int kGroupsInWord = groups_in_word(kL);
#if HWY_TARGET == HWY_AVX2
HWY_INLINE VI16 products(VU8 codes, const std::int8_t* x) {
  return VI16{_mm256_maddubs_epi16(codes.raw, broadcast(x).raw)};
}
HWY_INLINE VI32 add_words(VI32 sum, VI16 words) {
  return hn::Add(sum, VI32{_mm256_madd_epi16(words.raw, hn::Set(I16(), 1).raw)});
}
#elif HWY_TARGET == HWY_AVX3
HWY_INLINE VI16 products(VU8 codes, const std::int8_t* x) {
  return VI16{_mm512_maddubs_epi16(codes.raw, broadcast(x).raw)};
}
HWY_INLINE VI32 add_words(VI32 sum, VI16 words) {
  return hn::Add(sum, VI32{_mm512_madd_epi16(words.raw, hn::Set(I16(), 1).raw)});
}
#endif

#if CAUDAL_VNNI
HWY_INLINE VI32 add_product(VI32 sum, VU8 codes, const std::int8_t* x) {
  return VI32{_mm512_dpbusd_epi32(sum.raw, codes.raw, broadcast(x).raw)};
}
#else
// Codes 0 and 2 of each four, then 1 and 3, as 16 bits; x likewise.
HWY_INLINE VI32 add_product(VI32 sum, VU8 codes, const std::int16_t* x) {
  const I16 d;
  const auto words = hn::BitCast(U16x2(), codes);
  const auto even = hn::BitCast(d, hn::And(words, hn::Set(U16x2(), 0xFF))),
             odd = hn::BitCast(d, hn::ShiftRight<8>(words));
  VI32 unused = hn::Zero(I32());
  sum = hn::ReorderWidenMulAccumulate(I32(), even, hn::BitCast(d, broadcast(x)), sum, unused);
  return hn::ReorderWidenMulAccumulate(I32(), odd, hn::BitCast(d, broadcast(x + 2)), sum, unused);
}
#endif

// Sums of products of codes, for each scale of a step.
template <BlockLayout kL, int kRows>
struct StepSums {
  static constexpr int kScales = std::max(1, kL.scales_per_step);
  VI32 of[kScales][kRows][kVectors<kRows>];
  VI16 words[kRows][kVectors<kRows>];  // to be added
};

template <BlockLayout kL, int kRows, int kGroup>
HWY_INLINE void add_group(const BlockJob& job, std::int64_t x_step, const std::uint8_t* packed,
                          StepSums<kL, kRows>& sums) {
  constexpr int kScale = kL.scales_per_step == 2 ? kGroup / 4 : 0;
  VU8 codes[kVectors<kRows>];
  for (int v = 0; v < kVectors<kRows>; ++v) codes[v] = load_codes<kL.bits, kGroup>(packed + v * kLanes * 4);
  for (int r = 0; r < kRows; ++r) {
    const std::int64_t at = (x_step + r * job.x.steps) * kStep + kGroup * 4;
    for (int v = 0; v < kVectors<kRows>; ++v) {
      auto& sum = sums.of[kScale][r][v];
      if constexpr (kGroupsInWord<kL> > 0) {
        auto& words = sums.words[r][v];
        const auto more = products(codes[v], job.x.codes + at);
        words = kGroup % kGroupsInWord<kL> == 0 ? more : hn::Add(words, more);
        if ((kGroup + 1) % kGroupsInWord<kL> == 0) sum = add_words(sum, words);
      } else if constexpr (CAUDAL_VNNI) {
        sum = add_product(sum, codes[v], job.x.codes + at);
      } else {
        sum = add_product(sum, codes[v], job.x.pairs + at);
      }
    }
  }
}

// The codes of a zero are `zero`: begins with what they add too much.
template <BlockLayout kL, int kRows>
HWY_INLINE void begin_sums(const BlockJob& job, std::int64_t x_step, StepSums<kL, kRows>& sums) {
  const I32 d;
  for (int r = 0; r < kRows; ++r) {
    for (int s = 0; s < sums.kScales; ++s) {
      const std::int32_t sum = sum_of_codes(job.x.sums[x_step + r * job.x.steps], s, sums.kScales);
      for (int v = 0; v < kVectors<kRows>; ++v) sums.of[s][r][v] = hn::Set(d, -job.zero * sum);
    }
  }
}

template <typename T>
HWY_INLINE V32 load_bytes(const std::uint8_t* p) {
  const hn::Rebind<T, F32> d;
  return hn::ConvertTo(F32(), hn::PromoteTo(I32(), hn::LoadU(d, reinterpret_cast<const T*>(p))));
}
HWY_INLINE V32 load_halves(const std::uint8_t* p) {
  return hn::PromoteTo(F32(), hn::LoadU(hn::Rebind<hwy::float16_t, F32>(), reinterpret_cast<const hwy::float16_t*>(p)));
}

// total += scale of x * scale of the weight * sum, - scale of x * sum of x * min. `scales` of the step, at the first
// column.
template <BlockLayout kL, int kRows>
HWY_INLINE void add_step(const BlockJob& job, std::int64_t x_step, const std::uint8_t* header,
                         const std::uint8_t* scales, const StepSums<kL, kRows>& sums,
                         V32 (&total)[kRows][kVectors<kRows>]) {
  const F32 d;
  for (int v = 0; v < kVectors<kRows>; ++v) {
    const V32 whole = load_halves(header + v * kLanes * 2);
    for (int s = 0; s < sums.kScales; ++s) {
      V32 scale = whole;
      if constexpr (kL.scales_per_step > 0)
        scale = hn::Mul(whole, load_bytes<std::int8_t>(scales + s * kPanel + v * kLanes));
      for (int r = 0; r < kRows; ++r) {
        const V32 both = hn::Mul(scale, hn::Set(d, job.x.scales[x_step + r * job.x.steps]));
        total[r][v] = hn::Add(total[r][v], hn::Mul(both, hn::ConvertTo(d, sums.of[s][r][v])));
      }
    }
    for (int s = 0; kL.mins && s < sums.kScales; ++s) {
      V32 min = load_halves(header + (kPanel + v * kLanes) * 2);
      if constexpr (kL.scales_per_step > 0)
        min = hn::Mul(min, load_bytes<std::uint8_t>(scales + (sums.kScales + s) * kPanel + v * kLanes));
      for (int r = 0; r < kRows; ++r) {
        const std::int64_t at = x_step + r * job.x.steps;
        const float sum = job.x.scales[at] * static_cast<float>(sum_of_codes(job.x.sums[at], s, sums.kScales));
        total[r][v] = hn::Sub(total[r][v], hn::Mul(min, hn::Set(d, sum)));
      }
    }
  }
}

template <BlockLayout kL>
HWY_INLINE void prefetch_step(const std::uint8_t* packed) {
  constexpr std::int64_t kAhead = 2 << 10;
  for (std::int64_t i = 0; i < kL.step_bytes(); i += 64) hwy::Prefetch(packed + kAhead + i);
}

// Rows [row, row + kRows) by kVectors vectors of columns from `column` on.
template <BlockLayout kL, int kRows>
HWY_INLINE void accumulate(const BlockJob& job, std::int64_t row, const std::uint8_t* panel, std::int64_t column,
                           V32 (&total)[kRows][kVectors<kRows>]) {
  std::int64_t x_step = row * job.x.steps;
  for (std::int64_t step = 0; step < job.x.steps; panel += kL.block_bytes()) {
    const std::uint8_t* packed = panel + kL.header_bytes();
    for (int i = 0; i < kL.steps; ++i, ++step, ++x_step, packed += kL.step_bytes()) {
      if (row == 0 && column == 0) prefetch_step<kL>(packed);
      const std::uint8_t* codes = packed + kL.scale_bytes() + column * 4;
      StepSums<kL, kRows> sums;
      begin_sums<kL, kRows>(job, x_step, sums);
      add_group<kL, kRows, 0>(job, x_step, codes, sums);
      add_group<kL, kRows, 1>(job, x_step, codes, sums);
      add_group<kL, kRows, 2>(job, x_step, codes, sums);
      add_group<kL, kRows, 3>(job, x_step, codes, sums);
      add_group<kL, kRows, 4>(job, x_step, codes, sums);
      add_group<kL, kRows, 5>(job, x_step, codes, sums);
      add_group<kL, kRows, 6>(job, x_step, codes, sums);
      add_group<kL, kRows, 7>(job, x_step, codes, sums);
      add_step<kL, kRows>(job, x_step, panel + column * 2, packed + column, sums, total);
    }
  }
}

// The bias added, to rows of f32 or bf16.
template <int kRows>
HWY_INLINE void write(const BlockJob& job, std::int64_t row, std::int64_t first, std::int64_t columns,
                      const V32 (&total)[kRows][kVectors<kRows>]) {
  const F32 d;
  for (int v = 0; v < kVectors<kRows> && v * kLanes < columns; ++v) {
    const std::int64_t column = first + v * kLanes, left = columns - v * kLanes;
    const V32 bias = hn::LoadU(d, job.weight->bias + column);
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t at = (row + r) * job.out->stride0() + column;
      const V32 value = hn::Add(total[r][v], bias);
      job.out->dtype() == DType::kF32 ? store(value, d, job.out->as<float>() + at, left)
                                      : store(value, d, job.out->as<BF16>() + at, left);
    }
  }
}

template <BlockLayout kL, int kRows>
void micro_kernel(const BlockJob& job, std::int64_t row, std::int64_t panel) {
  const F32 d;
  const PackedMatrix& weight = *job.weight;
  const std::int64_t columns = std::min(kPanel, weight.out_features - panel * kPanel);
  for (std::int64_t column = 0; column < columns; column += kVectors<kRows> * kLanes) {
    V32 total[kRows][kVectors<kRows>];
    for (auto& row_total : total)
      for (V32& each : row_total) each = hn::Zero(d);
    accumulate<kL, kRows>(job, row, weight.panel<std::uint8_t>(panel), column, total);
    write(job, row, panel * kPanel + column, columns - column, total);
  }
}

// Rows from `row` on, kRows at a time, the rest fewer at a time.
template <BlockLayout kL, int kRows>
void panel_rows(const BlockJob& job, std::int64_t row, std::int64_t panel) {
  for (; row + kRows <= job.x.num_rows; row += kRows) micro_kernel<kL, kRows>(job, row, panel);
  if constexpr (kRows > 1) panel_rows<kL, kRows / 2>(job, row, panel);
}

template <BlockLayout kL>
void panels_loop(const BlockJob& job, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; ++panel) panel_rows<kL, kMaxRows>(job, 0, panel);
}

template <std::size_t... kIndex>
void choose(const BlockJob& job, std::int64_t begin, std::int64_t end, std::index_sequence<kIndex...>) {
  ((job.layout == kIndex ? panels_loop<kLayouts[kIndex]>(job, begin, end) : void()), ...);
}

void panels(const BlockJob& job, std::int64_t begin, std::int64_t end) {
  choose(job, begin, end, std::make_index_sequence<kLayouts.count>());
}

}  // namespace caudal::HWY_NAMESPACE::CAUDAL_BLOCKS
#if CAUDAL_VNNI
HWY_POP_ATTRIBUTES
#else
HWY_AFTER_NAMESPACE();
#endif
