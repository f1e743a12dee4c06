// Ranks that are threads: the same results as MPI's ranks, and a sum that does not depend on who is first.
#include "worker/comm/local.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/comm/communicator_cases.h"
#include "worker/comm/host_exchange.h"
#include "worker/comm/ordered_sum.h"

namespace caudal {
namespace {

class LocalGroups : public testing::TestWithParam<int> {};

TEST_P(LocalGroups, Collectives) {
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(GetParam());
  std::vector<std::string> wrong(groups.size());
  {
    std::vector<std::jthread> ranks;
    for (std::size_t r = 0; r < groups.size(); ++r)
      ranks.emplace_back([&, r] { wrong[r] = check_all(*groups[r]); });
  }
  for (const std::string& what : wrong) EXPECT_EQ(what, "");
}

INSTANTIATE_TEST_SUITE_P(Sizes, LocalGroups, testing::Values(1, 2, 3, 4));

TEST(OrderedSum, AnyCutHasTheSameBits) {
  const std::size_t n = 5000;
  std::vector<std::vector<float>> parts(3, std::vector<float>(n));
  std::vector<const std::byte*> views;
  for (int r = 0; r < 3; ++r) {
    for (std::size_t i = 0; i < n; ++i) parts[static_cast<std::size_t>(r)][i] = contribution(r, i);
    views.push_back(reinterpret_cast<const std::byte*>(parts[static_cast<std::size_t>(r)].data()));
  }
  std::vector<float> whole(n), pieces(n);
  ordered_sum(DType::kF32, views, n, reinterpret_cast<std::byte*>(whole.data()));
  for (int r = 0; r < 7; ++r) {
    const Piece piece = piece_of(n, r, 7);
    std::vector<const std::byte*> shifted;
    for (const std::byte* view : views) shifted.push_back(view + piece.begin * sizeof(float));
    ordered_sum(DType::kF32, shifted, piece.end - piece.begin, reinterpret_cast<std::byte*>(&pieces[piece.begin]));
  }
  EXPECT_EQ(whole, pieces);
}

TEST(HostExchange, GathersAndTells) {
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(2);
  std::vector<std::vector<std::int32_t>> gathered(2), told = {{7, 8}, {0, 0}};
  {
    std::vector<std::jthread> ranks;
    for (std::size_t r = 0; r < 2; ++r) {
      ranks.emplace_back([&, r] {
        const std::unique_ptr<Backend> backend = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
        const auto exchange = std::move(HostExchange::create(*backend, *groups[r], 2)).value();
        const std::vector<std::int32_t> mine = {static_cast<std::int32_t>(r), 40};
        const std::span<const std::int32_t> all = exchange->gather(mine);
        gathered[r].assign(all.begin(), all.end());
        exchange->broadcast(told[r], 0);
      });
    }
  }
  for (std::size_t r = 0; r < 2; ++r) {
    EXPECT_EQ(gathered[r], (std::vector<std::int32_t>{0, 40, 1, 40}));
    EXPECT_EQ(told[r], (std::vector<std::int32_t>{7, 8}));
  }
}

}  // namespace
}  // namespace caudal
