// rope_and_cache against float64: head norms, rotation, and where k and v land in the paged cache.
#include "tests/kernels/op_test.h"
#include "tests/kernels/reference_ops.h"

namespace caudal {
namespace {

struct Heads {
  std::int64_t num_heads, num_kv_heads, head_dim;
};
constexpr std::int64_t kBlocks = 3, kMaxPosition = 50;

// All tensors of one call. Tokens get positions 0, 7, 14, ... and slots that go down through the cache.
struct Case {
  Case(DType dtype, Heads shape, std::int64_t num_tokens, bool with_norm)
      : Case(dtype, dtype, shape, num_tokens, with_norm) {}
  Case(DType dtype, DType kv_dtype, Heads shape, std::int64_t num_tokens, bool with_norm)
      : shape(shape),
        qkv(dtype, num_tokens, (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim, 4),
        positions(DType::kI32, 1, num_tokens),
        slots(DType::kI32, 1, num_tokens),
        cos_sin(DType::kF32, kMaxPosition, shape.head_dim),
        q_norm(dtype, 1, shape.head_dim),
        k_norm(dtype, 1, shape.head_dim),
        k_cache(kv_dtype, kBlocks * kBlockSize, shape.num_kv_heads * shape.head_dim),
        v_cache(kv_dtype, kBlocks * kBlockSize, shape.num_kv_heads * shape.head_dim) {
    qkv.fill_normal(1);
    q_norm.fill_normal(2);
    k_norm.fill_normal(3);
    k_cache.fill_normal(4);
    v_cache.fill_normal(5);
    for (std::int64_t t = 0; t < num_tokens; ++t) {
      positions.set(0, t, static_cast<double>(t * 7 % kMaxPosition));
      slots.set(0, t, static_cast<double>(kBlocks * kBlockSize - 1 - t));
    }
    for (std::int64_t p = 0; p < kMaxPosition; ++p) {
      for (std::int64_t i = 0; i < shape.head_dim / 2; ++i) {
        const double angle = static_cast<double>(p) *
                             std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim));
        cos_sin.set(p, i, std::cos(angle));
        cos_sin.set(p, shape.head_dim / 2 + i, std::sin(angle));
      }
    }
    args.qkv = qkv.tensor();
    args.positions = positions.vector();
    args.cache_slot = slots.vector();
    args.cos_sin = cos_sin.tensor().reshaped({kMaxPosition, 2, shape.head_dim / 2});
    if (with_norm) {
      args.q_norm = q_norm.vector();
      args.k_norm = k_norm.vector();
    }
    args.norm_eps = 1e-6F;
    args.k_cache = k_cache.tensor().reshaped({kBlocks, kBlockSize, shape.num_kv_heads, shape.head_dim});
    args.v_cache = v_cache.tensor().reshaped({kBlocks, kBlockSize, shape.num_kv_heads, shape.head_dim});
  }

  // qkv as it must be after the call.
  std::vector<reference::Row> expected() const {
    std::vector<reference::Row> rows;
    const std::int64_t dim = shape.head_dim;
    for (std::int64_t t = 0; t < qkv.rows(); ++t) {
      reference::Row row = qkv.row(t);
      const reference::Row angles = cos_sin.row(static_cast<std::int64_t>(positions.at(0, t)));
      const reference::Row cos(angles.begin(), angles.begin() + dim / 2), sin(angles.begin() + dim / 2, angles.end());
      for (std::int64_t h = 0; h < shape.num_heads + shape.num_kv_heads; ++h) {
        const auto head = row.begin() + h * dim;
        const Tensor& norm = h < shape.num_heads ? args.q_norm : args.k_norm;
        const reference::Row weight = norm.empty() ? reference::Row() : (h < shape.num_heads ? q_norm : k_norm).row(0);
        const reference::Row out = reference::rope(qkv.dtype(), {head, head + dim}, weight, 1e-6, cos, sin);
        std::copy(out.begin(), out.end(), head);
      }
      rows.push_back(row);
    }
    return rows;
  }

  Heads shape;
  OwnedMatrix qkv, positions, slots, cos_sin, q_norm, k_norm, k_cache, v_cache;
  op::RopeAndCache args;
};

class RopeTest : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Cases, RopeTest, kEveryOpCase, op_case_name);

// Rotation may cancel, so the tolerance is relative to the size of the pair, here around 1.
void expect_near(const OwnedMatrix& actual, const std::vector<reference::Row>& expected) {
  for (std::int64_t r = 0; r < actual.rows(); ++r) {
    for (std::int64_t c = 0; c < actual.columns(); ++c) {
      const double want = expected[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)];
      const double tolerance =
          actual.dtype() == DType::kBF16 ? 0.03 * (std::abs(want) + 0.5) : 4e-6 * (std::abs(want) + 1);
      ASSERT_NEAR(actual.at(r, c), want, tolerance) << r << ", " << c;
    }
  }
}

TEST_P(RopeTest, MatchesFloat64) {
  for (const Heads shape : {Heads{1, 1, 2}, Heads{3, 1, 14}, Heads{14, 2, 64}, Heads{4, 4, 128}}) {
    for (const bool with_norm : {false, true}) {
      Case c(dtype(), shape, 9, with_norm);
      const std::vector<reference::Row> expected = c.expected();
      backend_->rope_and_cache(c.args);
      expect_near(c.qkv, expected);
    }
  }
}

TEST_P(RopeTest, WritesKAndVToTheirSlotsAndNowhereElse) {
  const Heads shape{3, 2, 64};
  Case c(dtype(), shape, 5, false);
  const OwnedMatrix k_before = c.k_cache, v_before = c.v_cache;
  backend_->rope_and_cache(c.args);
  const std::int64_t kv_columns = shape.num_kv_heads * shape.head_dim, k_begin = shape.num_heads * shape.head_dim;
  for (std::int64_t slot = 0; slot < kBlocks * kBlockSize; ++slot) {
    const std::int64_t token = kBlocks * kBlockSize - 1 - slot;
    const Tensor k =
        token < 5 ? c.args.qkv.rows(token, 1).columns(k_begin, kv_columns) : k_before.tensor().rows(slot, 1);
    const Tensor v = token < 5 ? c.args.qkv.rows(token, 1).columns(k_begin + kv_columns, kv_columns)
                               : v_before.tensor().rows(slot, 1);
    EXPECT_TRUE(same_bits(c.k_cache.tensor().rows(slot, 1), k)) << "slot " << slot;
    EXPECT_TRUE(same_bits(c.v_cache.tensor().rows(slot, 1), v)) << "slot " << slot;
  }
}

TEST_P(RopeTest, RoundsKAndVToAnF16Cache) {
  if (!backend_->takes_kv(DType::kF16, dtype())) GTEST_SKIP() << "not on this device";
  const Heads shape{3, 2, 24};
  Case c(dtype(), DType::kF16, shape, 5, false);
  const std::int64_t k_begin = shape.num_heads * shape.head_dim, v_begin = k_begin + 2 * shape.head_dim;
  c.qkv.set(1, v_begin, 1e6), c.qkv.set(2, v_begin, -1e6), c.qkv.set(3, v_begin + 1, 3e-6);
  backend_->rope_and_cache(c.args);
  for (std::int64_t token = 0; token < 5; ++token) {
    const std::int64_t slot = kBlocks * kBlockSize - 1 - token;
    for (std::int64_t i = 0; i < 2 * shape.head_dim; ++i) {
      EXPECT_EQ(c.k_cache.at(slot, i), round_to(DType::kF16, c.qkv.at(token, k_begin + i)));
      EXPECT_EQ(c.v_cache.at(slot, i),
                round_to(DType::kF16, std::clamp(c.qkv.at(token, v_begin + i), -65504.0, 65504.0)));
    }
  }
}

TEST_P(RopeTest, ATokenDoesNotDependOnItsBatchOrThread) {
  Case batch(dtype(), {14, 2, 64}, 40, true), alone(dtype(), {14, 2, 64}, 40, true);
  backend_->rope_and_cache(batch.args);
  for (std::int64_t t = 0; t < 40; ++t) {
    op::RopeAndCache one = alone.args;
    one.qkv = alone.args.qkv.rows(t, 1);
    one.positions = alone.args.positions.rows(t, 1);
    one.cache_slot = alone.args.cache_slot.rows(t, 1);
    one_thread_->rope_and_cache(one);
  }
  EXPECT_EQ(batch.qkv.bytes(), alone.qkv.bytes());
  EXPECT_EQ(batch.k_cache.bytes(), alone.k_cache.bytes());
}

TEST_P(RopeTest, AnEmptyBatchIsFine) {
  Case c(dtype(), {2, 1, 64}, 0, false);
  backend_->rope_and_cache(c.args);
}

TEST(RopeDeathTest, RefusesASlotOutsideTheCache) {
  const std::unique_ptr<Backend> backend = make_test_backend("", 1);
  Case c(DType::kF32, {2, 1, 64}, 1, false);
  c.slots.set(0, 0, kBlocks * kBlockSize);
  EXPECT_DEATH(backend->rope_and_cache(c.args), "slot");
}

}  // namespace
}  // namespace caudal
