#include "worker/comm/make.h"

#include "worker/comm/local.h"
#include "worker/comm/mpi.h"

#ifdef CAUDAL_WITH_CUDA_AS
#include "worker/comm/gpu_group.h"
#endif

namespace caudal {

#ifdef CAUDAL_WITH_NCCL
constexpr NcclMaker kMakeNccl = make_nccl_communicator;
#elif defined(CAUDAL_WITH_CUDA_AS)
constexpr NcclMaker kMakeNccl = nullptr;
#endif

Result<std::unique_ptr<Communicator>> make_communicator(const std::string& device, Backend& backend, MPI_Comm group,
                                                        const CommOptions& options) {
  int size = 1;
  MPI_Comm_size(group, &size);
  if (size == 1) return std::move(make_local_group(1).front());
#ifdef CAUDAL_WITH_CUDA_AS
  if (device == CAUDAL_WITH_CUDA_AS) return make_gpu_communicator(backend, group, options, kMakeNccl);
#endif
  CHECK(device == "cpu");  // make_backend refused every other before
  (void)backend, (void)options;
  return make_mpi_communicator(group);
}

}  // namespace caudal
