// CopyStream: blocks that are copied beside what the backend computes, and what is ordered against it. On a backend
// whose ops are queued where the device has such: nothing waits here but what the stream promises.
#include "kernels/copy_stream.h"

#include <gtest/gtest.h>

#include <numeric>

#include "kernels/factory/make_backend.h"
#include "tests/kernels/test_memory.h"

namespace caudal {
namespace {

constexpr std::int64_t kHeads = 4, kHeadDim = 64;
constexpr std::int64_t kBlockElements = kBlockSize * kHeads * kHeadDim;

class CopyStreamTest : public testing::Test {
 protected:
  CopyStreamTest() {
    BackendOptions options;
    options.num_threads = 1;
    options.device = kTestDevice;
    backend_ = std::move(make_backend(options)).value();
    stream_ = backend_->make_copy_stream();
  }

  // A cache tensor of the device or of host memory, as long as the test.
  Tensor blocks(Result<Buffer> memory, std::int64_t num_blocks) {
    const Tensor tensor = memory.value().tensor(DType::kF32, {num_blocks, kBlockSize, kHeads, kHeadDim});
    memory_.push_back(std::move(memory).value());
    return tensor;
  }
  Tensor on_device(std::int64_t num_blocks) { return blocks(backend_->allocate(bytes(num_blocks)), num_blocks); }
  Tensor on_host(std::int64_t num_blocks) { return blocks(backend_->allocate_host(bytes(num_blocks)), num_blocks); }

  // Every element of a block has the block's value.
  void set(const Tensor& tensor, const std::vector<float>& values) {
    std::vector<float> elements;
    for (const float value : values) elements.insert(elements.end(), kBlockElements, value);
    backend_->copy_to_device(elements.data(), tensor);
    backend_->synchronize();
  }
  // NaN of a block that holds more than one value.
  std::vector<float> get(const Tensor& tensor) {
    std::vector<float> elements(static_cast<std::size_t>(tensor.elements())), values;
    backend_->copy_to_host(tensor, elements.data());
    backend_->synchronize();
    for (auto block = elements.begin(); block != elements.end(); block += kBlockElements) {
      const bool is_one = std::all_of(block, block + kBlockElements, [&](float element) { return element == *block; });
      values.push_back(is_one ? *block : std::numeric_limits<float>::quiet_NaN());
    }
    return values;
  }
  static std::vector<float> counting(std::int64_t num_blocks, float first) {
    std::vector<float> values(static_cast<std::size_t>(num_blocks));
    std::iota(values.begin(), values.end(), first);
    return values;
  }
  static std::vector<BlockPair> all(std::int32_t num_blocks) {
    std::vector<BlockPair> pairs;
    for (std::int32_t block = 0; block < num_blocks; ++block) pairs.push_back({block, block});
    return pairs;
  }

  std::unique_ptr<Backend> backend_;
  std::vector<Buffer> memory_;
  std::unique_ptr<CopyStream> stream_;

 private:
  static std::size_t bytes(std::int64_t num_blocks) {
    return static_cast<std::size_t>(num_blocks * kBlockElements) * sizeof(float);
  }
};

// So many blocks that a copy takes far longer than a call of the stream.
constexpr std::int32_t kMany = 256;

TEST_F(CopyStreamTest, ScatteredBlocksOfAllTensorsAreCopiedAndNoOthers) {
  const Tensor keys = on_device(6), values = on_device(6), host_keys = on_host(4), host_values = on_host(4);
  set(keys, counting(6, 10));
  set(values, counting(6, 20));
  set(host_keys, counting(4, 30));
  set(host_values, counting(4, 40));
  stream_->start({.pairs = {{5, 0}, {1, 3}, {2, 1}}, .tensors = {{keys, host_keys}, {values, host_values}}});
  stream_->wait(1);
  EXPECT_EQ(stream_->num_done(), 1U);
  EXPECT_EQ(get(host_keys), (std::vector<float>{15, 12, 32, 11}));
  EXPECT_EQ(get(host_values), (std::vector<float>{25, 22, 42, 21}));
  EXPECT_EQ(get(keys), counting(6, 10));
  EXPECT_EQ(get(values), counting(6, 20));

  // Back, of neighbours on both sides and of others.
  stream_->start({.pairs = {{0, 3}, {1, 4}, {3, 0}}, .tensors = {{host_keys, keys}, {host_values, values}}});
  stream_->wait(2);
  EXPECT_EQ(get(keys), (std::vector<float>{11, 11, 12, 15, 12, 15}));
  EXPECT_EQ(get(values), (std::vector<float>{21, 21, 22, 25, 22, 25}));
}

TEST_F(CopyStreamTest, CopiesBeginBehindWhatWasComputedBefore) {
  const Tensor computed = on_device(kMany), cache = on_device(kMany), host = on_host(kMany);
  for (int round = 0; round < 4; ++round) {
    const std::vector<float> expected = counting(kMany, static_cast<float>(1000 * round));
    set(computed, expected);
    backend_->copy_blocks(all(kMany), computed, cache);
    stream_->start({.pairs = all(kMany), .tensors = {{cache, host}}});
    stream_->wait(stream_->num_started());
    EXPECT_EQ(get(host), expected) << round;
  }
}

TEST_F(CopyStreamTest, WhatIsComputedBehindAJoinFindsTheCopiesDone) {
  const Tensor host = on_host(kMany), cache = on_device(kMany), computed = on_device(kMany);
  for (int round = 0; round < 4; ++round) {
    const std::vector<float> expected = counting(kMany, static_cast<float>(1000 * round));
    set(host, expected);
    stream_->start({.pairs = all(kMany), .tensors = {{host, cache}}});
    stream_->join(stream_->num_started());
    backend_->copy_blocks(all(kMany), cache, computed);
    EXPECT_EQ(get(computed), expected) << round;
  }
}

// More at once than the thread's queue holds. Each one reads what the one before has written.
TEST_F(CopyStreamTest, SeveralAtOnceAreDoneInTheOrderOfTheirStart) {
  constexpr std::int32_t kCopies = 100;
  const Tensor cache = on_device(kCopies + 1);
  set(cache, counting(kCopies + 1, 7));
  for (std::int32_t block = 0; block < kCopies; ++block) {
    stream_->start({.pairs = {{block, block + 1}}, .tensors = {{cache, cache}}});
    EXPECT_LE(stream_->num_done(), stream_->num_started());
  }
  EXPECT_EQ(stream_->num_started(), 100U);
  stream_->wait(40);
  const std::uint64_t num_done = stream_->num_done();
  EXPECT_GE(num_done, 40U);
  stream_->join(40);  // done already
  stream_->wait(100);
  EXPECT_EQ(stream_->num_done(), 100U);
  EXPECT_EQ(get(cache), std::vector<float>(kCopies + 1, 7));
}

// Without a call that waits: who polls sees the end as well.
TEST_F(CopyStreamTest, PollingComesToTheEnd) {
  const Tensor cache = on_device(4), host = on_host(4);
  set(cache, counting(4, 1));
  set(host, counting(4, 5));
  EXPECT_EQ(stream_->num_done(), 0U);
  stream_->wait(0);
  stream_->start({.pairs = {{3, 1}}, .tensors = {{cache, host}}});
  stream_->start({.pairs = {}, .tensors = {{cache, host}}});
  while (stream_->num_done() < 2) continue;
  EXPECT_EQ(get(host), (std::vector<float>{5, 4, 7, 8}));
}

TEST_F(CopyStreamTest, CopiesThatAreUnderWayAreDoneWhenTheStreamIsGone) {
  constexpr int kCopies = 4;
  const Tensor cache = on_device(kMany);
  set(cache, counting(kMany, 1));
  std::vector<Tensor> hosts;
  for (int i = 0; i < kCopies; ++i) {
    hosts.push_back(on_host(kMany));
    set(hosts.back(), std::vector<float>(kMany, 0));
  }
  for (const Tensor& host : hosts) stream_->start({.pairs = all(kMany), .tensors = {{cache, host}}});
  stream_.reset();
  for (const Tensor& host : hosts) EXPECT_EQ(get(host), counting(kMany, 1));
}

using CopyStreamDeathTest = CopyStreamTest;

TEST_F(CopyStreamDeathTest, RefusesBlocksThatAreNotThere) {
  const Tensor cache = on_device(4), host = on_host(2);
  const auto start = [&](BlockPair pair) { stream_->start({.pairs = {pair}, .tensors = {{cache, host}}}); };
  EXPECT_DEATH(start({0, 2}), "destination");
  EXPECT_DEATH(start({4, 0}), "source");
}

}  // namespace
}  // namespace caudal
