// Copies of rows: embedding lookup, gathering, and copies of KV blocks. Rows are moved as words, the widest that
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

struct TakeDrawnParams {
  const std::int32_t* drawn;
  std::int32_t* token_ids;
  std::int64_t num_drawn, num_tokens;
};

__global__ void __launch_bounds__(kThreads) take_drawn_kernel(const __grid_constant__ TakeDrawnParams p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= p.num_tokens || p.token_ids[i] >= 0) return;
  const std::int64_t row = -1 - std::int64_t{p.token_ids[i]};
  if (row >= p.num_drawn) __trap();
  p.token_ids[i] = p.drawn[row];
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

struct BlockCopyParams {
  const std::int32_t* copies;  // [n, 2]
  uint4* cache;
  std::int64_t block_words, num_blocks;
  int num_copies;
};

// A thread owns one word of every block, so that copies stay in order: one may read what an earlier one wrote.
__global__ void __launch_bounds__(kThreads) copy_blocks_kernel(const __grid_constant__ BlockCopyParams p) {
  const std::int64_t word = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (word >= p.block_words) return;
  for (int i = 0; i < p.num_copies; ++i) {
    const std::int64_t source = p.copies[2 * i], destination = p.copies[2 * i + 1];
    if (source < 0 || source >= p.num_blocks || destination < 0 || destination >= p.num_blocks) __trap();
    p.cache[destination * p.block_words + word] = p.cache[source * p.block_words + word];
  }
}

}  // namespace

void embedding(const Tensor& token_ids, const Tensor& table, std::int64_t first_token, const Tensor& out,
               cudaStream_t stream) {
  Dim num_tokens("num_tokens"), rows("rows"), hidden("hidden");
  Expect expect("embedding");
  expect.shape("token_ids", token_ids, {num_tokens}).dtype("token_ids", token_ids, DType::kI32);
  expect.shape("table", table, {rows, hidden}).shape("out", out, {num_tokens, hidden});
  expect.dtype("out", out, table.dtype());
  take_rows(table, token_ids, first_token, true, out, stream);
}

void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& out, cudaStream_t stream) {
  Dim num_tokens("num_tokens"), hidden("hidden"), n("n");
  Expect expect("gather_rows");
  expect.shape("x", x, {num_tokens, hidden}).shape("rows", rows, {n}).shape("out", out, {n, hidden});
  expect.dtype("rows", rows, DType::kI32).dtype("out", out, x.dtype());
  take_rows(x, rows, 0, false, out, stream);
}

void take_drawn(const Tensor& drawn, const Tensor& token_ids, cudaStream_t stream) {
  Dim num_rows("num_rows"), num_tokens("num_tokens");
  Expect expect("take_drawn");
  expect.shape("drawn", drawn, {num_rows}).dtype("drawn", drawn, DType::kI32);
  expect.shape("token_ids", token_ids, {num_tokens}).dtype("token_ids", token_ids, DType::kI32);
  if (*num_tokens == 0) return;
  const TakeDrawnParams params{drawn.as<std::int32_t>(), token_ids.as<std::int32_t>(), *num_rows, *num_tokens};
  // 12 bytes per token at the most.
  simt::launch(take_drawn_kernel, dim3(static_cast<unsigned>(ceil_div(*num_tokens, kThreads))), kThreads, 0, stream,
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

void copy_blocks(const Tensor& copies, const Tensor& cache, cudaStream_t stream) {
  Dim num_blocks("num_blocks"), block_size("block_size", kBlockSize), num_kv_heads("num_kv_heads"),
      head_dim("head_dim"), n("n"), two("source and destination", 2);
  Expect expect("copy_blocks");
  expect.shape("cache", cache, {num_blocks, block_size, num_kv_heads, head_dim}).contiguous("cache", cache);
  expect.shape("copies", copies, {n, two}).dtype("copies", copies, DType::kI32).contiguous("copies", copies);
  // 16 tokens make every block a multiple of 16 bytes.
  expect.that(address(cache) % 16 == 0, "the cache must be aligned to 16 bytes");
  if (*n == 0) return;
  const std::int64_t words = cache.row_elements() * static_cast<std::int64_t>(dtype_bytes(cache.dtype())) / 16;
  const BlockCopyParams params{copies.as<std::int32_t>(), cache.as<uint4>(), words, *num_blocks, static_cast<int>(*n)};
  // Reads and writes each block once: bytes = 2 * n * block bytes.
  simt::launch(copy_blocks_kernel, dim3(static_cast<unsigned>(ceil_div(words, kThreads))), kThreads, 0, stream, params);
}

}  // namespace caudal::cuda
