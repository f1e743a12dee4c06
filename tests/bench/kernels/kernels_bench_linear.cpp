// Speed of linear on all cores, in turns with yardsticks of the same process. CAUDAL_MAX_ISA=avx2 caps ours.
//   model/FORMAT/N   all matrix products of Qwen2.5-0.5B (24 layers; output head to f32 for min(N, 32) rows) for N
//   tokens
//              of bf16, with weights of that stored format: GB/s of weights and the share of a plain read of as many
//              bytes; TFLOP/s and the share of a large oneDNN product
//   shape/..   one product, and its time relative to oneDNN's for the same shape with packed weights (above 1 = we are
//   faster)
#include <vector>

#include "tests/bench/paired.h"

namespace caudal {
namespace {

struct Shape {
  std::int64_t in, out;
};
constexpr Shape kLayer[] = {{896, 1152}, {896, 896}, {896, 9728}, {4864, 896}};
constexpr Shape kHead = {896, 151936};
constexpr int kLayers = 24;
constexpr std::int64_t kHeadRows = 32;
constexpr int kTurns = 20;  // of op and yardstick

std::unique_ptr<Linear> make_linear(StoredFormat format, DType dtype, const Shape& shape) {
  const std::size_t row_bytes = stored_bytes(format, shape.in);
  const std::vector<std::byte> weight(static_cast<std::size_t>(shape.out) * row_bytes, std::byte{0x31});
  LinearSource source;
  source.dtype = dtype;
  source.weight.push_back({.format = format,
                           .data = weight.data(),
                           .row_bytes = row_bytes,
                           .rows = shape.out,
                           .columns = shape.in,
                           .stored_rows = shape.out,
                           .stored_columns = shape.in});
  Result<std::unique_ptr<Linear>> packed = cpu_device().pack_linear(source);
  CHECK(packed.ok());
  return std::move(packed).value();
}

// The last one asked for is kept.
const std::vector<std::unique_ptr<Linear>>& model(StoredFormat format) {
  static std::vector<std::unique_ptr<Linear>> all;
  static StoredFormat kept{};
  if (!all.empty() && kept == format) return all;
  all.clear(), kept = format;
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const Shape& shape : kLayer) all.push_back(make_linear(format, DType::kBF16, shape));
  }
  all.push_back(make_linear(format, DType::kBF16, kHead));
  return all;
}

void model_products(benchmark::State& state, StoredFormat format) {
  const std::int64_t rows = state.range(0);
  const BenchTensor x(DType::kBF16, rows, 4864), y(DType::kBF16, rows, 9728);
  const BenchTensor logits(DType::kF32, std::min(rows, kHeadRows), kHead.out);
  double bytes = 0, flops = 0;
  for (const auto& linear : model(format)) {
    const bool head = linear->out_features() == kHead.out;
    const auto elements = static_cast<double>(linear->in_features() * linear->out_features());
    bytes += static_cast<double>(linear->bytes());
    flops += 2 * elements * static_cast<double>(head ? logits.tensor.dim(0) : rows);
  }
  const BenchTensor plain(DType::kBF16, 1, 256 << 20);  // 512 MiB: no cache holds it
  const auto op = [&] {
    for (const auto& linear : model(format)) {
      const bool head = linear->out_features() == kHead.out;
      const Tensor in = x.tensor.columns(0, linear->in_features());
      if (head) {
        cpu_device().linear(in.rows(0, logits.tensor.dim(0)), *linear, logits.tensor);
      } else {
        cpu_device().linear(in, *linear, y.tensor.columns(0, linear->out_features()));
      }
    }
  };
  Paired pair;
  const bool memory_bound = rows <= 32;
  for (auto _ : state) {
    pair.turn(state, op, [&] { memory_bound ? read_all(plain.tensor) : dnnl_peak().run(); });
  }
  const double read = static_cast<double>(plain.tensor.bytes()) / pair.yardstick_seconds();
  const double peak = dnnl_peak().flops() / pair.yardstick_seconds();
  state.counters["GB/s"] = bytes / pair.op_seconds() / 1e9;
  state.counters["TFLOP/s"] = flops / pair.op_seconds() / 1e12;
  state.counters[memory_bound ? "of_read" : "of_onednn_peak"] =
      memory_bound ? bytes / pair.op_seconds() / read : flops / pair.op_seconds() / peak;
  state.counters[memory_bound ? "read_GB/s" : "onednn_TFLOP/s"] = memory_bound ? read / 1e9 : peak / 1e12;
}

void shape(benchmark::State& state, DType dtype) {
  const Shape shape{state.range(1), state.range(2)};
  const BenchTensor x(dtype, state.range(0), shape.in), y(dtype, state.range(0), shape.out);
  const std::unique_ptr<Linear> linear = make_linear(plain_format(dtype), dtype, shape);
  DnnlMatmul dnnl(dtype, state.range(0), shape.out, shape.in);
  Paired pair;
  for (auto _ : state) {
    pair.turn(
        state, [&] { cpu_device().linear(x.tensor, *linear, y.tensor); }, [&] { dnnl.run(); });
  }
  state.counters["TFLOP/s"] = dnnl.flops() / pair.op_seconds() / 1e12;
  state.counters["vs_onednn"] = pair.yardstick_seconds() / pair.op_seconds();
}

void every_shape(benchmark::internal::Benchmark* benchmark) {
  for (const std::int64_t rows : {1, 8, 32, 33, 100, 512, 513}) {
    for (const Shape& each : kLayer) benchmark->Args({rows, each.in, each.out});
  }
  benchmark->Iterations(kTurns)->UseManualTime()->Unit(benchmark::kMicrosecond);
}

BENCHMARK_CAPTURE(shape, bf16, DType::kBF16)->Apply(every_shape);
BENCHMARK_CAPTURE(shape, f32, DType::kF32)->Apply(every_shape);

void register_models() {
  for (const StoredFormat format : all_formats()) {
    const std::string name = "model/" + std::string(info_of(format).name);
    const auto products = [format](benchmark::State& state) { model_products(state, format); };
    for (const std::int64_t rows : {1, 2, 8, 32, 512, 2048}) {
      benchmark::RegisterBenchmark(name.c_str(), products)
          ->Arg(rows)
          ->Iterations(rows > 32 ? 5 : kTurns)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  caudal::register_models();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
