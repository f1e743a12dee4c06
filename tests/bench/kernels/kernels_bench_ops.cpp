// Speed of the row ops and the sampler on shapes of Qwen2.5-0.5B, bf16: one line per op with its time, the
// GB/s it moves (each byte it must read or write once) and the share of the read bandwidth
// measured in the same process. Shapes that fit a cache may exceed it.
//
//   kernels_bench_ops [--benchmark_filter=sample]
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/factory/make_backend.h"
#include "tests/bench/machine.h"

namespace caudal {
namespace {

constexpr std::int64_t kHidden = 896, kIntermediate = 4864, kHeads = 14, kKvHeads = 2, kHeadDim = 64, kVocab = 151936;

Backend& device() {
  static const std::unique_ptr<Backend> backend = [] {
    Result<std::unique_ptr<Backend>> made = make_backend({});
    CHECK(made.ok());
    return std::move(made).value();
  }();
  return *backend;
}

// A tensor with its own memory, filled with normal numbers (i32: zeros).
struct Data {
  Data(DType dtype, std::int64_t rows, std::int64_t columns) {
    Result<Buffer> allocated = device().allocate(static_cast<std::size_t>(rows * columns) * dtype_bytes(dtype));
    CHECK(allocated.ok());
    buffer = std::move(allocated).value();
    tensor = buffer.tensor(dtype, {rows, columns});
    device().zero(tensor);
    std::minstd_rand random(1);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < tensor.elements() && dtype != DType::kI32; ++i) {
      const float value = normal(random);
      if (dtype == DType::kF32) {
        tensor.as<float>()[i] = value;
      } else {
        tensor.as<BF16>()[i] = to_bf16(value);
      }
    }
  }
  Tensor vector() const { return tensor.reshaped({tensor.elements()}); }

  Buffer buffer;
  Tensor tensor;
};

void report(benchmark::State& state, std::size_t bytes) {
  static const double bandwidth = read_bandwidth();
  const double total = static_cast<double>(bytes) * static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(total / 1e9, benchmark::Counter::kIsRate);
  state.counters["of_read"] = benchmark::Counter(total / bandwidth, benchmark::Counter::kIsRate);
}

void embedding(benchmark::State& state) {
  const Data table(DType::kBF16, kVocab, kHidden), ids(DType::kI32, 1, state.range(0));
  const Data out(DType::kBF16, state.range(0), kHidden);
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    ids.tensor.as<std::int32_t>()[i] = static_cast<std::int32_t>(i * 7919 % kVocab);
  }
  LinearSource source{.weight = {}, .bias = {}, .dtype = DType::kBF16};
  source.weight.push_back({.format = StoredFormat::kBF16,
                           .data = table.tensor.as<const std::byte>(),
                           .row_bytes = stored_bytes(StoredFormat::kBF16, kHidden),
                           .rows = kVocab,
                           .columns = kHidden,
                           .stored_rows = kVocab,
                           .stored_columns = kHidden});
  const Result<std::unique_ptr<Linear>> packed = device().pack_linear(source);
  CHECK(packed.ok());
  for (auto _ : state) device().embedding(ids.vector(), *packed.value(), 0, out.tensor);
  report(state, 2 * out.tensor.bytes());
}

void rms_norm(benchmark::State& state) {
  const Data x(DType::kBF16, state.range(0), kHidden), weight(DType::kBF16, 1, kHidden);
  const Data out(DType::kBF16, state.range(0), kHidden);
  for (auto _ : state) device().rms_norm(x.tensor, weight.vector(), 1e-6F, out.tensor);
  report(state, 2 * x.tensor.bytes());
}

void add_rms_norm(benchmark::State& state) {
  const Data x(DType::kBF16, state.range(0), kHidden), residual(DType::kBF16, state.range(0), kHidden);
  const Data weight(DType::kBF16, 1, kHidden), out(DType::kBF16, state.range(0), kHidden);
  for (auto _ : state) {
    device().add_rms_norm(x.tensor, residual.tensor, weight.vector(), 1e-6F, out.tensor);
  }
  report(state, 4 * x.tensor.bytes());
}

void silu_and_mul(benchmark::State& state) {
  const Data gate_up(DType::kBF16, state.range(0), 2 * kIntermediate), out(DType::kBF16, state.range(0), kIntermediate);
  for (auto _ : state) device().silu_and_mul(gate_up.tensor, out.tensor);
  report(state, gate_up.tensor.bytes() + out.tensor.bytes());
}

void rope_and_cache(benchmark::State& state) {
  const std::int64_t num_tokens = state.range(0), num_blocks = num_tokens / kBlockSize + 1, kv = kKvHeads * kHeadDim;
  const Data qkv(DType::kBF16, num_tokens, kHeads * kHeadDim + 2 * kv), cos_sin(DType::kF32, num_tokens, kHeadDim);
  const Data positions(DType::kI32, 1, num_tokens), slots(DType::kI32, 1, num_tokens);
  const Data k_cache(DType::kBF16, num_blocks * kBlockSize, kv), v_cache(DType::kBF16, num_blocks * kBlockSize, kv);
  for (std::int32_t i = 0; i < num_tokens; ++i) {
    positions.tensor.as<std::int32_t>()[i] = i;
    slots.tensor.as<std::int32_t>()[i] = i;
  }
  op::RopeAndCache args;
  args.qkv = qkv.tensor;
  args.positions = positions.vector();
  args.cache_slot = slots.vector();
  args.cos_sin = cos_sin.tensor.reshaped({num_tokens, 2, kHeadDim / 2});
  args.k_cache = k_cache.tensor.reshaped({num_blocks, kBlockSize, kKvHeads, kHeadDim});
  args.v_cache = v_cache.tensor.reshaped({num_blocks, kBlockSize, kKvHeads, kHeadDim});
  for (std::int64_t i = 0; i < cos_sin.tensor.elements(); ++i) {  // any true angle: lengths must stay as they are
    cos_sin.tensor.as<float>()[i] = i % kHeadDim < kHeadDim / 2 ? 0.6F : 0.8F;
  }
  for (auto _ : state) device().rope_and_cache(args);
  // Read: qkv, cos_sin. Written: q and k in place, k and v in the cache: one k more than qkv has.
  const auto kv_bytes = static_cast<std::size_t>(num_tokens * kv) * sizeof(BF16);
  report(state, 2 * qkv.tensor.bytes() + kv_bytes + cos_sin.tensor.bytes());
}

void gather_rows(benchmark::State& state) {
  const Data x(DType::kBF16, 2 * state.range(0), kHidden), rows(DType::kI32, 1, state.range(0));
  const Data out(DType::kBF16, state.range(0), kHidden);
  for (std::int32_t i = 0; i < state.range(0); ++i) rows.tensor.as<std::int32_t>()[i] = 2 * i;
  for (auto _ : state) device().gather_rows(x.tensor, rows.vector(), out.tensor);
  report(state, 2 * out.tensor.bytes());
}

void copy_blocks(benchmark::State& state) {
  const std::int64_t num_copies = state.range(0);
  const Data cache(DType::kBF16, 2 * num_copies, kBlockSize * kKvHeads * kHeadDim);
  std::vector<BlockPair> copies;
  for (std::int32_t i = 0; i < num_copies; ++i) copies.push_back({2 * i, 2 * i + 1});
  const Tensor blocks = cache.tensor.reshaped({2 * num_copies, kBlockSize, kKvHeads, kHeadDim});
  for (auto _ : state) device().copy_blocks(copies, blocks, blocks);
  report(state, cache.tensor.bytes());
}

void sample(benchmark::State& state, const SamplingParams& params) {
  const std::int64_t num_rows = state.range(0);
  const Data logits(DType::kF32, num_rows, kVocab);
  for (std::int64_t i = 0; i < logits.tensor.elements(); ++i) logits.tensor.as<float>()[i] *= 3.0F;
  SamplingRow row;
  row.params = &params;
  std::vector<SamplingRow> rows(static_cast<std::size_t>(num_rows), row);
  std::vector<SamplingOutput> out(rows.size());
  for (auto _ : state) {
    for (SamplingRow& each : rows) ++each.position;
    device().sample(logits.tensor, kVocab, rows, {})->wait(out);
  }
  report(state, logits.tensor.bytes());
}

SamplingParams params_of(float temperature, std::int32_t top_k, float top_p, float min_p) {
  SamplingParams params;
  params.temperature = temperature;
  params.top_k = top_k;
  params.top_p = top_p;
  params.min_p = min_p;
  return params;
}

void register_all() {
  const auto tokens = [](benchmark::internal::Benchmark* bench) {
    bench->Arg(1)->Arg(32)->Arg(512)->Arg(2048)->Unit(benchmark::kMicrosecond)->UseRealTime();
  };
  benchmark::RegisterBenchmark("embedding", embedding)->Apply(tokens);
  benchmark::RegisterBenchmark("rms_norm", rms_norm)->Apply(tokens);
  benchmark::RegisterBenchmark("add_rms_norm", add_rms_norm)->Apply(tokens);
  benchmark::RegisterBenchmark("silu_and_mul", silu_and_mul)->Apply(tokens);
  benchmark::RegisterBenchmark("rope_and_cache", rope_and_cache)->Apply(tokens);
  benchmark::RegisterBenchmark("gather_rows", gather_rows)->Apply(tokens);
  benchmark::RegisterBenchmark("copy_blocks", copy_blocks)->Apply(tokens);
  const std::pair<const char*, SamplingParams> samplers[] = {
      {"sample/greedy", params_of(0.0F, 0, 1.0F, 0.0F)},      {"sample/temperature", params_of(0.8F, 0, 1.0F, 0.0F)},
      {"sample/top_k_50", params_of(0.8F, 50, 1.0F, 0.0F)},   {"sample/top_p_0.95", params_of(0.8F, 0, 0.95F, 0.0F)},
      {"sample/min_p_0.05", params_of(0.8F, 0, 1.0F, 0.05F)}, {"sample/k_20_p_0.9", params_of(0.8F, 20, 0.9F, 0.0F)}};
  for (const auto& [name, params] : samplers) {
    benchmark::RegisterBenchmark(name, [params = params](benchmark::State& state) { sample(state, params); })
        ->Arg(1)
        ->Arg(32)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
  }
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  caudal::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
