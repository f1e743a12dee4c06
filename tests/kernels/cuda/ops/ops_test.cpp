// The row ops of kernels/cuda against float64, in f32, bf16 and f16, in every schedule of the emulation: whole
// vectors and odd lengths, rows that lie apart, NaN where nobody may read.
#include "kernels/cuda/ops/ops.h"

#include "tests/kernels/cuda/device_matrix.h"
#include "tests/kernels/reference_ops.h"

namespace caudal {
namespace {

using test::DeviceMatrix;
using test::expect_close;
using test::fill_rows;
using test::normal_rows;
using test::Row;
using test::Rows;

constexpr float kEps = 1e-6F;

class CudaOpTest : public testing::TestWithParam<DType> {
 protected:
  void SetUp() override {
    if (!test::has_device()) GTEST_SKIP() << "needs a GPU";
  }
  DType dtype() const { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(DTypes, CudaOpTest, testing::Values(DType::kF32, DType::kBF16, DType::kF16),
                         [](const auto& info) { return std::string(dtype_name(info.param)); });

TEST_P(CudaOpTest, RmsNorm) {
  for (const auto& [hidden, padding] :
       {std::pair<std::int64_t, std::int64_t>{1, 0}, {7, 3}, {64, 8}, {896, 0}, {1000, 1}, {2056, 0}}) {
    const Rows x = normal_rows(dtype(), 3, hidden, 1, 4.0), weight = normal_rows(dtype(), 1, hidden, 2);
    Rows expected;
    for (const Row& row : x) expected.push_back(reference::rms_norm(dtype(), row, weight[0], 1e-6));
    const DeviceMatrix in(dtype(), x, hidden, padding), w(dtype(), weight, hidden);
    test::for_each_schedule([&, hidden = hidden, padding = padding] {
      const DeviceMatrix out(dtype(), fill_rows(3, hidden, NAN), hidden, padding);
      cuda::launch(op::RmsNorm{in.tensor(), w.vector(), kEps, out.tensor()}, nullptr);
      expect_close(dtype(), out.read(), expected);
    });
  }
}

TEST_P(CudaOpTest, AddRmsNormUpdatesTheResidualAndMayWriteOverX) {
  for (const std::int64_t hidden : {7, 64, 896}) {
    const Rows x = normal_rows(dtype(), 2, hidden, 3), residual = normal_rows(dtype(), 2, hidden, 4, 3.0);
    const Rows weight = normal_rows(dtype(), 1, hidden, 5);
    Rows sums, expected;
    for (std::size_t r = 0; r < x.size(); ++r) {
      sums.push_back(reference::add(dtype(), x[r], residual[r]));
      expected.push_back(reference::rms_norm(dtype(), sums.back(), weight[0], 1e-6));
    }
    const DeviceMatrix w(dtype(), weight, hidden);
    test::for_each_schedule([&] {
      const DeviceMatrix in(dtype(), x, hidden, 1), sum(dtype(), residual, hidden);
      cuda::launch(op::AddRmsNorm{in.tensor(), sum.tensor(), w.vector(), kEps, in.tensor()}, nullptr);
      expect_close(dtype(), sum.read(), sums);
      expect_close(dtype(), in.read(), expected);
    });
  }
}

TEST_P(CudaOpTest, ARowOfANormDoesNotDependOnItsBatch) {
  const Rows x = normal_rows(dtype(), 5, 896, 6), weight = normal_rows(dtype(), 1, 896, 7);
  const DeviceMatrix in(dtype(), x, 896), w(dtype(), weight, 896);
  const DeviceMatrix together(dtype(), fill_rows(5, 896, 0), 896), alone(dtype(), fill_rows(5, 896, 0), 896);
  cuda::launch(op::RmsNorm{in.tensor(), w.vector(), kEps, together.tensor()}, nullptr);
  for (int r = 0; r < 5; ++r) {
    cuda::launch(op::RmsNorm{in.tensor().rows(r, 1), w.vector(), kEps, alone.tensor().rows(r, 1)}, nullptr);
  }
  EXPECT_EQ(together.read(), alone.read());
}

TEST_P(CudaOpTest, SiluAndMul) {
  for (const std::int64_t intermediate : {1, 40, 331, 2560}) {
    Rows gate_up = normal_rows(dtype(), 3, 2 * intermediate, 8, 3.0);
    gate_up[0][0] = -90;
    gate_up[1][0] = 90;
    Rows expected;
    for (const Row& row : gate_up) expected.push_back(reference::silu_and_mul(dtype(), row));
    const DeviceMatrix in(dtype(), gate_up, 2 * intermediate, 8);
    test::for_each_schedule([&] {
      const DeviceMatrix out(dtype(), fill_rows(3, intermediate, NAN), intermediate, 8);
      cuda::launch(op::SiluAndMul{in.tensor(), out.tensor()}, nullptr);
      expect_close(dtype(), out.read(), expected);
    });
  }
}

TEST_P(CudaOpTest, EmbeddingIsZeroOutsideThisRanksPart) {
  for (const std::int64_t hidden : {1, 6, 64, 520}) {
    const Rows table = normal_rows(dtype(), 10, hidden, 9);
    const Rows ids{{100, 109, 99, 110, 0, 103}};
    Rows expected;
    for (const double id : ids[0]) {
      const bool inside = id >= 100 && id < 110;
      expected.push_back(inside ? table[static_cast<std::size_t>(id) - 100] : Row(static_cast<std::size_t>(hidden), 0));
    }
    const DeviceMatrix token_ids(DType::kI32, ids, 6), rows(dtype(), table, hidden, 2);
    const DeviceMatrix out(dtype(), fill_rows(6, hidden, NAN), hidden);
    cuda::launch(op::Embedding{token_ids.vector(), nullptr, 100, out.tensor()}, rows.tensor(), nullptr);
    EXPECT_EQ(out.read(), expected);
  }
}

TEST_P(CudaOpTest, GatherRows) {
  const Rows x = normal_rows(dtype(), 9, 72, 10);
  const DeviceMatrix in(dtype(), x, 72, 4), rows(DType::kI32, {{8, 0, 3, 3}}, 4),
      out(dtype(), fill_rows(4, 72, NAN), 72, 6);
  cuda::launch(op::GatherRows{in.tensor(), rows.vector(), out.tensor()}, nullptr);
  EXPECT_EQ(out.read(), (Rows{x[8], x[0], x[3], x[3]}));
  cuda::launch(op::GatherRows{in.tensor(), rows.vector().rows(0, 0), out.tensor().rows(0, 0)}, nullptr);
}

TEST_P(CudaOpTest, RowsAreAddedInOrder) {
  const Rows parts = {{1, 2, 0.5}, {1e4, -1e4, 3}, {-1e4, 1e4, 0.25}};
  const DeviceMatrix in(dtype(), parts, 3), out(dtype(), fill_rows(1, 3, NAN), 3);
  cuda::sum_rows(in.tensor(), out.vector(), nullptr);
  Row expected;
  for (std::size_t i = 0; i < 3; ++i) {
    float sum = 0.0F;
    for (const Row& part : parts) sum += static_cast<float>(round_to(dtype(), part[i]));
    expected.push_back(round_to(dtype(), static_cast<double>(sum)));
  }
  EXPECT_EQ(out.read(), Rows{expected});
}

struct RopeCase {
  std::int64_t head_dim, num_heads, num_kv_heads;
  bool norm;
};

// Three tokens, the second of them padding; everything that the op may not write must stay as it was.
void check_rope(DType dtype, const RopeCase& c) {
  constexpr std::int64_t kTokens = 3, kBlocks = 3, kPositions = 50;
  const std::int64_t half = c.head_dim / 2, heads = c.num_heads + 2 * c.num_kv_heads, columns = heads * c.head_dim;
  const std::int64_t kv_columns = c.num_kv_heads * c.head_dim;
  const Rows qkv = normal_rows(dtype, kTokens, columns, 12), norms = normal_rows(dtype, 2, c.head_dim, 13);
  const Rows cos_sin = normal_rows(DType::kF32, kPositions, 2 * half, 14);
  const Rows positions{{49, 0, 7}}, slots{{2 * kBlockSize + 15, -1, 3}};
  const auto kv_slots = fill_rows(kBlocks * kBlockSize, kv_columns, 55);

  Rows rotated = qkv, keys = kv_slots, values = kv_slots;
  for (std::size_t t : {std::size_t{0}, std::size_t{2}}) {
    const Row& table = cos_sin[static_cast<std::size_t>(positions[0][t])];
    const Row cos(table.begin(), table.begin() + half), sin(table.begin() + half, table.end());
    for (std::int64_t h = 0; h < heads - c.num_kv_heads; ++h) {
      const auto begin = qkv[t].begin() + h * c.head_dim;
      const Row norm = c.norm ? norms[h < c.num_heads ? 0 : 1] : Row{};
      const Row out = reference::rope(dtype, Row(begin, begin + c.head_dim), norm, 1e-6, cos, sin);
      std::copy(out.begin(), out.end(), rotated[t].begin() + h * c.head_dim);
    }
    const auto slot = static_cast<std::size_t>(slots[0][t]);
    const auto k = rotated[t].begin() + c.num_heads * c.head_dim;
    keys[slot] = Row(k, k + kv_columns);
    values[slot] = Row(k + kv_columns, k + 2 * kv_columns);
  }

  const DeviceMatrix position_ids(DType::kI32, positions, kTokens), slot_ids(DType::kI32, slots, kTokens);
  const DeviceMatrix table(DType::kF32, cos_sin, 2 * half), q_norm(dtype, {norms[0]}, c.head_dim),
      k_norm(dtype, {norms[1]}, c.head_dim);
  test::for_each_schedule([&] {
    const DeviceMatrix in(dtype, qkv, columns, 2), k_cache(dtype, kv_slots, kv_columns),
        v_cache(dtype, kv_slots, kv_columns);
    op::RopeAndCache args;
    args.qkv = in.tensor();
    args.positions = position_ids.vector();
    args.cache_slot = slot_ids.vector();
    args.cos_sin = table.reshaped({kPositions, 2, half});
    if (c.norm) {
      args.q_norm = q_norm.vector();
      args.k_norm = k_norm.vector();
    }
    args.norm_eps = kEps;
    args.k_cache = k_cache.reshaped({kBlocks, kBlockSize, c.num_kv_heads, c.head_dim});
    args.v_cache = v_cache.reshaped({kBlocks, kBlockSize, c.num_kv_heads, c.head_dim});
    cuda::launch(args, nullptr);
    expect_close(dtype, in.read(), rotated);
    expect_close(dtype, k_cache.read(), keys);
    EXPECT_EQ(v_cache.read(), values);
  });
}

TEST_P(CudaOpTest, RopeAndCache) {
  for (const RopeCase& c : {RopeCase{64, 4, 2, false}, RopeCase{80, 3, 1, true}, RopeCase{96, 2, 2, false},
                            RopeCase{128, 4, 1, true}, RopeCase{256, 2, 1, true}, RopeCase{6, 2, 1, true}}) {
    SCOPED_TRACE(testing::Message() << "head_dim " << c.head_dim);
    check_rope(dtype(), c);
  }
}

TEST_P(CudaOpTest, AnEmptyBatchIsFine) {
  const DeviceMatrix none(dtype(), {}, 8), weight(dtype(), fill_rows(1, 8, 1), 8), half(dtype(), {}, 4);
  cuda::launch(op::RmsNorm{none.tensor(), weight.vector(), kEps, none.tensor()}, nullptr);
  cuda::launch(op::SiluAndMul{none.tensor(), half.tensor()}, nullptr);
}

}  // namespace
}  // namespace caudal
