// See sampling.h. Top-k, top-p and min-p all keep a prefix of the order "larger logit, then lower id", so a filter
// is a Cut: the last token kept. A cut is found by histograms, never by sorting: first over bins of 1/64 in log
// weight, then over the digits of the logit's bits for the tokens of the bin where it falls. Weights are integers
// in units of 2^-43, whose sums are exact in any order. Each pass over a row reads vocab_size * 4 bytes: one for
// the maximum, one for a sample without filters, five more per cut.
#include "kernels/cuda/device/block_scan.cuh"
#include "kernels/cuda/device/dispatch.h"
#include "kernels/cuda/sampling/sampling.h"
#include "kernels/expect.h"
#include "kernels/philox.h"

namespace caudal::cuda {
namespace {

constexpr int kBins = 2048;
constexpr float kUnit = 8796093022208.0F;  // 2^43: 2^20 tokens of weight 1 still fit

struct SampleParams {
  float* logits;
  std::int64_t stride;
  int vocab_size;
  const SampleRow* rows;
  LogitEdit* edits;
  const std::uint32_t* allowed;
  std::int32_t *tokens, *logprob_tokens;
  float* logprobs;
  int logprob_stride;
};

// Rises with the logit; equal for 0 and -0.
__device__ __forceinline__ unsigned key_of(float logit) {
  const unsigned bits = __float_as_uint(logit + 0.0F);
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

// Tokens with a larger key, and those of the same key up to `last_token`.
struct Cut {
  unsigned key = 0;
  int last_token = 0x7FFFFFFF;
  __device__ __forceinline__ bool keeps(unsigned k, int token) const {
    return k > key || (k == key && token <= last_token);
  }
};

struct Scratch {
  Mass bins[kBins];
  Mass segments[32];  // of the row, one per warp
  Mass before;
  int index, count;
  std::int32_t top_tokens[kMaxLogprobs];
};

// One row and the softmax in which it is seen; every method is called by the whole block.
struct Row {
  const float* logits;
  const std::uint32_t* allowed;  // a bit per token; null: all are allowed
  int vocab_size;
  Scratch& scratch;
  float maximum = 0.0F, scale = 1.0F;

  // The logit of a token, -inf unless it is allowed; NaN and +inf stay: the row is broken.
  __device__ __forceinline__ float at(int token) const {
    const float logit = logits[token];
    if (allowed == nullptr || (allowed[token / 32] >> (token % 32) & 1U) != 0 || !(logit < INFINITY)) return logit;
    return -INFINITY;
  }

  __device__ __forceinline__ float weight(float logit) const { return expf((logit - maximum) * scale); }
  __device__ __forceinline__ Mass mass(float logit) const {
    return static_cast<Mass>(fminf(weight(logit), 1.0F) * kUnit);
  }
  __device__ __forceinline__ int bin_of(float logit) const {
    return static_cast<int>(fminf((maximum - logit) * scale * 64.0F, static_cast<float>(kBins - 1)));
  }

  // fn(token, logit) for all tokens but those at -inf, spread over the block.
  template <class F>
  __device__ __forceinline__ void for_tokens(F fn) const {
#pragma unroll 4
    for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += static_cast<int>(blockDim.x)) {
      const float logit = at(i);
      if (logit > -INFINITY) fn(i, logit);
    }
  }

  __device__ __forceinline__ bool find_maximum(int* token);
  template <class F>
  __device__ __forceinline__ Mass total_mass(F mass_of);
  template <class F>
  __device__ __forceinline__ int first_above(F mass_of, Mass target);
  __device__ __forceinline__ Mass find_bin(int num_bins, Mass target, Mass before);
  template <class F, class G>
  __device__ __forceinline__ Cut find_cut(const Cut& within, F mass_of, G target_of);
  __device__ __forceinline__ int sample(const SampleRow& row);
  __device__ __forceinline__ void write_logprobs(int sampled, const SampleRow& row, std::int32_t* tokens,
                                                 float* logprobs);
};

// False when the row holds NaN or +inf, or nothing but -inf. *token: the lowest of the largest.
__device__ __forceinline__ bool Row::find_maximum(int* token) {
  Mass best = 0;
  int broken = 0;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < vocab_size; i += static_cast<int>(blockDim.x)) {
    const float logit = at(i);
    broken |= !(logit < INFINITY);
    if (logit > -INFINITY) best = max(best, Mass{key_of(logit)} << 32 | (0xFFFFFFFFU - static_cast<unsigned>(i)));
  }
  if (__syncthreads_or(broken)) return false;
  best = block_max(best);
  if (best == 0) return false;
  *token = static_cast<int>(0xFFFFFFFFU - static_cast<unsigned>(best));
  maximum = logits[*token];
  return true;
}

// Leaves the sums of the warps' segments for first_above.
template <class F>
__device__ __forceinline__ Mass Row::total_mass(F mass_of) {
  const int num_warps = static_cast<int>(blockDim.x) / 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int segment = static_cast<int>(ceil_div(vocab_size, num_warps)), begin = warp * segment;
  const int end = min(begin + segment, vocab_size);
  Mass sum = 0;
#pragma unroll 4
  for (int i = begin + static_cast<int>(threadIdx.x) % 32; i < end; i += 32) sum += mass_of(i, at(i));
  sum = warp_sum_mass(sum);
  __syncthreads();
  if (threadIdx.x % 32 == 0) scratch.segments[warp] = sum;
  __syncthreads();
  Mass total = 0;
  for (int w = 0; w < num_warps; ++w) total += scratch.segments[w];
  return total;
}

// After total_mass of the same: the first token at which the running sum exceeds target < total.
template <class F>
__device__ __forceinline__ int Row::first_above(F mass_of, Mass target) {
  const int num_warps = static_cast<int>(blockDim.x) / 32, threads = static_cast<int>(blockDim.x);
  const int segment = static_cast<int>(ceil_div(vocab_size, num_warps));
  int found = 0;
  Mass before = 0;
  while (found + 1 < num_warps && before + scratch.segments[found] <= target) before += scratch.segments[found++];
  const int slice = static_cast<int>(ceil_div(segment, threads));
  const int begin = found * segment + static_cast<int>(threadIdx.x) * slice;
  const int end = min(begin + slice, min((found + 1) * segment, vocab_size));
  Mass own = 0, total = 0;
  for (int i = begin; i < end; ++i) own += mass_of(i, at(i));
  Mass running = before + exclusive_scan(own, &total);
  if (running <= target && target < running + own) {
    for (int i = begin; i < end; ++i) {
      running += mass_of(i, at(i));
      if (running > target) {
        scratch.index = i;
        break;
      }
    }
  }
  __syncthreads();
  return scratch.index;
}

// The first bin at which the running sum from `before` on reaches `target`, into scratch.index; returns the sum
// before it.
__device__ __forceinline__ Mass Row::find_bin(int num_bins, Mass target, Mass before) {
  const int each = num_bins / static_cast<int>(blockDim.x) > 0 ? num_bins / static_cast<int>(blockDim.x) : 1;
  const int begin = static_cast<int>(threadIdx.x) * each, end = min(begin + each, num_bins);
  Mass own = 0, total = 0;
  for (int b = begin; b < end; ++b) own += scratch.bins[b];
  Mass running = before + exclusive_scan(own, &total);
  if (running < target && target <= running + own) {
    for (int b = begin; b < end; ++b) {
      if (running + scratch.bins[b] >= target) {
        scratch.index = b;
        scratch.before = running;
        break;
      }
      running += scratch.bins[b];
    }
  }
  __syncthreads();
  return scratch.before;
}

// The shortest prefix of the order whose masses reach target_of(total mass), which lies in [1, total]. Tokens of
// equal logit have equal mass.
template <class F, class G>
__device__ __forceinline__ Cut Row::find_cut(const Cut& within, F mass_of, G target_of) {
  const auto histogram = [&](auto bin) {  // of the tokens for which bin(token, logit, key) is not negative
    for (int b = static_cast<int>(threadIdx.x); b < kBins; b += static_cast<int>(blockDim.x)) scratch.bins[b] = 0;
    __syncthreads();
    for_tokens([&](int token, float logit) {
      const unsigned key = key_of(logit);
      if (!within.keeps(key, token)) return;
      const int b = bin(logit, key);
      if (b >= 0) atomicAdd(&scratch.bins[b], mass_of(token, logit));
    });
    __syncthreads();
  };
  histogram([&](float logit, unsigned) { return bin_of(logit); });
  Mass total = 0, own = 0;
  for (int b = static_cast<int>(threadIdx.x); b < kBins; b += static_cast<int>(blockDim.x)) own += scratch.bins[b];
  exclusive_scan(own, &total);
  const Mass target = target_of(total);
  Mass before = find_bin(kBins, target, 0);
  const int depth = scratch.index;
  unsigned prefix = 0, known = 0;  // the digits found so far, and the mask of their bits
  for (int shift = 21; shift >= 0; shift = shift == 0 ? -1 : max(shift - 11, 0)) {
    const unsigned digits = shift == 0 ? 0x3FFU : 0x7FFU;  // 11, 11 and 10 bits
    __syncthreads();                                       // scratch.index has been read
    histogram([&](float logit, unsigned key) {
      if (bin_of(logit) != depth || (key & known) != prefix) return -1;
      return static_cast<int>(digits - (key >> shift & digits));  // larger keys first
    });
    before = find_bin(static_cast<int>(digits) + 1, target, before);
    prefix |= (digits - static_cast<unsigned>(scratch.index)) << shift;
    known |= digits << shift;
  }
  __syncthreads();
  const auto equal = [&](int token, float logit) {
    return static_cast<Mass>(logit > -INFINITY && key_of(logit) == prefix && within.keeps(prefix, token));
  };
  const Mass num_equal = total_mass(equal);
  const Mass each = scratch.bins[0x3FFU - (prefix & 0x3FFU)] / num_equal;
  const Mass needed = min((target - before + each - 1) / each, num_equal);
  Cut cut;
  cut.key = prefix;
  cut.last_token = first_above(equal, needed - 1);
  __syncthreads();
  return cut;
}

__device__ __forceinline__ int Row::sample(const SampleRow& row) {
  scale = fminf(1.0F / row.temperature, 3.402823466e38F);
  Cut cut;
  if (row.top_k > 0 && row.top_k < vocab_size) {
    cut = find_cut(
        cut, [](int, float) { return Mass{1}; }, [&](Mass total) { return min(static_cast<Mass>(row.top_k), total); });
  }
  if (row.top_p < 1.0F) {
    cut = find_cut(
        cut, [&](int, float logit) { return mass(logit); },
        [&](Mass total) {
          const double target = ceil(static_cast<double>(row.top_p) * static_cast<double>(total));
          return max(Mass{1}, min(static_cast<Mass>(target), total));
        });
  }
  const auto kept = [&](int token, float logit) {
    if (!(logit > -INFINITY) || !cut.keeps(key_of(logit), token) || weight(logit) < row.min_p) return Mass{0};
    return mass(logit);
  };
  const Mass total = total_mass(kept);
  const double target = philox_uniform(row.seed, row.position) * static_cast<double>(total);
  return first_above(kept, min(static_cast<Mass>(target), total - 1));
}

// log_softmax of the sampled token, of the most likely, those ordered by logit, then id, and of the named ones, which
// stand in their columns already.
__device__ __forceinline__ void Row::write_logprobs(int sampled, const SampleRow& row, std::int32_t* tokens,
                                                    float* logprobs) {
  const int count = row.num_logprobs, me = static_cast<int>(threadIdx.x);
  scale = 1.0F;
  const Mass total = total_mass([&](int, float logit) { return logit > -INFINITY ? mass(logit) : Mass{0}; });
  const double log_sum = static_cast<double>(maximum) + log(static_cast<double>(total) / static_cast<double>(kUnit));
  const auto write = [&](int column, int token) {
    tokens[column] = token;
    logprobs[column] = token < 0 ? 0.0F : static_cast<float>(static_cast<double>(logits[token]) - log_sum);
  };
  if (threadIdx.x == 0) write(0, sampled);
  for (int i = me; i < row.num_named; i += static_cast<int>(blockDim.x)) write(1 + count + i, tokens[1 + count + i]);
  if (count == 0) return;
  if (threadIdx.x == 0) scratch.count = 0;
  const Cut cut = find_cut(
      Cut(), [](int, float) { return Mass{1}; }, [&](Mass all) { return min(static_cast<Mass>(count), all); });
  for_tokens([&](int token, float logit) {
    if (cut.keeps(key_of(logit), token)) scratch.top_tokens[atomicAdd(&scratch.count, 1)] = token;
  });
  __syncthreads();
  const int found = scratch.count;
  if (me >= found) {
    if (me < count) write(1 + me, -1);  // fewer tokens than asked for
    return;
  }
  const int token = scratch.top_tokens[me];
  int rank = 0;
  for (int other = 0; other < found; ++other) {
    const float theirs = logits[scratch.top_tokens[other]];
    rank += theirs > logits[token] || (theirs == logits[token] && scratch.top_tokens[other] < token);
  }
  write(1 + rank, token);
}

__device__ __forceinline__ float edited(float logit, const LogitEdit& edit) {
  logit += edit.bias;
  if (edit.banned && logit < INFINITY) logit = -INFINITY;  // NaN and +inf stay: the row is broken
  logit = logit > 0 ? logit / edit.repetition : logit * edit.repetition;
  return logit - edit.frequency - edit.presence;
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads, 1) sample_kernel(const __grid_constant__ SampleParams p) {
  SIMT_SHARED(Scratch, scratch);
  const SampleRow row = p.rows[blockIdx.x];
  float* logits = p.logits + std::int64_t{blockIdx.x} * p.stride;
  const int thread = static_cast<int>(threadIdx.x);
  for (int e = row.first_edit + thread; e < row.first_edit + row.num_edits; e += kThreads) {
    LogitEdit& edit = p.edits[e];
    edit.original = logits[edit.token];
    logits[edit.token] = edited(edit.original, edit);
  }
  __syncthreads();
  Row view{logits, row.first_allowed < 0 ? nullptr : p.allowed + row.first_allowed, p.vocab_size, scratch};
  int token = 0;
  const bool valid = view.find_maximum(&token);
  if (valid && row.temperature > 0) token = view.sample(row);
  __syncthreads();
  for (int e = row.first_edit + thread; e < row.first_edit + row.num_edits; e += kThreads) {
    logits[p.edits[e].token] = p.edits[e].original;
  }
  if (thread == 0) p.tokens[blockIdx.x] = valid ? token : -1;
  if (!valid || row.num_logprobs < 0) return;
  __syncthreads();
  view.allowed = nullptr;
  int most_likely = 0;
  view.find_maximum(&most_likely);  // of the row without edits
  const std::int64_t first = std::int64_t{blockIdx.x} * p.logprob_stride;
  view.write_logprobs(token, row, p.logprob_tokens + first, p.logprobs + first);
}

}  // namespace

void sample(const SampleArgs& args, cudaStream_t stream) {
  Dim num_rows("num_rows"), columns("columns"), width("1 + num_logprobs");
  Expect expect("sample");
  expect.shape("logits", args.logits, {num_rows, columns}).dtype("logits", args.logits, DType::kF32);
  expect.shape("tokens", args.tokens, {num_rows}).dtype("tokens", args.tokens, DType::kI32);
  expect.that(args.vocab_size > 0 && args.vocab_size <= *columns, "vocab_size must be in [1, columns]");
  expect.that(args.vocab_size <= 1 << 20, "vocabularies beyond 2^20 tokens are not supported");
  SampleParams params{args.logits.as<float>(),
                      args.logits.stride0(),
                      static_cast<int>(args.vocab_size),
                      args.rows,
                      args.edits,
                      args.allowed,
                      args.tokens.as<std::int32_t>(),
                      nullptr,
                      nullptr,
                      0};
  if (!args.logprobs.empty()) {
    expect.shape("logprobs", args.logprobs, {num_rows, width}).dtype("logprobs", args.logprobs, DType::kF32);
    expect.shape("logprob_tokens", args.logprob_tokens, {num_rows, width});
    expect.contiguous("logprobs", args.logprobs).contiguous("logprob_tokens", args.logprob_tokens);
    params.logprob_tokens = args.logprob_tokens.as<std::int32_t>();
    params.logprobs = args.logprobs.as<float>();
    params.logprob_stride = static_cast<int>(*width);
  }
  if (*num_rows == 0) return;
  const dim3 grid(static_cast<unsigned>(*num_rows));
  // Bytes: passes (see above) * num_rows * vocab_size * 4; greedy rows need one.
  if (args.vocab_size <= 8192) {
    simt::launch(sample_kernel<256>, grid, 256, 0, stream, params);
  } else {
    simt::launch(sample_kernel<1024>, grid, 1024, 0, stream, params);
  }
}

}  // namespace caudal::cuda
