// Ranks that are threads: the same results as MPI's ranks, and a sum that does not depend on who is first.
#include "worker/comm/local.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/comm/communicator_cases.h"
#include "worker/comm/ordered_sum.h"

namespace caudal {
namespace {

class LocalGroups : public testing::TestWithParam<int> {};

TEST_P(LocalGroups, Collectives) {
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(GetParam());
  std::vector<std::string> wrong(groups.size());
  {
    std::vector<std::jthread> ranks;
    for (std::size_t r = 0; r < groups.size(); ++r) ranks.emplace_back([&, r] { wrong[r] = check_all(*groups[r]); });
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

// More rounds than there are places for the numbers, and ranks of different speed.
TEST(HostExchange, GathersAndTells) {
  for (const int size : {1, 2, 3}) {
    std::vector<std::unique_ptr<Communicator>> groups = make_local_group(size);
    std::vector<std::string> wrong(groups.size());
    {
      std::vector<std::jthread> ranks;
      for (std::size_t r = 0; r < groups.size(); ++r) ranks.emplace_back([&, r] { wrong[r] = check_host(*groups[r]); });
    }
    for (const std::string& what : wrong) EXPECT_EQ(what, "");
  }
}

TEST(HostExchange, ARankThatDoesNotComeIsNamed) {
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(2, std::chrono::milliseconds(30));
  std::string told;
  int patience = 3;
  groups[0]->host().set_device(
      {.look = [] { return std::nullopt; }, .fail = [&](const Error& lost) { told = lost.message; }});
  const std::vector<std::int32_t> mine = {1};
  const auto patient = [&] { return patience > 0 && patience-- > 0; };
  EXPECT_EQ(groups[0]->host().gather(mine, patient).error().message,
            "rank 1 of the replica is lost: it did not come to an exchange within 30 ms");
  EXPECT_EQ(patience, 0);
  EXPECT_EQ(told, "rank 1 of the replica is lost: it did not come to an exchange within 30 ms");
}

TEST(HostExchange, AFailureOfTheDeviceEndsTheWait) {
  std::vector<std::unique_ptr<Communicator>> groups = make_local_group(2);
  groups[0]->host().set_device({.look = [] { return Error{"planted", "device"}; }, .fail = {}});
  std::vector<std::int32_t> numbers = {1};
  EXPECT_EQ(groups[0]->host().broadcast(numbers, 1).error().message, "planted");
}

}  // namespace
}  // namespace caudal
