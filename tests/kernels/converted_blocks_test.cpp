// A device that computes no blocks as they are stored converts them when it packs.
#include "tests/kernels/block_weights.h"
#include "tests/kernels/op_test.h"

namespace caudal {
namespace {

class ConvertedBlocksTest : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Cases, ConvertedBlocksTest, kEveryOpCase, op_case_name);

TEST_P(ConvertedBlocksTest, AreTheSameAsAWeightOfTheirValues) {
  const OwnedMatrix x = OwnedMatrix(dtype(), 3, 512).fill_normal(1);
  for (const StoredFormat format : kBlockFormats) {
    SCOPED_TRACE(info_of(format).name);
    const BlockWeight blocks(format, 40, 512, 2);
    const std::vector<float> values = blocks.values();
    OwnedMatrix weight(dtype(), 40, 512);
    for (std::int64_t i = 0; i < 40 * 512; ++i)
      weight.set(i / 512, i % 512, static_cast<double>(values[static_cast<std::size_t>(i)]));
    LinearSource source;
    source.dtype = dtype();
    source.weight.push_back(blocks.part());
    ASSERT_TRUE(backend_->takes(format));
    const std::unique_ptr<Linear> converted = std::move(backend_->pack_linear(source)).value();
    const OwnedMatrix expected(dtype(), 3, 40), out(dtype(), 3, 40);
    backend_->linear(x.tensor(), *std::move(backend_->pack_linear(source_of(weight.tensor(), {}))).value(),
                     expected.tensor());
    backend_->linear(x.tensor(), *converted, out.tensor());
    EXPECT_TRUE(same_bits(out.tensor(), expected.tensor()));
  }
}

}  // namespace
}  // namespace caudal
