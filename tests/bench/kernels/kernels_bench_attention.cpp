// Speed of paged_attention, bf16, Qwen2.5-0.5B heads (14 query, 2 KV, size 64), on all cores.
//   prefill/T    T tokens of one prompt: TFLOP/s of the causal half and its share of a large oneDNN product taken in
//   turns decode/B/C   one token of each of B sequences with contexts of C tokens: GB/s of K and V, and the share of a
//   plain
//                read; small contexts fit a cache and may exceed it
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/bench/paired.h"

namespace caudal {
namespace {

constexpr std::int64_t kHeads = 14, kKvHeads = 2, kHeadDim = 64;

class AttentionCase {
 public:
  AttentionCase(std::int32_t sequences, std::int32_t tokens, std::int32_t context)
      : blocks_((context + kBlockSize - 1) / kBlockSize),
        k_(DType::kBF16, sequences * blocks_ * kBlockSize, kKvHeads * kHeadDim),
        v_(DType::kBF16, sequences * blocks_ * kBlockSize, kKvHeads * kHeadDim),
        qkv_(DType::kBF16, sequences * tokens, (kHeads + 2 * kKvHeads) * kHeadDim),
        out_(DType::kBF16, sequences * tokens, kHeads * kHeadDim),
        contexts_(static_cast<std::size_t>(sequences), context),
        table_(static_cast<std::size_t>(sequences * blocks_)) {
    for (std::int32_t s = 0; s <= sequences; ++s) start_.push_back(s * tokens);
    std::iota(table_.begin(), table_.end(), 0);
    for (std::size_t i = 0; i < table_.size(); ++i) std::swap(table_[i], table_[i * 7919 % table_.size()]);
  }

  void run() {
    const auto sequences = static_cast<std::int64_t>(contexts_.size());
    const AttentionBatch batch{Tensor(start_.data(), DType::kI32, {sequences + 1}),
                               Tensor(contexts_.data(), DType::kI32, {sequences}),
                               Tensor(table_.data(), DType::kI32, {sequences, blocks_}), start_, contexts_};
    const AttentionParams params{0.125F, 0, 0.0F};
    cpu_device().paged_attention(qkv_.tensor.columns(0, kHeads * kHeadDim).split_columns(kHeadDim), cache(k_),
                                 cache(v_), batch, params, out_.tensor.split_columns(kHeadDim));
  }

 private:
  static Tensor cache(const BenchTensor& rows) {
    return rows.tensor.reshaped({rows.tensor.dim(0) / kBlockSize, kBlockSize, kKvHeads, kHeadDim});
  }

  std::int64_t blocks_;
  BenchTensor k_, v_, qkv_, out_;
  std::vector<std::int32_t> start_, contexts_, table_;
};

void prefill(benchmark::State& state) {
  const auto tokens = static_cast<std::int32_t>(state.range(0));
  AttentionCase one(1, tokens, tokens);
  Paired pair;
  for (auto _ : state)
    pair.turn(
        state, [&] { one.run(); }, [&] { dnnl_peak().run(); });
  const double flops = 2.0 * kHeads * kHeadDim * static_cast<double>(tokens) * static_cast<double>(tokens);
  state.counters["TFLOP/s"] = flops / pair.op_seconds() / 1e12;
  state.counters["of_onednn_peak"] = flops / pair.op_seconds() * pair.yardstick_seconds() / dnnl_peak().flops();
}

void decode(benchmark::State& state) {
  const auto sequences = static_cast<std::int32_t>(state.range(0)), context = static_cast<std::int32_t>(state.range(1));
  AttentionCase batch(sequences, 1, context);
  const BenchTensor plain(DType::kBF16, 1, 128 << 20);
  Paired pair;
  for (auto _ : state)
    pair.turn(
        state, [&] { batch.run(); }, [&] { read_all(plain.tensor); });
  const double bytes = 4.0 * kKvHeads * kHeadDim * static_cast<double>(sequences) * static_cast<double>(context);
  const double read = static_cast<double>(plain.tensor.bytes()) / pair.yardstick_seconds();
  state.counters["GB/s"] = bytes / pair.op_seconds() / 1e9;
  state.counters["of_read"] = bytes / pair.op_seconds() / read;
}

constexpr int kTurns = 30;  // of op and yardstick
BENCHMARK(prefill)->Arg(128)->Arg(512)->Arg(2048)->Iterations(kTurns)->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(decode)
    ->ArgsProduct({{1}, {128, 2048, 32768}})
    ->ArgsProduct({{32}, {512, 4096}})
    ->Iterations(kTurns)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace caudal

BENCHMARK_MAIN();
