// Timing on a machine that others use too: what is measured and its yardstick take turns, so that both see the same
// clock, neighbours and memory traffic, and medians are compared.
#pragma once

#include <benchmark/benchmark.h>
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <dnnl.hpp>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/cpu/threads.h"
#include "kernels/factory/make_backend.h"

namespace caudal {

template <typename Fn>
double seconds_of(const Fn& fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Paired {
 public:
  // One iteration of the benchmark's loop; the manual time is that of `op`. Each runs twice and the second run
  // counts: the first wakes its threads. The pause lets the other's threads stop spinning (libgomp: milliseconds).
  template <typename Op, typename Yardstick>
  void turn(benchmark::State& state, const Op& op, const Yardstick& yardstick) {
    constexpr std::chrono::milliseconds kPause{10};
    std::this_thread::sleep_for(kPause);
    yardstick();
    yardsticks_.push_back(seconds_of(yardstick));
    std::this_thread::sleep_for(kPause);
    op();
    ops_.push_back(seconds_of(op));
    state.SetIterationTime(ops_.back());
  }
  double op_seconds() { return median(ops_); }
  double yardstick_seconds() { return median(yardsticks_); }

 private:
  static double median(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  }
  std::vector<double> ops_, yardsticks_;
};

inline Backend& cpu_device() {
  static const std::unique_ptr<Backend> backend = [] {
    BackendOptions options;  // not pinned: oneDNN's threads would inherit it
    if (const char* isa = std::getenv("CAUDAL_MAX_ISA")) options.max_isa = isa;
    Result<std::unique_ptr<Backend>> made = make_backend(options);
    CHECK(made.ok());
    return std::move(made).value();
  }();
  return *backend;
}

// bf16 or f32 [rows, columns] of small numbers, on huge pages when large.
struct BenchTensor {
  BenchTensor(DType dtype, std::int64_t rows, std::int64_t columns) {
    Result<Buffer> allocated = cpu_device().allocate(static_cast<std::size_t>(rows * columns) * dtype_bytes(dtype));
    CHECK(allocated.ok());
    buffer = std::move(allocated).value();
    tensor = buffer.tensor(dtype, {rows, columns});
    for (std::int64_t i = 0; i < tensor.elements(); ++i) {
      const float value = static_cast<float>(i * 7919 % 201 - 100) / 100.0F;
      if (dtype == DType::kF32) {
        tensor.as<float>()[i] = value;
      } else {
        tensor.as<BF16>()[i] = to_bf16(value);
      }
    }
  }
  Buffer buffer;
  Tensor tensor;
};

// Reads all of `data` with every core, each its own part, as fast as it can.
inline void read_all(const Tensor& data) {
  static ThreadPool pool(std::vector<int>(std::thread::hardware_concurrency(), -1));
  const std::int64_t parts = 8 * pool.num_threads(), lines = static_cast<std::int64_t>(data.bytes() / 64);
  pool.run(parts, [&](std::int64_t part, int) {
    const auto* p = data.as<char>();
    __m128i sum = _mm_setzero_si128();
    for (std::int64_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line) {
      _mm_prefetch(p + line * 64 + 8192, _MM_HINT_T0);
      for (int i = 0; i < 64; i += 16) {
        sum = _mm_add_epi64(sum, _mm_load_si128(reinterpret_cast<const __m128i*>(p + line * 64 + i)));
      }
    }
    benchmark::DoNotOptimize(sum);
  });
}

// A bf16 (or f32) product of oneDNN with f32 accumulation, in the layouts it likes best.
class DnnlMatmul {
 public:
  DnnlMatmul(DType dtype, std::int64_t m, std::int64_t n, std::int64_t k)
      : flops_(2.0 * static_cast<double>(m * n * k)) {
    using dnnl::memory;
    const auto type = dtype == DType::kF32 ? memory::data_type::f32 : memory::data_type::bf16;
    const auto any = memory::format_tag::any;
    const dnnl::matmul::desc desc({{m, k}, type, memory::format_tag::ab}, {{k, n}, type, any},
                                  {{m, n}, type, memory::format_tag::ab});
    const dnnl::matmul::primitive_desc primitive(desc, engine_);
    matmul_ = dnnl::matmul(primitive);
    for (const auto& [argument, description] :
         {std::pair{DNNL_ARG_SRC, primitive.src_desc()}, std::pair{DNNL_ARG_WEIGHTS, primitive.weights_desc()},
          std::pair{DNNL_ARG_DST, primitive.dst_desc()}}) {
      const auto elements = static_cast<std::int64_t>(description.get_size() / dtype_bytes(dtype));
      data_.push_back(std::make_unique<BenchTensor>(dtype, 1, elements));
      arguments_.insert({argument, memory(description, engine_, data_.back()->tensor.data())});
    }
  }
  void run() {
    matmul_.execute(stream_, arguments_);
    stream_.wait();
  }
  double flops() const { return flops_; }

 private:
  double flops_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul matmul_;
  std::vector<std::unique_ptr<BenchTensor>> data_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// The yardstick of compute: a large square product.
inline DnnlMatmul& dnnl_peak() {
  static DnnlMatmul matmul(DType::kBF16, 2048, 2048, 2048);
  return matmul;
}

}  // namespace caudal
