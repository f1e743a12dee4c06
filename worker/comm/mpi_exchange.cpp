#include "worker/comm/mpi_exchange.h"

#include <algorithm>

#include "common/check.h"

namespace caudal {
namespace {

constexpr int kExchangeTag = 7;

}  // namespace

MpiExchange::MpiExchange(MPI_Comm group, std::chrono::milliseconds deadline) : HostExchange(deadline), group_(group) {
  MPI_Comm_rank(group_, &rank_);
  MPI_Comm_size(group_, &size_);
  requests_.assign(2 * static_cast<std::size_t>(size_), MPI_REQUEST_NULL);
}

MpiExchange::~MpiExchange() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  for (std::size_t i = 0; i < requests_.size() && finalized == 0; ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    if (i % 2 == 0) MPI_Cancel(&requests_[i]);
    MPI_Request_free(&requests_[i]);
  }
}

void MpiExchange::send(std::span<const std::int32_t> mine) {
  CHECK(std::ranges::count(requests_, MPI_REQUEST_NULL) == std::ssize(requests_));
  const int count = static_cast<int>(mine.size());
  gathered_.resize(mine.size() * static_cast<std::size_t>(size_));
  const auto part_of = [&](int r) { return gathered_.data() + static_cast<std::ptrdiff_t>(r) * count; };
  std::ranges::copy(mine, part_of(rank_));
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    MPI_Request* requests = &requests_[2 * static_cast<std::size_t>(r)];
    MPI_Irecv(part_of(r), count, MPI_INT32_T, r, kExchangeTag, group_, &requests[0]);
    MPI_Isend(part_of(rank_), count, MPI_INT32_T, r, kExchangeTag, group_, &requests[1]);
  }
}

std::optional<int> MpiExchange::awaited() {
  int done = 0;
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    MPI_Test(&requests_[i], &done, MPI_STATUS_IGNORE);
    if (done == 0) return static_cast<int>(i / 2);
  }
  return std::nullopt;
}

}  // namespace caudal
