// paged_attention against float64 over head sizes, group sizes, windows and caps; and bit for bit: decode equals a
// prefill chunk equals a whole prefill, in any company and on any number of threads.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/kernels/op_test.h"
#include "tests/sanitized.h"

namespace caudal {
namespace {

struct Shape {
  std::int64_t num_heads = 4, num_kv_heads = 2, head_dim = 64;
};

struct SequenceSpec {
  std::int32_t num_queries, context_length;
};

// A paged cache that holds `sequences` contexts in shuffled blocks. Everything that no query may read is NaN, and the
// last KV head of the last block lies at the end of the allocation.
class PagedCase {
 public:
  PagedCase(DType dtype, Shape shape, TestVector<std::int32_t> contexts, unsigned seed = 1)
      : PagedCase(dtype, dtype, shape, std::move(contexts), seed) {}
  PagedCase(DType dtype, DType kv_dtype, Shape shape, TestVector<std::int32_t> contexts, unsigned seed = 1)
      : shape_(shape),
        contexts_(std::move(contexts)),
        dtype_(dtype),
        max_blocks_(blocks_of(*std::ranges::max_element(contexts_)) + 1) {
    std::int64_t num_blocks = 1;
    for (const std::int32_t context : contexts_) num_blocks += blocks_of(context);
    const std::int64_t row = shape.num_kv_heads * shape.head_dim;
    k_ = std::make_unique<OwnedMatrix>(kv_dtype, num_blocks * kBlockSize, row);
    v_ = std::make_unique<OwnedMatrix>(kv_dtype, num_blocks * kBlockSize, row);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (std::int64_t r = 0; r < k_->rows(); ++r) {
      for (std::int64_t c = 0; c < row; ++c) k_->set(r, c, nan), v_->set(r, c, nan);
    }
    deal_blocks(num_blocks, seed);
    fill(seed);
  }

  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  std::int64_t cache_row(std::int64_t sequence, std::int64_t token) const {
    return table_[static_cast<std::size_t>(sequence * max_blocks_ + token / kBlockSize)] * kBlockSize +
           token % kBlockSize;
  }
  const OwnedMatrix& k() const { return *k_; }
  const OwnedMatrix& v() const { return *v_; }

  // The query of position p of sequence s is row query_row(s, p) of queries().
  const OwnedMatrix& queries() const { return *q_; }
  std::int64_t query_row(std::int64_t sequence, std::int64_t position) const {
    return std::accumulate(contexts_.begin(), contexts_.begin() + sequence, std::int64_t{0}) + position;
  }

  // Attention of the last `num_queries` of the first `context_length` tokens of each sequence in `order`.
  OwnedMatrix run(Backend& backend, const std::vector<std::int64_t>& order, const std::vector<SequenceSpec>& specs,
                  const AttentionParams& params) const {
    const std::int64_t width = shape_.num_heads * shape_.head_dim;
    TestVector<std::int32_t> start = {0}, context, table;
    for (std::size_t i = 0; i < order.size(); ++i) {
      start.push_back(start.back() + specs[i].num_queries);
      context.push_back(specs[i].context_length);
      const auto row = table_.begin() + order[i] * max_blocks_;
      table.insert(table.end(), row, row + max_blocks_);
    }
    const OwnedMatrix q(dtype_, start.back(), width, 48);  // as inside a qkv buffer
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::int64_t first = query_row(order[i], specs[i].context_length - specs[i].num_queries);
      for (std::int64_t r = 0; r < specs[i].num_queries; ++r) {
        std::memcpy(q.tensor().rows(start[i] + r, 1).data(), q_->tensor().rows(first + r, 1).data(),
                    static_cast<std::size_t>(width) * dtype_bytes(dtype_));
      }
    }
    OwnedMatrix out(dtype_, start.back(), width);
    const auto sequences = static_cast<std::int64_t>(order.size());
    const AttentionBatch batch{Tensor(start.data(), DType::kI32, {sequences + 1}),
                               Tensor(context.data(), DType::kI32, {sequences}),
                               Tensor(table.data(), DType::kI32, {sequences, max_blocks_}), start, context};
    backend.paged_attention(as_heads(q.tensor()), as_cache(*k_), as_cache(*v_), batch, params, as_heads(out.tensor()));
    return out;
  }

 private:
  static std::int64_t blocks_of(std::int32_t tokens) { return (tokens + kBlockSize - 1) / kBlockSize; }

  Tensor as_heads(const Tensor& matrix) const { return matrix.split_columns(shape_.head_dim); }
  Tensor as_cache(const OwnedMatrix& cache) const {
    return cache.tensor().reshaped({cache.rows() / kBlockSize, kBlockSize, shape_.num_kv_heads, shape_.head_dim});
  }

  void deal_blocks(std::int64_t num_blocks, unsigned seed) {
    std::vector<std::int32_t> free(static_cast<std::size_t>(num_blocks - 1));
    std::iota(free.begin(), free.end(), 1);
    std::shuffle(free.begin(), free.end(), std::mt19937(seed));
    for (const std::int32_t context : contexts_) {
      for (std::int64_t block = 0; block < max_blocks_; ++block) {
        const bool used = block < blocks_of(context);
        table_.push_back(used ? free.back() : std::numeric_limits<std::int32_t>::max());  // past the end: not read
        if (used) free.pop_back();
      }
    }
  }

  void fill(unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    for (std::size_t s = 0; s < contexts_.size(); ++s) {
      for (std::int64_t token = 0; token < contexts_[s]; ++token) {
        const std::int64_t row = cache_row(static_cast<std::int64_t>(s), token);
        for (std::int64_t c = 0; c < k_->columns(); ++c)
          k_->set(row, c, normal(random)), v_->set(row, c, normal(random));
      }
    }
    const std::int64_t total = std::accumulate(contexts_.begin(), contexts_.end(), std::int64_t{0});
    q_ = std::make_unique<OwnedMatrix>(dtype_, total, shape_.num_heads * shape_.head_dim);
    q_->fill_normal(seed + 1);
  }

  Shape shape_;
  TestVector<std::int32_t> contexts_;
  DType dtype_;
  std::int64_t max_blocks_;
  TestVector<std::int32_t> table_;
  std::unique_ptr<OwnedMatrix> k_, v_, q_;
};

AttentionParams params_for(std::int64_t head_dim, std::int32_t window = 0, float soft_cap = 0.0F) {
  return {1.0F / std::sqrt(static_cast<float>(head_dim)), window, soft_cap};
}

double score(const PagedCase& paged, std::int64_t sequence, std::int64_t head, std::int64_t position, std::int64_t key,
             const AttentionParams& params) {
  const Shape& shape = paged.shape();
  const std::int64_t kv_head = head / (shape.num_heads / shape.num_kv_heads);
  double dot = 0;
  for (std::int64_t d = 0; d < shape.head_dim; ++d) {
    dot += paged.queries().at(paged.query_row(sequence, position), head * shape.head_dim + d) *
           paged.k().at(paged.cache_row(sequence, key), kv_head * shape.head_dim + d);
  }
  dot *= static_cast<double>(params.scale);
  const double cap = static_cast<double>(params.soft_cap);
  return cap > 0 ? cap * std::tanh(dot / cap) : dot;
}

std::vector<double> reference_attention(const PagedCase& paged, std::int64_t sequence, std::int64_t head,
                                        std::int64_t position, const AttentionParams& params) {
  const Shape& shape = paged.shape();
  const std::int64_t kv_head = head / (shape.num_heads / shape.num_kv_heads);
  const std::int64_t first =
      params.sliding_window == 0 ? 0 : std::max<std::int64_t>(0, position - params.sliding_window + 1);
  std::vector<double> out(static_cast<std::size_t>(shape.head_dim));
  double total = 0;
  for (std::int64_t key = first; key <= position; ++key) {
    const double weight = std::exp(score(paged, sequence, head, position, key, params));
    total += weight;
    for (std::int64_t d = 0; d < shape.head_dim; ++d) {
      out[static_cast<std::size_t>(d)] +=
          weight * paged.v().at(paged.cache_row(sequence, key), kv_head * shape.head_dim + d);
    }
  }
  for (double& value : out) value /= total;
  return out;
}

class AttentionTest : public OpTest {
 protected:
  // Values of V are of the order of 1. f32: rounding of some hundred terms. bf16: the probabilities (AMX) and the
  // result are rounded to 8 bits, each an error of up to 2^-9 of the result's largest terms.
  void expect_rows(const PagedCase& paged, const OwnedMatrix& out, std::int64_t out_row, std::int64_t sequence,
                   std::int64_t position, const AttentionParams& params) const {
    const double tolerance = dtype() == DType::kBF16 ? 0.015 : 1e-5;
    const Shape& shape = paged.shape();
    for (std::int64_t head = 0; head < shape.num_heads; ++head) {
      const std::vector<double> expected = reference_attention(paged, sequence, head, position, params);
      for (std::int64_t d = 0; d < shape.head_dim; ++d) {
        const double want = expected[static_cast<std::size_t>(d)];
        ASSERT_NEAR(out.at(out_row, head * shape.head_dim + d), want, tolerance * (1 + std::abs(want)))
            << "position " << position << " head " << head << " d " << d;
      }
    }
  }

  void check_last_rows(const Shape& shape, const AttentionParams& params) {
    const PagedCase paged(dtype(), shape, {37, 1, 100});
    const OwnedMatrix out = paged.run(*backend_, {0, 1, 2}, {{5, 37}, {1, 1}, {1, 100}}, params);
    for (std::int64_t r = 0; r < 5; ++r) expect_rows(paged, out, r, 0, 32 + r, params);
    expect_rows(paged, out, 5, 1, 0, params);
    expect_rows(paged, out, 6, 2, 99, params);
  }
};
INSTANTIATE_TEST_SUITE_P(Cases, AttentionTest, kEveryOpCase, op_case_name);

TEST_P(AttentionTest, EveryHeadSizeMatchesFloat64) {
  for (const std::int64_t head_dim : {16, 64, 80, 96, 128, 256})
    check_last_rows({4, 2, head_dim}, params_for(head_dim));
}

TEST_P(AttentionTest, EveryGroupSizeMatchesFloat64) {
  for (const Shape& shape : {Shape{1, 1, 64}, {6, 6, 64}, {14, 2, 64}, {8, 1, 64}, {17, 1, 32}, {150, 1, 32}}) {
    check_last_rows(shape, params_for(shape.head_dim));
  }
}

TEST_P(AttentionTest, WindowAndSoftCapMatchFloat64) {
  for (const std::int32_t window : {1, 16, 33, 64, 1000}) check_last_rows({4, 2, 64}, params_for(64, window));
  check_last_rows({4, 2, 64}, {0.5F, 0, 3.0F});
  check_last_rows({4, 2, 64}, {0.5F, 40, 3.0F});
}

TEST_P(AttentionTest, WholePrefillMatchesFloat64) {
  const PagedCase paged(dtype(), {6, 2, 32}, {150});
  const AttentionParams params = params_for(32, 70);
  const OwnedMatrix out = paged.run(*backend_, {0}, {{150, 150}}, params);
  for (std::int64_t position = 0; position < 150; position += 7) expect_rows(paged, out, position, 0, position, params);
}

TEST_P(AttentionTest, AnF16CacheMatchesFloat64WithTheSameBitsInAllChunks) {
  if (!backend_->takes_kv(DType::kF16, dtype())) GTEST_SKIP() << "not on this device";
  const PagedCase paged(dtype(), DType::kF16, {6, 2, 80}, {150});
  const AttentionParams params = params_for(80);
  const OwnedMatrix out = paged.run(*backend_, {0}, {{150, 150}}, params);
  for (std::int64_t position = 0; position < 150; position += 7) {
    expect_rows(paged, out, position, 0, position, params);
    const OwnedMatrix one = paged.run(*backend_, {0}, {{1, static_cast<std::int32_t>(position) + 1}}, params);
    EXPECT_TRUE(same_bits(one.tensor(), out.tensor().rows(position, 1))) << "at " << position;
  }
}

// Scores of +-1000 and more: exponentials overflow unless the maximum is subtracted.
TEST_P(AttentionTest, LargeScoresStayFinite) {
  const PagedCase paged(dtype(), {2, 1, 64}, {200});
  const AttentionParams params{100.0F, 0, 0.0F};
  const OwnedMatrix out = paged.run(*backend_, {0}, {{1, 200}}, params);
  for (std::int64_t c = 0; c < out.columns(); ++c) ASSERT_TRUE(std::isfinite(out.at(0, c)));
}

// On the CPU contexts of more than two splits of 512; less under emulation, where every CUDA thread is a fiber.
const std::int32_t kLong = kTestDevice != std::string_view("simt") ? 1100 : test::kSanitized ? 220 : 330;

// Group 7 as in Qwen2.5-0.5B: query tiles straddle tokens.
TEST_P(AttentionTest, DecodeChunkAndPrefillHaveTheSameBits) {
  const std::unique_ptr<Backend> backend = make_deterministic(2);
  const PagedCase paged(dtype(), {7, 1, 64}, {kLong, 90});
  for (const std::int32_t window : {0, kLong * 3 / 11, kLong * 6 / 11}) {
    const AttentionParams params = params_for(64, window);
    const OwnedMatrix whole = paged.run(*backend, {0}, {{kLong, kLong}}, params);
    for (const std::int32_t position : {0, 15, 16, 63, 64, 65, 200, 329, 511, 512, 513, 700, 1023, 1024, 1099}) {
      if (position >= kLong) break;
      const OwnedMatrix decode = paged.run(*backend, {0}, {{1, position + 1}}, params);
      ASSERT_TRUE(same_bits(decode.tensor(), whole.tensor().rows(position, 1)))
          << "window " << window << " at " << position;
    }
    const SequenceSpec chunks[] = {{13, kLong * 7 / 11}, {100, kLong * 6 / 11}, {kLong * 257 / 1100, kLong * 41 / 44}};
    for (const SequenceSpec& chunk : chunks) {
      const OwnedMatrix part = paged.run(*backend, {0}, {chunk}, params);
      const std::int64_t first = chunk.context_length - chunk.num_queries;
      ASSERT_TRUE(same_bits(part.tensor(), whole.tensor().rows(first, chunk.num_queries))) << "window " << window;
    }
  }
}

TEST_P(AttentionTest, CompanyAndThreadsDoNotChangeBits) {
  const std::unique_ptr<Backend> backend = make_deterministic(2), one_thread = make_deterministic(1);
  const PagedCase paged(dtype(), {8, 2, 64}, {kLong, 90, 1, 300, 20, kLong * 6 / 11});
  const AttentionParams params = params_for(64);
  const std::vector<SequenceSpec> specs = {{1, kLong}, {90, 90}, {1, 1}, {40, 300}, {1, 20}, {2, kLong * 6 / 11}};
  const OwnedMatrix together = paged.run(*backend, {0, 1, 2, 3, 4, 5}, specs, params);
  const OwnedMatrix single = paged.run(*one_thread, {0, 1, 2, 3, 4, 5}, specs, params);
  EXPECT_TRUE(same_bits(together.tensor(), single.tensor()));
  std::int64_t row = 0;
  for (std::int64_t s = 0; s < 6; ++s) {
    const SequenceSpec spec = specs[static_cast<std::size_t>(s)];
    const OwnedMatrix alone = paged.run(*backend, {s}, {spec}, params);
    EXPECT_TRUE(same_bits(alone.tensor(), together.tensor().rows(row, spec.num_queries))) << "sequence " << s;
    row += spec.num_queries;
  }
}

}  // namespace
}  // namespace caudal
