// A tile of keys at a time: each thread scores one key, then each thread sums a few dimensions of the values. Reads
// KV bytes once per query head and does 4 * head_dim FLOPs per key; meant to be right, not fast.
#include "kernels/cuda/attention/plain_attention.h"

#include "kernels/cuda/emulation/simt/simt.h"

namespace caudal::cuda {
namespace {

constexpr int kThreads = 64;  // also the keys of a tile
constexpr int kDims = kPlainAttentionMaxHeadDim / kThreads;

__device__ inline float load(const float* p) { return *p; }
__device__ inline float load(const __nv_bfloat16* p) { return __bfloat162float(*p); }
__device__ inline float load(const __half* p) { return __half2float(*p); }
__device__ inline void store(float* p, float value) { *p = value; }
__device__ inline void store(__nv_bfloat16* p, float value) { *p = __float2bfloat16(value); }
__device__ inline void store(__half* p, float value) { *p = __float2half(value); }

template <typename T>
struct Params {
  const T* q;
  const T* k;
  const T* v;
  T* out;
  const int* query_start;
  const int* context_length;
  const int* block_table;
  long long q_stride, out_stride;
  int num_sequences, table_stride, num_heads, num_kv_heads, head_dim;
  int window;
  float scale, soft_cap;
};

// The sequence whose query rows hold `token`.
__device__ inline int sequence_of(const int* query_start, int num_sequences, int token) {
  int low = 0, high = num_sequences;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (query_start[middle] <= token) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

// Keys and values of one head of one sequence.
template <typename T>
struct KvRows {
  const Params<T>& p;
  const int* blocks;
  int kv_head;

  __device__ const T* row(const T* cache, int key) const {
    const long long slot = static_cast<long long>(blocks[key / kBlockSize]) * kBlockSize + key % kBlockSize;
    return cache + (slot * p.num_kv_heads + kv_head) * p.head_dim;
  }
  __device__ float score(const float* query, int key) const {
    const T* k = row(p.k, key);
    float dot = 0.0F;
    for (int i = 0; i < p.head_dim; ++i) dot += query[i] * load(k + i);
    const float scaled = dot * p.scale;
    return p.soft_cap > 0.0F ? p.soft_cap * tanhf(scaled / p.soft_cap) : scaled;
  }
  // Adds weight * v to this thread's dimensions.
  __device__ void add_value(float weight, int key, float (&value)[kDims]) const {
    const T* v = row(p.v, key);
    for (int i = 0; i < kDims; ++i) {
      const int dim = static_cast<int>(threadIdx.x) + i * kThreads;
      if (dim < p.head_dim) value[i] += weight * load(v + dim);
    }
  }
};

template <typename T>
__global__ void __launch_bounds__(kThreads) plain_attention_kernel(const Params<T> p) {
  SIMT_SHARED(float[kPlainAttentionMaxHeadDim], query);
  SIMT_SHARED(float[kThreads], score);
  const int token = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const int thread = static_cast<int>(threadIdx.x), d = p.head_dim;
  if (token >= p.query_start[p.num_sequences]) return;  // padding of a recorded batch
  const int sequence = sequence_of(p.query_start, p.num_sequences, token);
  const int position = p.context_length[sequence] - p.query_start[sequence + 1] + token;
  const int first = p.window > 0 && position >= p.window ? position - p.window + 1 : 0;
  const T* q_row = p.q + token * p.q_stride + static_cast<long long>(head) * d;
  const KvRows<T> kv{p, p.block_table + static_cast<long long>(sequence) * p.table_stride,
                     head / (p.num_heads / p.num_kv_heads)};
  for (int i = thread; i < d; i += kThreads) query[i] = load(q_row + i);
  float maximum = -INFINITY, sum = 0.0F, value[kDims] = {};
  __syncthreads();
  for (int begin = first / kThreads * kThreads; begin <= position; begin += kThreads) {
    const int key = begin + thread;
    const float mine = key >= first && key <= position ? kv.score(query, key) : -INFINITY;
    score[thread] = mine;
    __syncthreads();
    float next = maximum;
    for (int j = 0; j < kThreads; ++j) next = fmaxf(next, score[j]);
    const float keep = expf(maximum - next);  // 0 in the first tile
    __syncthreads();
    score[thread] = expf(mine - next);
    maximum = next;
    __syncthreads();
    sum *= keep;
    for (int i = 0; i < kDims; ++i) value[i] *= keep;
    for (int j = 0; j < kThreads && begin + j <= position; ++j) {
      if (begin + j < first) continue;
      sum += score[j];
      kv.add_value(score[j], begin + j, value);
    }
    __syncthreads();
  }
  T* out_row = p.out + token * p.out_stride + static_cast<long long>(head) * d;
  for (int i = 0; i < kDims; ++i) {
    const int dim = thread + i * kThreads;
    if (dim < d) store(out_row + dim, value[i] / sum);
  }
}

template <typename T>
void launch(const op::PagedAttention& call, cudaStream_t stream) {
  const AttentionBatch& batch = call.batch;
  const Params<T> params{.q = call.q.as<T>(),
                         .k = call.k_cache.as<T>(),
                         .v = call.v_cache.as<T>(),
                         .out = call.out.as<T>(),
                         .query_start = batch.query_start.as<int>(),
                         .context_length = batch.context_length.as<int>(),
                         .block_table = batch.block_table.as<int>(),
                         .q_stride = call.q.stride0(),
                         .out_stride = call.out.stride0(),
                         .num_sequences = static_cast<int>(batch.context_length.dim(0)),
                         .table_stride = static_cast<int>(batch.block_table.stride0()),
                         .num_heads = static_cast<int>(call.q.dim(1)),
                         .num_kv_heads = static_cast<int>(call.k_cache.dim(2)),
                         .head_dim = static_cast<int>(call.q.dim(2)),
                         .window = call.params.sliding_window,
                         .scale = call.params.scale,
                         .soft_cap = call.params.soft_cap};
  const dim3 grid(static_cast<unsigned>(call.q.dim(0)), static_cast<unsigned>(call.q.dim(1)));
  simt::launch(plain_attention_kernel<T>, grid, dim3(kThreads), 0, stream, params);
}

}  // namespace

void plain_attention(const op::PagedAttention& call, cudaStream_t stream) {
  if (call.q.dim(0) == 0) return;
  switch (call.q.dtype()) {
    case DType::kBF16:
      return launch<__nv_bfloat16>(call, stream);
    case DType::kF16:
      return launch<__half>(call, stream);
    default:
      return launch<float>(call, stream);
  }
}

}  // namespace caudal::cuda
