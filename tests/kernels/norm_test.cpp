// rms_norm and add_rms_norm against float64, over odd sizes, strided rows, batches and threads.
#include "tests/kernels/op_test.h"
#include "tests/kernels/reference_ops.h"

namespace caudal {
namespace {

constexpr float kEps = 1e-6F;

class NormTest : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Cases, NormTest, kEveryOpCase, op_case_name);

TEST_P(NormTest, MatchesFloat64) {
  for (const std::int64_t hidden : {1, 7, 64, 896, 1000}) {
    const OwnedMatrix x = OwnedMatrix(dtype(), 5, hidden, 3).fill_normal(1, 4.0);
    const OwnedMatrix weight = OwnedMatrix(dtype(), 1, hidden).fill_normal(2);
    const OwnedMatrix out(dtype(), 5, hidden, 2);
    backend_->rms_norm(x.tensor(), weight.vector(), kEps, out.tensor());
    std::vector<reference::Row> expected;
    for (int r = 0; r < 5; ++r) expected.push_back(reference::rms_norm(dtype(), x.row(r), weight.row(0), 1e-6));
    expect_close(out, expected);
  }
}

TEST_P(NormTest, AddUpdatesTheResidualAndMayWriteOverX) {
  for (const std::int64_t hidden : {1, 7, 64, 896, 1000}) {
    const OwnedMatrix x = OwnedMatrix(dtype(), 4, hidden, 1).fill_normal(3);
    const OwnedMatrix residual = OwnedMatrix(dtype(), 4, hidden).fill_normal(4, 3.0);
    const OwnedMatrix weight = OwnedMatrix(dtype(), 1, hidden).fill_normal(5);
    std::vector<reference::Row> sums, expected;
    for (int r = 0; r < 4; ++r) {
      sums.push_back(reference::add(dtype(), x.row(r), residual.row(r)));
      expected.push_back(reference::rms_norm(dtype(), sums.back(), weight.row(0), 1e-6));
    }
    backend_->add_rms_norm(x.tensor(), residual.tensor(), weight.vector(), kEps, x.tensor());
    expect_close(residual, sums);
    expect_close(x, expected);
  }
}

TEST_P(NormTest, ARowDoesNotDependOnItsBatchOrThread) {
  constexpr std::int64_t kRows = 67, kHidden = 1000;  // enough to be cut over threads
  const OwnedMatrix x = OwnedMatrix(dtype(), kRows, kHidden).fill_normal(6);
  const OwnedMatrix weight = OwnedMatrix(dtype(), 1, kHidden).fill_normal(7);
  const OwnedMatrix batch(dtype(), kRows, kHidden), alone(dtype(), kRows, kHidden);
  backend_->rms_norm(x.tensor(), weight.vector(), kEps, batch.tensor());
  for (std::int64_t r = 0; r < kRows; ++r) {
    one_thread_->rms_norm(x.tensor().rows(r, 1), weight.vector(), kEps, alone.tensor().rows(r, 1));
  }
  EXPECT_TRUE(same_bits(batch.tensor(), alone.tensor()));
}

TEST_P(NormTest, NanStaysInItsRow) {
  OwnedMatrix x = OwnedMatrix(dtype(), 2, 64).fill_normal(8);
  x.set(0, 63, std::nan(""));
  const OwnedMatrix weight = OwnedMatrix(dtype(), 1, 64).fill_normal(9);
  const OwnedMatrix out(dtype(), 2, 64);
  backend_->rms_norm(x.tensor(), weight.vector(), kEps, out.tensor());
  EXPECT_TRUE(std::isnan(out.at(0, 0)));
  EXPECT_FALSE(std::isnan(out.at(1, 0)));
}

TEST_P(NormTest, AnEmptyBatchIsFine) {
  const OwnedMatrix x(dtype(), 0, 8), weight(dtype(), 1, 8);
  backend_->rms_norm(x.tensor(), weight.vector(), kEps, x.tensor());
  backend_->add_rms_norm(x.tensor(), x.tensor(), weight.vector(), kEps, x.tensor());
}

TEST(NormDeathTest, NamesTheDimensionThatIsWrong) {
  const std::unique_ptr<Backend> backend = make_test_backend("", 1);
  const OwnedMatrix x(DType::kF32, 2, 8), weight(DType::kF32, 1, 7);
  EXPECT_DEATH(backend->rms_norm(x.tensor(), weight.vector(), kEps, x.tensor()), "rms_norm: weight .* hidden = 8");
}

}  // namespace
}  // namespace caudal
