#include "worker/comm/make.h"

#include "worker/comm/local.h"
#include "worker/comm/mpi.h"

namespace caudal {

Result<std::unique_ptr<Communicator>> make_communicator(Backend& backend, MPI_Comm group, const CommOptions& options) {
  int size = 1;
  MPI_Comm_size(group, &size);
  if (size == 1) return std::move(make_local_group(1).front());
  const GatherBytes gather = [group](std::span<const std::byte> mine, std::span<std::byte> all) {
    const int bytes = static_cast<int>(mine.size());
    MPI_Allgather(mine.data(), bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, group);
  };
  return backend.make_communicator(make_mpi_communicator(group), gather, options);
}

}  // namespace caudal
