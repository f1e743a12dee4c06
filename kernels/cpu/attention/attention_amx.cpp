// bf16 attention on AMX. For one KV tile of 64 tokens and 16 queries:
//
//   S^T [64 tokens][16 queries] = K Q^T       A = rows of the cache as they lie, B = packed queries
//   P   = exp2(S^T - maximum), vertically     queries are lanes, so no reduction crosses them
//   O^T [head_dim][16 queries] += V^T P       A = V transposed once per task, B = P as pairs of tokens
//
// The KV tile's scores (4 KiB), P (2 KiB), V^T and O^T stay in L1. Exponentials, not products, are most of the time,
// so the exponent is folded into one multiply and a polynomial of degree 5.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/amx.h"
#include "kernels/cpu/attention/attention.h"

namespace caudal {
namespace {

constexpr float kLog2E = 1.44269504F;

std::int64_t padded_depth(std::int64_t head_dim) { return (head_dim + amx::kDepth - 1) / amx::kDepth * amx::kDepth; }

// 2^x for x <= 0: split into integer and a fraction in [-0.5, 0.5], Taylor series of the fraction (relative error
// 3e-6, far below bf16), integer added to the exponent bits. Exactly 1 at 0 and exactly 0 from -125 down, -inf
// included: what a masked key adds must be nothing, and what an unchanged maximum rescales must stay. No denormals on
// the way: vscalefps, which would be shorter, takes hundreds of cycles for each.
CAUDAL_AMX_INLINE __m512 exp2_negative(__m512 x) {
  const __m512 lowest = _mm512_set1_ps(-125.0F);
  const __mmask16 normal = _mm512_cmp_ps_mask(x, lowest, _CMP_GT_OQ);
  x = _mm512_max_ps(x, lowest);
  const __m512 integer = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 fraction = _mm512_sub_ps(x, integer);
  __m512 p = _mm512_set1_ps(1.33335581e-3F);  // ln(2)^5 / 5!
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(9.61812911e-3F));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(5.55041087e-2F));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(2.40226507e-1F));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(6.93147181e-1F));
  p = _mm512_fmadd_ps(p, fraction, _mm512_set1_ps(1.0F));
  const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(integer), 23);
  return _mm512_castsi512_ps(_mm512_maskz_add_epi32(normal, _mm512_castps_si512(p), exponent));
}

// cap * tanh(score / cap) with tanh(y) = sign(y) * (1 - e) / (1 + e), e = exp(-2 |y|)
CAUDAL_AMX_INLINE __m512 soft_cap(__m512 score, float cap) {
  const __m512 magnitude = _mm512_abs_ps(score);
  const __m512 e = exp2_negative(_mm512_mul_ps(magnitude, _mm512_set1_ps(-2.0F * kLog2E / cap)));
  const __m512 one = _mm512_set1_ps(1.0F);
  const __m512 tanh = _mm512_div_ps(_mm512_sub_ps(one, e), _mm512_add_ps(one, e));
  const __m512 sign = _mm512_and_ps(score, _mm512_set1_ps(-0.0F));
  return _mm512_or_ps(_mm512_mul_ps(tanh, _mm512_set1_ps(cap)), sign);
}

// Scratch of one task.
struct Work {
  float scores[kKvTile][16];   // S^T, then exponentials
  BF16 p[kKvTile / 2][16][2];  // two B tiles
  BF16 v_transposed[1];        // [head_dim / 16][2][16 d][32 tokens], then k_padded [64][padded depth]
};

std::size_t work_bytes(std::int64_t head_dim) {
  const std::int64_t elements = kKvTile * (head_dim + padded_depth(head_dim));
  return sizeof(Work) + elements * sizeof(BF16) + 64;
}

// One KV tile as seen by all query tiles of a task.
struct KvTile {
  const BF16* k[kKvTile / 16];  // 16 tokens each
  std::int64_t k_stride_bytes;
  std::int64_t begin;  // position of the first token
  std::int64_t count;  // tokens with content, 1 .. 64
};

// rows a[16], each 16 lanes of 32 bits -> its transpose
CAUDAL_AMX_INLINE void transpose_16x16(__m512i (&a)[16]) {
  __m512i b[16];
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
    a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
    a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
    a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {  // 128-bit lanes: rows i, i + 4, i + 8, i + 12 hold columns i, i + 4, ... of 4 rows
    const __m512i low0 = _mm512_shuffle_i32x4(a[i], a[i + 4], 0x88), high0 = _mm512_shuffle_i32x4(a[i], a[i + 4], 0xDD);
    const __m512i low1 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0x88);
    const __m512i high1 = _mm512_shuffle_i32x4(a[i + 8], a[i + 12], 0xDD);
    b[i] = _mm512_shuffle_i32x4(low0, low1, 0x88);
    b[i + 8] = _mm512_shuffle_i32x4(low0, low1, 0xDD);
    b[i + 4] = _mm512_shuffle_i32x4(high0, high1, 0x88);
    b[i + 12] = _mm512_shuffle_i32x4(high0, high1, 0xDD);
  }
  for (int i = 0; i < 16; ++i) a[i] = b[i];
}

// Tokens [first, first + count) of V, up to 32 = two blocks, into the `half` tiles of V^T; tokens past count become
// zero.
CAUDAL_AMX void transpose_v(const AttentionJob& job, const QueryRows& rows, std::int64_t first, std::int64_t count,
                            BF16* half) {
  const std::int64_t row_elements = job.num_kv_heads * job.head_dim;
  const BF16* token[32];
  for (std::int64_t t = 0; t < 32; ++t) {
    const bool starts_block = t % kBlockSize == 0;
    token[t] = t >= count     ? nullptr
               : starts_block ? cache_row<BF16>(job.v_cache, job, rows, first + t)
                              : token[t - 1] + row_elements;
  }
  for (std::int64_t d = 0; d < job.head_dim; d += 16) {
    __m512i pairs[16];  // [token pair][d], the earlier token in the lower half of each lane
    for (std::int64_t i = 0; i < 16; ++i) {
      __m256i even = _mm256_setzero_si256(), odd = even;
      if (2 * i < count) even = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(token[2 * i] + d));
      if (2 * i + 1 < count) odd = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(token[2 * i + 1] + d));
      pairs[i] = _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
    }
    transpose_16x16(pairs);
    BF16* tile = half + d / 16 * 2 * amx::kElements;
    for (int row = 0; row < 16; ++row) _mm512_storeu_si512(tile + row * amx::kDepth, pairs[row]);
  }
}

// scores[i * 16 + token][query] for 16 tokens each, i = 0 .. 3; tokens past the content are computed from whatever lies
// in their block, or skipped with it, and masked by the caller.
CAUDAL_AMX void score_tokens(const KvTile& kv, const BF16* query, std::int64_t depth, float* scores) {
  const std::int64_t stride = kv.k_stride_bytes;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t d = 0; d < depth; d += amx::kDepth) {
    _tile_loadd(6, query + d * 16, 64);
    _tile_loadd(4, kv.k[0] + d, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, kv.k[1] + d, stride);
    _tile_dpbf16ps(1, 5, 6);
    _tile_loadd(4, kv.k[2] + d, stride);
    _tile_dpbf16ps(2, 4, 6);
    _tile_loadd(5, kv.k[3] + d, stride);
    _tile_dpbf16ps(3, 5, 6);
  }
  _tile_stored(0, scores, 64);
  _tile_stored(1, scores + 256, 64);
  _tile_stored(2, scores + 512, 64);
  _tile_stored(3, scores + 768, 64);
}

// What a query tile needs for its mask.
struct Mask {
  bool needed;
  __m512i position;  // of each lane; -1 without a query
  __m512i oldest;    // keys up to here are outside the window
};

CAUDAL_AMX void cap_and_mask(const AttentionJob& job, const KvTile& kv, const Mask& mask, float* scores) {
  const __m512 nothing = _mm512_set1_ps(-__builtin_inff());
  const float cap = job.params.soft_cap / job.params.scale;  // scores here are not scaled yet
  for (std::int64_t t = 0; t < kKvTile; ++t) {
    __m512 score = _mm512_loadu_ps(scores + t * 16);
    if (job.params.soft_cap > 0.0F) score = soft_cap(score, cap);
    if (mask.needed) {
      const __m512i key = _mm512_set1_epi32(static_cast<int>(kv.begin + t));
      const __mmask16 seen = _mm512_cmple_epi32_mask(key, mask.position) & _mm512_cmpgt_epi32_mask(key, mask.oldest);
      score = _mm512_mask_mov_ps(nothing, seen, score);
    }
    _mm512_storeu_ps(scores + t * 16, score);
  }
}

// Turns scores into P, updates maximum and sum, and returns by how much older sums shrink.
CAUDAL_AMX __m512 softmax(float scale, const float* scores, float* state, BF16* p) {
  const __m512 old_max = _mm512_loadu_ps(state);
  __m512 max0 = old_max, max1 = old_max;
  for (std::int64_t t = 0; t < kKvTile; t += 2) {
    max0 = _mm512_max_ps(max0, _mm512_loadu_ps(scores + t * 16));
    max1 = _mm512_max_ps(max1, _mm512_loadu_ps(scores + t * 16 + 16));
  }
  const __m512 max = _mm512_max_ps(max0, max1), factor = _mm512_set1_ps(scale * kLog2E);
  const __m512 offset = _mm512_mul_ps(max, factor);
  __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0;
  // cvtne2ps puts 16 even tokens' values before 16 odd ones; the pairs of a B tile alternate
  alignas(64) static constexpr std::uint16_t kAlternate[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                               21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                               11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i alternate = _mm512_load_si512(kAlternate);
  for (std::int64_t t = 0; t < kKvTile; t += 2) {
    const __m512 p0 = exp2_negative(_mm512_fmsub_ps(_mm512_loadu_ps(scores + t * 16), factor, offset));
    const __m512 p1 = exp2_negative(_mm512_fmsub_ps(_mm512_loadu_ps(scores + t * 16 + 16), factor, offset));
    sum0 = _mm512_add_ps(sum0, p0);
    sum1 = _mm512_add_ps(sum1, p1);
    const auto both = (__m512i)_mm512_cvtne2ps_pbh(p1, p0);
    _mm512_storeu_si512(p + t * 16, _mm512_permutexvar_epi16(alternate, both));
  }
  const __m512 shrink = exp2_negative(_mm512_mul_ps(_mm512_sub_ps(old_max, max), factor));
  const __m512 old_sum = _mm512_loadu_ps(state + kQueryLanes);
  _mm512_storeu_ps(state, max);
  _mm512_storeu_ps(state + kQueryLanes, _mm512_fmadd_ps(old_sum, shrink, _mm512_add_ps(sum0, sum1)));
  return shrink;
}

CAUDAL_AMX void rescale(__m512 shrink, std::int64_t head_dim, float* sums) {
  if (_mm512_cmpneq_ps_mask(shrink, _mm512_set1_ps(1.0F)) == 0) return;  // most tiles: the maximum did not move
  for (std::int64_t d = 0; d < head_dim; ++d) {
    _mm512_storeu_ps(sums + d * 16, _mm512_mul_ps(_mm512_loadu_ps(sums + d * 16), shrink));
  }
}

// sums[d][query] += V^T P. head_dim is a multiple of 16; tiles go in pairs to share P and hide latency.
CAUDAL_AMX void add_values(const BF16* v_transposed, const BF16* p, std::int64_t head_dim, float* sums) {
  _tile_loadd(6, p, 64);
  _tile_loadd(7, p + amx::kElements, 64);
  std::int64_t d = 0;
  for (; d + 32 <= head_dim; d += 32) {
    const BF16* v = v_transposed + d / 16 * 2 * amx::kElements;
    _tile_loadd(0, sums + d * 16, 64);
    _tile_loadd(1, sums + d * 16 + 256, 64);
    _tile_loadd(4, v, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, v + 2 * amx::kElements, 64);
    _tile_dpbf16ps(1, 5, 6);
    _tile_loadd(2, v + amx::kElements, 64);
    _tile_dpbf16ps(0, 2, 7);
    _tile_loadd(3, v + 3 * amx::kElements, 64);
    _tile_dpbf16ps(1, 3, 7);
    _tile_stored(0, sums + d * 16, 64);
    _tile_stored(1, sums + d * 16 + 256, 64);
  }
  if (d == head_dim) return;
  const BF16* v = v_transposed + d / 16 * 2 * amx::kElements;
  _tile_loadd(0, sums + d * 16, 64);
  _tile_loadd(4, v, 64);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(5, v + amx::kElements, 64);
  _tile_dpbf16ps(0, 5, 7);
  _tile_stored(0, sums + d * 16, 64);
}

// Where 16 rows of K lie for tile loads: in the cache, or padded to whole k blocks when head_dim is not a multiple
// of 32.
void locate_k(const AttentionJob& job, const QueryRows& rows, KvTile& kv, BF16* padded) {
  const std::int64_t depth = padded_depth(job.head_dim), row_elements = job.num_kv_heads * job.head_dim;
  const bool in_place = depth == job.head_dim;
  kv.k_stride_bytes = (in_place ? row_elements : depth) * 2;
  for (std::int64_t i = 0; i < kKvTile / 16; ++i) {
    // Past the content the last block stands in: its scores are masked, and its memory exists.
    const BF16* block = cache_row<BF16>(job.k_cache, job, rows, kv.begin + std::min(i, (kv.count - 1) / 16) * 16);
    kv.k[i] = in_place ? block : padded + i * 16 * depth;
    if (in_place) continue;
    std::memset(padded + i * 16 * depth, 0, static_cast<std::size_t>(16 * depth) * 2);
    for (std::int64_t t = 0; t < 16; ++t) {
      std::memcpy(padded + (i * 16 + t) * depth, block + t * row_elements, static_cast<std::size_t>(job.head_dim) * 2);
    }
  }
}

CAUDAL_AMX Mask mask_of(const QueryRows& rows, const KvTile& kv, std::int64_t index, const KeyRange& keys,
                        std::int64_t window) {
  const std::int64_t first = index * kQueryLanes;
  Mask mask{};
  mask.needed =
      first + kQueryLanes > rows.num_pairs() || kv.begin < keys.all_begin || kv.begin + kKvTile > keys.all_end;
  if (!mask.needed) return mask;
  alignas(64) std::int32_t positions[kQueryLanes];
  for (std::int64_t lane = 0; lane < kQueryLanes; ++lane) {
    const bool used = first + lane < rows.num_pairs();
    positions[lane] = used ? static_cast<std::int32_t>(rows.position(first + lane)) : -1;
  }
  const int reach = window == 0 ? 1 << 30 : static_cast<int>(window);
  mask.position = _mm512_load_si512(positions);
  mask.oldest = _mm512_sub_epi32(mask.position, _mm512_set1_epi32(reach));
  return mask;
}

CAUDAL_AMX void attend_query_tile(const AttentionJob& job, const KvTile& kv, const Mask& mask, const BF16* query,
                                  float* state, Work& work) {
  float* scores = &work.scores[0][0];
  BF16* p = &work.p[0][0][0];
  score_tokens(kv, query, padded_depth(job.head_dim), scores);
  amx::fence();
  if (mask.needed || job.params.soft_cap > 0.0F) cap_and_mask(job, kv, mask, scores);
  const __m512 shrink = softmax(job.params.scale, scores, state, p);
  float* sums = state + 2 * kQueryLanes;
  rescale(shrink, job.head_dim, sums);
  amx::fence();
  add_values(work.v_transposed, p, job.head_dim, sums);
  amx::fence();
}

// Rows of one head are short and far apart, which no hardware prefetcher follows.
void prefetch_tile(const AttentionJob& job, const QueryRows& rows, std::int64_t begin, std::int64_t end) {
  const std::int64_t row_bytes = job.num_kv_heads * job.head_dim * 2;
  for (std::int64_t block = begin; block < end; block += kBlockSize) {
    const auto* k = reinterpret_cast<const char*>(cache_row<BF16>(job.k_cache, job, rows, block));
    const auto* v = reinterpret_cast<const char*>(cache_row<BF16>(job.v_cache, job, rows, block));
    for (std::int64_t t = 0; t < kBlockSize; ++t, k += row_bytes, v += row_bytes) {
      for (std::int64_t byte = 0; byte < job.head_dim * 2; byte += 64) {
        _mm_prefetch(k + byte, _MM_HINT_T0);
        _mm_prefetch(v + byte, _MM_HINT_T0);
      }
    }
  }
}

CAUDAL_AMX void attend(const AttentionJob& job, const QueryRows& rows, std::int64_t begin, std::int64_t end,
                       const void* packed, float* states, void* work_memory) {
  auto& work = *static_cast<Work*>(work_memory);
  const std::int64_t window = job.params.sliding_window, last_tile = rows.num_tiles() - 1;
  const std::int64_t query_elements = padded_depth(job.head_dim) * kQueryLanes;
  BF16* padded_k = work.v_transposed + kKvTile * job.head_dim;
  begin = std::max(begin, key_range(rows, 0, window).begin / kKvTile * kKvTile);
  end = std::min(end, key_range(rows, last_tile, window).end);
  const amx::TileScope tiles;
  for (std::int64_t first = begin; first < end; first += kKvTile) {
    KvTile kv{{}, 0, first, std::min(kKvTile, end - first)};
    prefetch_tile(job, rows, first + kKvTile, std::min(end, first + 2 * kKvTile));
    locate_k(job, rows, kv, padded_k);
    transpose_v(job, rows, first, kv.count, work.v_transposed);
    transpose_v(job, rows, first + 32, kv.count - 32, work.v_transposed + amx::kElements);
    amx::fence();
    for (std::int64_t index = 0; index <= last_tile; ++index) {
      const KeyRange keys = key_range(rows, index, window);
      if (first >= keys.end || first + kv.count <= keys.begin) continue;
      attend_query_tile(job, kv, mask_of(rows, kv, index, keys, window),
                        static_cast<const BF16*>(packed) + index * query_elements,
                        states + index * state_floats(job.head_dim), work);
    }
  }
}

CAUDAL_AMX void fold(const AttentionJob& job, float* state, const float* next) {
  const __m512 max_a = _mm512_loadu_ps(state), max_b = _mm512_loadu_ps(next), max = _mm512_max_ps(max_a, max_b);
  const __m512 factor = _mm512_set1_ps(job.params.scale * kLog2E);
  const __m512 shrink_a = exp2_negative(_mm512_mul_ps(_mm512_sub_ps(max_a, max), factor));
  const __m512 shrink_b = exp2_negative(_mm512_mul_ps(_mm512_sub_ps(max_b, max), factor));
  _mm512_storeu_ps(state, max);
  for (std::int64_t i = 1; i < 2 + job.head_dim; ++i) {
    const __m512 scaled_b = _mm512_mul_ps(_mm512_loadu_ps(next + i * 16), shrink_b);
    _mm512_storeu_ps(state + i * 16, _mm512_fmadd_ps(_mm512_loadu_ps(state + i * 16), shrink_a, scaled_b));
  }
}

// B tiles [k block][16 d pairs][16 queries][2]
void pack_query(const AttentionJob& job, const QueryRows& rows, std::int64_t tile, void* packed) {
  auto* out = static_cast<BF16*>(packed);
  std::memset(out, 0, padded_depth(job.head_dim) * kQueryLanes * sizeof(BF16));
  const std::int64_t first = tile * kQueryLanes, end = std::min(rows.num_pairs(), first + kQueryLanes);
  for (std::int64_t pair = first; pair < end; ++pair) {
    const BF16* query = job.q.as<BF16>() + rows.row(pair) * job.q.stride0() + rows.head(pair) * job.head_dim;
    for (std::int64_t d = 0; d < job.head_dim; d += 2) {
      std::memcpy(out + d * kQueryLanes + 2 * (pair - first), query + d, 2 * sizeof(BF16));
    }
  }
}

}  // namespace

CpuAttentionKernel attention_amx(std::int64_t head_dim) {
  CpuAttentionKernel kernel;
  kernel.query_bytes = padded_depth(head_dim) * kQueryLanes * sizeof(BF16);
  kernel.work_bytes = work_bytes(head_dim);
  kernel.pack_query = pack_query;
  kernel.attend = attend;
  kernel.fold = fold;
  return kernel;
}

}  // namespace caudal
