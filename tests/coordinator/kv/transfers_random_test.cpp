// Random operations on Transfers over memory that a real worker could have: what is to be copied is read at the very
// end of its transfer, and until then there is garbage at its destination. Whatever is found by its content has to be
// there; and nobody may hold or be handed a block that the model says is somebody else's.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "coordinator/kv/transfers.h"

namespace caudal {
namespace {

using Text = int;              // what a block holds
constexpr Text kGarbage = -1;  // nothing that anybody may read
constexpr Text kNumTexts = 30;

BlockContent content_of(Text text) {
  std::array<TokenId, kBlockSize> tokens{};
  tokens.fill(text);
  return {0, static_cast<BlockHash>(1 + text), tokens};
}

// A pool as the test sees it: memory, and who holds what.
template <Tier tier>
struct Memory {
  using Id = BlockIdOf<tier>;

  Memory(BlockIndex& index, std::int32_t num_blocks)
      : pool(index, 1, num_blocks), texts(num_blocks), offered(num_blocks), holders(num_blocks), carried(num_blocks) {
    for (const Id block : texts.ids()) texts[block] = kGarbage;
  }
  std::int32_t num_free() const {
    std::int32_t num_free = 0;
    for (const Id block : holders.ids()) num_free += holders[block] + carried[block] == 0 ? 1 : 0;
    return num_free;
  }
  bool is_free(Id block) const { return holders[block] + carried[block] == 0; }

  void check() const {
    for (const Id block : pool.ids()) ASSERT_EQ(pool.num_references(block), holders[block] + carried[block]);
    ASSERT_EQ(pool.num_free(), num_free());
    for (Text expected = 0; expected < kNumTexts; ++expected) {
      if (const std::optional<Id> found = pool.lookup(content_of(expected))) {
        ASSERT_EQ(texts[*found], expected);
        ASSERT_TRUE(offered[*found]) << "it was to be nobody else's";
      }
    }
  }

  BlockPool<tier> pool;
  IndexedVector<Id, Text> texts;
  IndexedVector<Id, bool> offered;          // to whoever looks for what it holds
  IndexedVector<Id, std::int32_t> holders;  // sequences
  IndexedVector<Id, std::int32_t> carried;  // by transfers, from and to
};

class RandomTransfers {
 public:
  explicit RandomTransfers(std::uint64_t seed) : random_(seed) {}

  void step() {
    switch (draw(9)) {
      case 0:
      case 1:
        return compute();
      case 2:
      case 3:
        return let_go();
      case 4:
        return to_host();
      case 5:
        return from_host();
      case 6:
        return take_due();
      case 7:
        return end(known_id());
      case 8:
        return draw(20) == 0 ? lose() : refuse();
      default:
        return;
    }
  }

  void check() {
    device_.check();
    host_.check();
    ASSERT_EQ(transfers_.num_running(), std::ssize(out_) + std::ssize(back_));
    ASSERT_EQ(transfers_.are_due(), num_due() > 0);
    std::int32_t num_departing = 0;
    for (const BlockId block : device_.carried.ids()) {
      num_departing += device_.carried[block] > 0 && device_.holders[block] == 0 ? 1 : 0;
      ASSERT_EQ(transfers_.is_source(block), is_source(block));
    }
    ASSERT_EQ(transfers_.num_departing(), num_departing);
    ASSERT_EQ(device_.pool.check_integrity() + host_.pool.check_integrity(), index_.num_locations());
  }

  // Everybody leaves and everything ends.
  void finish() {
    while (!held_.empty()) let_go();
    take_due();
    while (!out_.empty()) end(out_.begin()->first);
    while (!back_.empty()) end(back_.begin()->first);
    EXPECT_EQ(device_.pool.num_free(), device_.pool.num_blocks());
    EXPECT_EQ(host_.pool.num_free(), host_.pool.num_blocks());
  }

  int num_ended() const { return num_ended_; }
  int num_dropped() const { return num_dropped_; }

 private:
  template <typename Source, typename Destination>
  struct Copies {
    std::vector<Source> sources;
    std::vector<Destination> destinations;  // of those that are due: not known yet, where they go to the host
    bool publish = true;
    bool is_due = true;
  };
  using Out = Copies<BlockId, HostBlockId>;
  using Back = Copies<HostBlockId, BlockId>;

  int draw(int end) { return static_cast<int>(random_() % static_cast<unsigned>(end)); }
  std::size_t any_of(std::size_t size) { return static_cast<std::size_t>(draw(static_cast<int>(size))); }
  std::int64_t num_due() const {
    const auto is_due = [](const auto& entry) { return entry.second.is_due; };
    return std::ranges::count_if(out_, is_due) + std::ranges::count_if(back_, is_due);
  }
  bool is_source(BlockId block) const {
    return std::ranges::any_of(out_,
                               [&](const auto& one) { return std::ranges::count(one.second.sources, block) > 0; });
  }
  TransferId known_id() { return TransferId::of(draw(static_cast<int>(last_id_.value()) + 1)); }

  BlockId allocate() {
    const BlockId block = device_.pool.allocate();
    EXPECT_TRUE(device_.is_free(block)) << "handed out while somebody has it";
    device_.holders[block] = 1;
    device_.texts[block] = kGarbage;
    device_.offered[block] = false;
    held_.push_back(block);
    return block;
  }

  // A sequence computes a block.
  void compute() {
    if (device_.num_free() == 0) return;
    const BlockId block = allocate();
    device_.texts[block] = draw(kNumTexts);
    device_.offered[block] = draw(2) == 0;
    if (device_.offered[block]) device_.pool.publish(block, content_of(device_.texts[block]));
  }
  // A sequence leaves; also one whose block is still on its way.
  void let_go() {
    if (held_.empty()) return;
    const auto block = held_.begin() + static_cast<std::ptrdiff_t>(any_of(held_.size()));
    device_.pool.release(*block);
    --device_.holders[*block];
    held_.erase(block);
  }
  // Blocks that are there and on no way yet.
  void to_host() {
    std::vector<TransferSource<Tier::kDevice>> sources;
    Out out;
    const auto most = std::min(1 + draw(3), host_.num_free());
    for (const BlockId block : held_) {
      if (std::ssize(sources) == most || device_.carried[block] > 0 || device_.texts[block] == kGarbage) continue;
      sources.push_back({block, content_of(device_.texts[block])});
      out.sources.push_back(block);
      ++device_.carried[block];
    }
    if (sources.empty()) return;
    const IndexedVector<HostBlockId, std::int32_t> before = host_references();
    expect_next(transfers_.to_host(sources));
    for (const HostBlockId block : host_.pool.ids()) {
      if (host_.pool.num_references(block) == before[block]) continue;
      EXPECT_TRUE(host_.is_free(block)) << "handed out while somebody has it";
      host_.carried[block] = 1;
      host_.texts[block] = kGarbage;
      host_.offered[block] = false;
    }
    out_[last_id_] = std::move(out);
  }
  // What host memory has, as far as it is drawn, into blocks of a sequence.
  void from_host() {
    std::vector<TransferSource<Tier::kHost>> sources;
    Back back;
    back.publish = draw(2) == 0;
    for (int tries = 0; tries < 6 && std::ssize(sources) < 3; ++tries) {
      const BlockContent content = content_of(draw(kNumTexts));
      const std::optional<HostBlockId> found = host_.pool.lookup(content);
      if (!found || device_.num_free() == 0) continue;
      sources.push_back({*found, content});
      back.sources.push_back(*found);
      ++host_.carried[*found];
      back.destinations.push_back(allocate());
      ++device_.carried[back.destinations.back()];
    }
    if (sources.empty()) return;
    expect_next(transfers_.from_host(sources, back.destinations, back.publish));
    back_[last_id_] = std::move(back);
  }
  void take_due() {
    const std::int64_t num_expected = num_due();
    const DueTransfers due = transfers_.take_due();
    EXPECT_EQ(std::ssize(due.to_host) + std::ssize(due.from_host), num_expected);
    for (const TransferToHost& transfer : due.to_host) {
      Out& out = out_.at(transfer.id);
      out.is_due = false;
      ASSERT_EQ(transfer.copies.size(), out.sources.size());
      for (std::size_t i = 0; i < out.sources.size(); ++i) {
        EXPECT_EQ(transfer.copies[i].source, out.sources[i]);
        EXPECT_EQ(host_.texts[transfer.copies[i].destination], kGarbage);
        out.destinations.push_back(transfer.copies[i].destination);
      }
    }
    for (const TransferFromHost& transfer : due.from_host) {
      Back& back = back_.at(transfer.id);
      back.is_due = false;
      ASSERT_EQ(transfer.copies.size(), back.sources.size());
      for (std::size_t i = 0; i < back.sources.size(); ++i) {
        EXPECT_EQ(transfer.copies[i].source, back.sources[i]);
        EXPECT_EQ(transfer.copies[i].destination, back.destinations[i]);
      }
    }
  }
  // Of any that there has been: it counts once, and not before a plan has started it.
  void end(TransferId id) {
    const bool goes_out = out_.contains(id) && !out_.at(id).is_due;
    const bool comes_back = back_.contains(id) && !back_.at(id).is_due;
    EXPECT_EQ(transfers_.is_running(id), out_.contains(id) || back_.contains(id));
    if (goes_out) copy(out_.at(id), device_, host_);
    if (comes_back) copy(back_.at(id), host_, device_);
    ASSERT_EQ(transfers_.end(id), goes_out || comes_back);
    num_ended_ += goes_out || comes_back ? 1 : 0;
    if (goes_out) forget(out_, id, device_, host_);
    if (comes_back) forget(back_, id, host_, device_);
  }
  void refuse() {
    EXPECT_FALSE(transfers_.end(TransferId::of(static_cast<int>(last_id_.value()) + 1 + draw(5)))) << "none such";
    EXPECT_FALSE(transfers_.end(TransferId(0)));
  }
  // The replica is gone: what was on its way has not arrived, and stays where it was.
  void lose() {
    transfers_.drop_all();
    num_dropped_ += static_cast<int>(out_.size() + back_.size());
    for (const HostBlockId block : host_.pool.ids()) {
      if (host_.texts[block] == kGarbage) host_.carried[block] = 0;
    }
    for (auto& [id, out] : out_) {
      for (const BlockId block : out.sources) --device_.carried[block];
    }
    for (auto& [id, back] : back_) {
      for (const HostBlockId block : back.sources) --host_.carried[block];
      for (const BlockId block : back.destinations) --device_.carried[block];
    }
    out_.clear();
    back_.clear();
    EXPECT_EQ(transfers_.num_departing(), 0);
  }

  static void copy(const auto& copies, const auto& from, auto& to) {
    for (std::size_t i = 0; i < copies.sources.size(); ++i)
      to.texts[copies.destinations[i]] = from.texts[copies.sources[i]];
  }
  static void forget(auto& all, TransferId id, auto& from, auto& to) {
    const auto& copies = all.at(id);
    for (std::size_t i = 0; i < copies.sources.size(); ++i) {
      --from.carried[copies.sources[i]];
      --to.carried[copies.destinations[i]];
      to.offered[copies.destinations[i]] = copies.publish;
      if (copies.publish) {
        EXPECT_TRUE(to.pool.lookup(content_of(to.texts[copies.destinations[i]]))) << "it has arrived";
      }
    }
    all.erase(id);
  }
  void expect_next(TransferId id) {
    EXPECT_EQ(id, TransferId::of(last_id_.value() + 1));
    last_id_ = id;
  }
  IndexedVector<HostBlockId, std::int32_t> host_references() const {
    IndexedVector<HostBlockId, std::int32_t> references(host_.pool.num_blocks());
    for (const HostBlockId block : references.ids()) references[block] = host_.pool.num_references(block);
    return references;
  }

  std::mt19937_64 random_;
  BlockIndex index_;
  Memory<Tier::kDevice> device_{index_, 10};
  Memory<Tier::kHost> host_{index_, 7};
  Transfers transfers_{device_.pool, host_.pool};
  std::vector<BlockId> held_;  // by sequences, one entry each
  std::map<TransferId, Out> out_;
  std::map<TransferId, Back> back_;
  TransferId last_id_ = 0;
  int num_ended_ = 0;
  int num_dropped_ = 0;
};

TEST(TransfersRandom, WhatIsFoundIsThereAndNothingLeaks) {
  int num_ended = 0, num_dropped = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    RandomTransfers world(seed);
    for (int step = 0; step < 400; ++step) {
      world.step();
      world.check();
      if (testing::Test::HasFailure()) return;
    }
    world.finish();
    world.check();
    num_ended += world.num_ended();
    num_dropped += world.num_dropped();
  }
  EXPECT_GT(num_ended, 2000);
  EXPECT_GT(num_dropped, 200);
}

}  // namespace
}  // namespace caudal
