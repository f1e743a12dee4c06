// Speed of paged attention on a GPU, bf16, 32 query and 8 KV heads.
//   decode   one token of each of 64 sequences: GB/s of K and V and the share of a plain read of the same
//   memory verify   the same with 4 drafted tokens each prefill  one prompt, causal: TFLOP/s of what the mask
//   leaves, and the share of a large cuBLASLt product chunk    512 tokens on a cached prefix, the rest of a
//   mixed batch as decodes
// Medians of several timed runs; tests/bench/kernels/peer_attention.py prints PyTorch's figures of the same shapes.
#include <cuda_runtime_api.h>

#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/attention/attention.h"
#include "tests/bench/kernels/cuda_bench_peaks.h"

namespace caudal::cuda {
namespace {

constexpr int kHeads = 32, kKvHeads = 8;

struct Sequences {
  std::vector<std::int32_t> query_start = {0}, context;
  void add(std::int32_t queries, std::int32_t length) {
    query_start.push_back(query_start.back() + queries), context.push_back(length);
  }
  double kv_tokens() const { return std::accumulate(context.begin(), context.end(), 0.0); }
  // Pairs of a query and a key it sees.
  double scores() const {
    double sum = 0;
    for (std::size_t s = 0; s < context.size(); ++s) {
      const double queries = query_start[s + 1] - query_start[s];
      sum += queries * (context[s] - queries) + queries * (queries + 1) / 2;
    }
    return sum;
  }
};

AttentionDevice this_device() {
  cudaDeviceProp properties{};
  bench::check(cudaGetDeviceProperties(&properties, 0));
  return {properties.multiProcessorCount, 10 * properties.major + properties.minor,
          static_cast<int>(properties.sharedMemPerMultiprocessor)};
}

class Run {
 public:
  Run(const Sequences& sequences, int head_dim)
      : geometry_(attention_geometry({kHeads, kKvHeads, head_dim}, this_device())),
        plan_(plan_attention(geometry_, sequences.query_start, sequences.context, 0)) {
    const std::int64_t tokens = sequences.query_start.back(), count = std::ssize(sequences.context);
    std::int64_t max_blocks = 0, blocks = 0;
    for (const std::int32_t context : sequences.context) {
      max_blocks = std::max<std::int64_t>(max_blocks, (context + 15) / 16), blocks += (context + 15) / 16;
    }
    const std::vector<std::int32_t> table = deal(sequences, max_blocks, blocks);
    const auto heads = [&](std::int64_t rows) { return random(DType::kBF16, {rows, kHeads, head_dim}); };
    call_.q = heads(tokens), call_.out = heads(tokens);
    call_.k_cache = random(DType::kBF16, {blocks, 16, kKvHeads, head_dim});
    call_.v_cache = random(DType::kBF16, {blocks, 16, kKvHeads, head_dim});
    call_.block_table = Tensor(upload(table), DType::kI32, {count, max_blocks});
    call_.params.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    call_.plan_words = static_cast<const std::int32_t*>(upload(plan_.words));
    call_.workspace = memory_.emplace_back(attention_workspace_bytes(geometry_)).data();
  }

  double seconds() const {
    return bench::median_seconds([&] { paged_attention(geometry_, plan_.grid, call_, nullptr); });
  }

 private:
  // Blocks in random order, as after hours of serving.
  static std::vector<std::int32_t> deal(const Sequences& sequences, std::int64_t max_blocks, std::int64_t blocks) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(blocks)), table;
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    auto next = order.begin();
    for (const std::int32_t context : sequences.context) {
      const std::int64_t used = (context + 15) / 16;
      table.insert(table.end(), next, next + used);
      table.resize(table.size() + static_cast<std::size_t>(max_blocks - used), 0);
      next += used;
    }
    return table;
  }

  Tensor random(DType dtype, std::initializer_list<std::int64_t> shape) {
    const Tensor sized(nullptr, dtype, shape);
    bench::DeviceMemory& memory = memory_.emplace_back(sized.bytes());
    bench::fill_random_bf16(memory.data(), static_cast<std::size_t>(sized.elements()));
    return Tensor(memory.data(), dtype, shape);
  }
  void* upload(const std::vector<std::int32_t>& values) {
    bench::DeviceMemory& memory = memory_.emplace_back(values.size() * sizeof(std::int32_t));
    bench::check(
        cudaMemcpy(memory.data(), values.data(), values.size() * sizeof(std::int32_t), cudaMemcpyHostToDevice));
    return memory.data();
  }

  AttentionGeometry geometry_;
  AttentionPlan plan_;
  AttentionCall call_;
  std::vector<bench::DeviceMemory> memory_;
};

void report_read(const std::string& name, const Sequences& sequences, int head_dim, double peak) {
  const double seconds = Run(sequences, head_dim).seconds();
  const double rate = sequences.kv_tokens() * 2 * kKvHeads * head_dim * 2 / seconds;
  std::printf("%-34s %10.1f us %8.0f GB/s     %5.1f %% of read\n", name.c_str(), seconds * 1e6, rate / 1e9,
              100 * rate / peak);
}

void report_flops(const std::string& name, const Sequences& sequences, int head_dim, double peak) {
  const double seconds = Run(sequences, head_dim).seconds();
  const double rate = sequences.scores() * 4 * kHeads * head_dim / seconds;
  std::printf("%-34s %10.1f us %8.1f TFLOP/s  %5.1f %% of matmul\n", name.c_str(), seconds * 1e6, rate / 1e12,
              100 * rate / peak);
}

void run_decode(double peak) {
  for (const std::int32_t context : {1024, 4096, 8192}) {
    for (const std::int32_t queries : {1, 5}) {
      Sequences batch;
      for (int s = 0; s < 64; ++s) batch.add(queries, context);
      report_read((queries == 1 ? "decode 64 x " : "verify 64 x 5 of ") + std::to_string(context), batch, 128, peak);
    }
  }
  Sequences skewed, single;
  for (int s = 0; s < 63; ++s) skewed.add(1, 100 + s * s * 2);
  skewed.add(1, 65536), single.add(1, 32768);
  report_read("decode 63 x 0.1k-8k, 1 x 64k", skewed, 128, peak);
  report_read("decode 1 x 32k", single, 128, peak);
}

void run_prefill(double peak) {
  for (const int head_dim : {64, 128}) {
    for (const std::int32_t tokens : {2048, 4096, 8192, 16384}) {
      Sequences prompt;
      prompt.add(tokens, tokens);
      report_flops("prefill d" + std::to_string(head_dim) + " " + std::to_string(tokens), prompt, head_dim, peak);
    }
  }
  Sequences chunk, mix;
  chunk.add(512, 16384), mix.add(512, 4096);
  for (int s = 0; s < 32; ++s) mix.add(1, 2048);
  report_flops("chunk d128 512 of 16384", chunk, 128, peak);
  report_flops("chunk d128 512 of 4096 + 32 decodes", mix, 128, peak);
}

}  // namespace
}  // namespace caudal::cuda

int main() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::puts("no GPU: nothing measured");
    return 0;
  }
  const double read = caudal::bench::measure_read_bandwidth(), flops = caudal::bench::measure_matmul_flops();
  std::printf("read %.0f GB/s, bf16 matmul %.0f TFLOP/s, measured now\n", read / 1e9, flops / 1e12);
  caudal::cuda::run_decode(read);
  caudal::cuda::run_prefill(flops);
  return 0;
}
