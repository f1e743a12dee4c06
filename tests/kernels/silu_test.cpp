// silu_and_mul against float64, and where exp would overflow.
#include "tests/kernels/op_test.h"
#include "tests/kernels/reference_ops.h"

namespace caudal {
namespace {

class SiluTest : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Cases, SiluTest, kEveryOpCase, op_case_name);

TEST_P(SiluTest, MatchesFloat64) {
  for (const std::int64_t intermediate : {1, 7, 64, 896, 1000}) {
    const OwnedMatrix gate_up = OwnedMatrix(dtype(), 3, 2 * intermediate, 5).fill_normal(1, 5.0);
    const OwnedMatrix out(dtype(), 3, intermediate, 1);
    backend_->silu_and_mul(gate_up.tensor(), out.tensor());
    std::vector<reference::Row> expected;
    for (int r = 0; r < 3; ++r) expected.push_back(reference::silu_and_mul(dtype(), gate_up.row(r)));
    expect_close(out, expected);
  }
}

TEST_P(SiluTest, ExtremesNeitherOverflowNorLoseNan) {
  OwnedMatrix gate_up(dtype(), 1, 8);
  const double gates[] = {-1e30, -200, 200, std::nan("")};
  for (int i = 0; i < 4; ++i) {
    gate_up.set(0, i, gates[i]);
    gate_up.set(0, 4 + i, 1.0);
  }
  const OwnedMatrix out(dtype(), 1, 4);
  backend_->silu_and_mul(gate_up.tensor(), out.tensor());
  EXPECT_NEAR(out.at(0, 0), 0.0, 1e-6);
  EXPECT_NEAR(out.at(0, 1), 0.0, 1e-6);
  EXPECT_NEAR(out.at(0, 2), 200.0, 1e-4);
  EXPECT_TRUE(std::isnan(out.at(0, 3)));
}

TEST_P(SiluTest, ARowDoesNotDependOnItsBatchOrThread) {
  constexpr std::int64_t kRows = 65, kIntermediate = 999;
  const OwnedMatrix gate_up = OwnedMatrix(dtype(), kRows, 2 * kIntermediate).fill_normal(2);
  const OwnedMatrix batch(dtype(), kRows, kIntermediate), alone(dtype(), kRows, kIntermediate);
  backend_->silu_and_mul(gate_up.tensor(), batch.tensor());
  for (std::int64_t r = 0; r < kRows; ++r) {
    one_thread_->silu_and_mul(gate_up.tensor().rows(r, 1), alone.tensor().rows(r, 1));
  }
  EXPECT_TRUE(same_bits(batch.tensor(), alone.tensor()));
  backend_->silu_and_mul(gate_up.tensor().rows(0, 0), batch.tensor().rows(0, 0));
}

}  // namespace
}  // namespace caudal
