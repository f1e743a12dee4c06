// HostExchange over MPI: a message from each rank to each other, started and never waited for, so that a rank that
// waits can look at its device and its watch. Not the communicator's collectives: MPI keeps the two apart.
#pragma once

#include <mpi.h>

#include "kernels/comm/host_exchange.h"

namespace caudal {

class MpiExchange final : public HostExchange {
 public:
  // `group` must live as long as the exchange.
  MpiExchange(MPI_Comm group, std::chrono::milliseconds deadline);
  // What a lost rank left behind is given up.
  ~MpiExchange() override;
  MpiExchange(const MpiExchange&) = delete;
  MpiExchange& operator=(const MpiExchange&) = delete;

 private:
  void send(std::span<const std::int32_t> mine) override;
  std::optional<int> awaited() override;

  MPI_Comm group_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<MPI_Request> requests_;  // [2 * size]: from and to each rank; null when done
};

}  // namespace caudal
