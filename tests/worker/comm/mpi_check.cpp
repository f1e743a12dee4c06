// Run under mpirun: the communicator checks over MPI, then the time of an all_reduce by message size.
#include <fmt/core.h>
#include <mpi.h>

#include <chrono>

#include "tests/worker/comm/communicator_cases.h"
#include "worker/comm/mpi.h"

namespace caudal {
namespace {

void print_times(Communicator& group) {
  if (group.rank() == 0) fmt::print("{:>10} {:>12}   bf16 all_reduce, {} ranks\n", "bytes", "us", group.size());
  for (std::size_t bytes = 2048; bytes <= 4UL << 20; bytes *= 2) {
    std::vector<std::byte> data(bytes);
    const Tensor tensor(data.data(), DType::kBF16, {static_cast<std::int64_t>(bytes / 2)});
    const int rounds = static_cast<int>(std::max<std::size_t>(5, (1UL << 22) / bytes));
    group.all_reduce(tensor);
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < rounds; ++i) group.all_reduce(tensor);
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - begin;
    if (group.rank() == 0) fmt::print("{:>10} {:>12.1f}\n", bytes, elapsed.count() / rounds);
  }
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const std::unique_ptr<caudal::Communicator> group = caudal::make_mpi_communicator(MPI_COMM_WORLD);
  const std::string wrong = caudal::check_all(*group) + caudal::check_host(*group);
  fmt::print(stderr, "{}", wrong);
  if (argc > 1 && std::string(argv[1]) == "--times") caudal::print_times(*group);
  MPI_Finalize();
  return wrong.empty() ? 0 : 1;
}
