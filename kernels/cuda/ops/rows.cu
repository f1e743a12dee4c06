// Copies of rows: embedding lookup, gathering and sampled tokens. Rows are moved as words, the widest that
// their length and their addresses allow; the elements do not matter.
#include "kernels/cuda/device/dispatch.h"
#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/ops/ops.h"
#include "kernels/expect.h"

namespace caudal::cuda {
namespace {

constexpr unsigned kThreads = 256;

// Strides and lengths in words. out[i] = source[rows[i] - first], or zeros when that is outside [0, num_rows).
struct TakeParams {
  const void* source;
  const std::int32_t* rows;
  void* out;
  std::int64_t source_stride, out_stride, row_words, first, num_rows, num_out;
  bool zero_outside;  // else it is a bug, and traps
};

template <class Word>
__global__ void __launch_bounds__(kThreads) take_rows_kernel(const __grid_constant__ TakeParams p) {
  const std::int64_t column = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= p.row_words) return;
  for (std::int64_t i = blockIdx.y; i < p.num_out; i += gridDim.y) {
    const std::int64_t row = p.rows[i] - p.first;
    const bool inside = row >= 0 && row < p.num_rows;
    if (!inside && !p.zero_outside) __trap();
    Word word{};
    if (inside) word = static_cast<const Word*>(p.source)[row * p.source_stride + column];
    static_cast<Word*>(p.out)[i * p.out_stride + column] = word;
  }
}

// Bytes of the widest word that divides what is given.
std::int64_t word_bytes(std::initializer_list<std::int64_t> addresses_and_sizes) {
  std::int64_t all = 16;
  for (const std::int64_t x : addresses_and_sizes) all |= x;
  return all & -all;
}
std::int64_t address(const Tensor& t) { return static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(t.data())); }

// fn(std::type_identity<Word>) for words of 16, 4 or 2 bytes.
template <class F>
void dispatch_word(std::int64_t bytes, F fn) {
  if (bytes >= 16) return fn(std::type_identity<uint4>());
  if (bytes >= 4) return fn(std::type_identity<uint32_t>());
  fn(std::type_identity<uint16_t>());
}

void take_rows(const Tensor& source, const Tensor& rows, std::int64_t first, bool zero_outside, const Tensor& out,
               cudaStream_t stream) {
  if (out.elements() == 0) return;
  const auto element = static_cast<std::int64_t>(dtype_bytes(out.dtype()));
  const std::int64_t row_bytes = out.dim(1) * element;
  const std::int64_t widest =
      word_bytes({address(source), address(out), source.stride0() * element, out.stride0() * element, row_bytes});
  dispatch_word(widest, [&]<class Word>(std::type_identity<Word>) {
    constexpr auto kBytes = static_cast<std::int64_t>(sizeof(Word));
    const TakeParams params{source.data(),
                            rows.as<std::int32_t>(),
                            out.data(),
                            source.stride0() * element / kBytes,
                            out.stride0() * element / kBytes,
                            row_bytes / kBytes,
                            first,
                            source.dim(0),
                            out.dim(0),
                            zero_outside};
    const dim3 grid(static_cast<unsigned>(ceil_div(params.row_words, kThreads)),
                    static_cast<unsigned>(std::min<std::int64_t>(out.dim(0), 65535)));
    // Reads and writes every row once: bytes = 2 * out.bytes().
    simt::launch(take_rows_kernel<Word>, grid, kThreads, 0, stream, params);
  });
}

struct InsertSampledParams {
  const std::int32_t* sampled;
  std::int32_t* token_ids;
  std::int64_t num_sampled, num_tokens;
};

__global__ void __launch_bounds__(kThreads) insert_sampled_kernel(const __grid_constant__ InsertSampledParams p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= p.num_tokens || p.token_ids[i] >= 0) return;
  const std::int64_t row = -1 - std::int64_t{p.token_ids[i]};
  if (row >= p.num_sampled) __trap();
  p.token_ids[i] = p.sampled[row];
}

template <class T>
struct SumRowsParams {
  const T* parts;
  T* out;
  std::int64_t num_parts, n;
};

template <class T>
__global__ void __launch_bounds__(kThreads) sum_rows_kernel(const __grid_constant__ SumRowsParams<T> p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= p.n) return;
  float sum = to_float(p.parts[i]);
  for (std::int64_t r = 1; r < p.num_parts; ++r) sum += to_float(p.parts[r * p.n + i]);
  p.out[i] = from_float<T>(sum);
}

}  // namespace

void launch(const op::Embedding& o, const Tensor& table, cudaStream_t stream) {
  take_rows(table, o.token_ids, o.first_token, true, o.out, stream);
}

void launch(const op::GatherRows& o, cudaStream_t stream) { take_rows(o.x, o.rows, 0, false, o.out, stream); }

void launch(const op::InsertSampled& o, cudaStream_t stream) {
  const std::int64_t num_tokens = o.token_ids.dim(0);
  if (num_tokens == 0) return;
  const InsertSampledParams params{o.sampled.as<std::int32_t>(), o.token_ids.as<std::int32_t>(), o.sampled.dim(0),
                                   num_tokens};
  // 12 bytes per token at the most.
  simt::launch(insert_sampled_kernel, dim3(static_cast<unsigned>(ceil_div(num_tokens, kThreads))), kThreads, 0, stream,
               params);
}

void sum_rows(const Tensor& parts, const Tensor& out, cudaStream_t stream) {
  Dim num_parts("num_parts"), n("n");
  Expect expect("sum_rows");
  expect.shape("parts", parts, {num_parts, n}).contiguous("parts", parts).shape("out", out, {n});
  expect.dtype("out", out, parts.dtype());
  if (*n == 0) return;
  dispatch_float(parts.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    const SumRowsParams<T> params{parts.as<T>(), out.as<T>(), *num_parts, *n};
    // Reads every part and writes one: bytes = (num_parts + 1) * out.bytes().
    simt::launch(sum_rows_kernel<T>, dim3(static_cast<unsigned>(ceil_div(*n, kThreads))), kThreads, 0, stream, params);
  });
}

}  // namespace caudal::cuda
