// Run under mpirun: the checks of every communicator, and those of one-shot all-reduces, by ranks that are processes.
//   peer_check            as a worker chooses it: a GPU for each rank, if there are as many
//   peer_check --force    over peer memory on one GPU that all ranks share
//   peer_check --lost     the same; rank 1 does not come to an all-reduce, and the others say so
//   peer_check --times    as a worker chooses it, and then the time of an all-reduce by size
#include <fmt/core.h>
#include <mpi.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "common/log.h"
#include "kernels/comm/staged.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/comm/peer.h"
#include "kernels/factory/make_backend.h"
#include "tests/worker/comm/communicator_cases.h"
#include "worker/comm/make.h"
#include "worker/comm/mpi.h"

namespace caudal {
namespace {

// Takes tensors of the host, as the shared checks have them, through the device.
class OnDevice final : public Communicator {
 public:
  OnDevice(Backend& backend, Communicator& inner) : backend_(backend), inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  HostExchange& host() override { return inner_.host(); }

  void all_reduce(const Tensor& tensor) override {
    const Buffer memory = place(tensor);
    const Tensor there = view(memory, tensor);
    inner_.all_reduce(there);
    fetch(there, tensor);
  }
  void all_gather_columns(const Tensor& input, const Tensor& output) override {
    const Buffer in = place(input), out = place(output);
    inner_.all_gather_columns(view(in, input), view(out, output));
    fetch(view(out, output), output);
  }
  void broadcast(const Tensor& tensor, int root) override {
    const Buffer memory = place(tensor);
    inner_.broadcast(view(memory, tensor), root);
    fetch(view(memory, tensor), tensor);
  }

 private:
  static Tensor view(const Buffer& memory, const Tensor& like) {
    return like.rank() == 1 ? memory.tensor(like.dtype(), {like.dim(0)})
                            : memory.tensor(like.dtype(), {like.dim(0), like.dim(1)});
  }
  Buffer place(const Tensor& tensor) {
    Buffer memory = std::move(backend_.allocate(tensor.bytes())).value();
    backend_.copy_to_device(tensor.data(), view(memory, tensor));
    backend_.synchronize();
    return memory;
  }
  void fetch(const Tensor& from, const Tensor& to) {
    backend_.copy_to_host(from, to.data());
    backend_.synchronize();
  }

  Backend& backend_;
  Communicator& inner_;
};

// Many calls of changing size in a row, no rank waiting for another in between but by the calls themselves.
std::string check_many_calls(Backend& backend, Communicator& group) {
  constexpr std::size_t kSizes[] = {1, 65536, 2048, 3, 40000, 2049};
  constexpr std::size_t kCalls = 60, kMost = 65536;
  const Buffer memory = std::move(backend.allocate(kCalls * kMost * sizeof(float))).value();
  const auto tensor_of = [&](std::size_t call) {
    const Tensor all =
        memory.tensor(DType::kF32, {static_cast<std::int64_t>(kCalls), static_cast<std::int64_t>(kMost)});
    return Tensor(all.rows(static_cast<std::int64_t>(call), 1).data(), DType::kF32,
                  {static_cast<std::int64_t>(kSizes[call % std::size(kSizes)])});
  };
  const auto value = [](int rank, std::size_t call, std::size_t i) {
    return static_cast<float>(rank + 1) * static_cast<float>(call * 7 + i % 1000);
  };
  std::vector<float> numbers(kMost);
  for (std::size_t call = 0; call < kCalls; ++call) {
    for (std::size_t i = 0; i < kMost; ++i) numbers[i] = value(group.rank(), call, i);
    backend.copy_to_device(numbers.data(), tensor_of(call));
  }
  for (std::size_t call = 0; call < kCalls; ++call) group.all_reduce(tensor_of(call));
  for (std::size_t call = 0; call < kCalls; ++call) {
    const Tensor tensor = tensor_of(call);
    backend.copy_to_host(tensor, numbers.data());
    backend.synchronize();
    for (std::size_t i = 0; i < static_cast<std::size_t>(tensor.elements()); ++i) {
      float wanted = 0.0F;
      for (int r = 0; r < group.size(); ++r) wanted += value(r, call, i);
      if (numbers[i] != wanted) return fmt::format("call {} of many differs at {}\n", call, i);
    }
  }
  return "";
}

// A graph with three sums in a row, launched again and again.
std::string check_graph(Backend& backend, cuda::CudaContext& context, Communicator& group) {
  const Buffer memory = std::move(backend.allocate(40000)).value();
  const Tensor tensor = memory.tensor(DType::kF32, {10000});
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  context.check(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < 3; ++i) group.all_reduce(tensor);
  context.check(cudaStreamEndCapture(context.stream(), &graph), "capture");
  if (!context.check(cudaGraphInstantiate(&exec, graph, 0), "instantiate")) return context.failure()->message + "\n";
  std::vector<float> numbers(10000);
  std::string wrong;
  for (int round = 1; round <= 3; ++round) {
    std::fill(numbers.begin(), numbers.end(), static_cast<float>(round));
    backend.copy_to_device(numbers.data(), tensor);
    context.check(cudaGraphLaunch(exec, context.stream()), "launch");
    backend.copy_to_host(tensor, numbers.data());
    backend.synchronize();
    const int size = group.size();
    if (numbers[9999] != static_cast<float>(round * size * size * size)) wrong = "a graph's sums differ\n";
  }
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  return wrong;
}

void print_times(Backend& backend, Communicator& group) {
  if (group.rank() == 0) fmt::print("{:>10} {:>12}   bf16 all_reduce, {} ranks\n", "bytes", "us", group.size());
  for (std::size_t bytes = 2048; bytes <= 4UL << 20; bytes *= 2) {
    const Buffer memory = std::move(backend.allocate(bytes)).value();
    const Tensor tensor = memory.tensor(DType::kBF16, {static_cast<std::int64_t>(bytes / 2)});
    backend.zero(tensor);
    constexpr int kRounds = 100;
    group.all_reduce(tensor);
    backend.synchronize();
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kRounds; ++i) group.all_reduce(tensor);
    backend.synchronize();
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - begin;
    if (group.rank() == 0) fmt::print("{:>10} {:>12.1f}\n", bytes, elapsed.count() / kRounds);
  }
}

std::unique_ptr<Communicator> force_peer_memory(Backend& backend, cuda::CudaContext& context,
                                                std::chrono::milliseconds deadline) {
  std::unique_ptr<Communicator> mpi = make_mpi_communicator(MPI_COMM_WORLD);
  const GatherBytes gather = [](std::span<const std::byte> mine, std::span<std::byte> all) {
    const int bytes = static_cast<int>(mine.size());
    MPI_Allgather(mine.data(), bytes, MPI_BYTE, all.data(), bytes, MPI_BYTE, MPI_COMM_WORLD);
  };
  auto memory = std::move(PeerMemory::share(context, mpi->rank(), mpi->size(), gather, deadline)).value();
  return make_peer_communicator(context, std::move(memory), make_staged_communicator(backend, std::move(mpi)));
}

// Ends the process.
[[noreturn]] void lose_a_rank(Backend& backend, cuda::CudaContext& context) {
  const std::unique_ptr<Communicator> group = force_peer_memory(backend, context, std::chrono::milliseconds(500));
  const Buffer memory = std::move(backend.allocate(4096)).value();
  const auto begin = std::chrono::steady_clock::now();
  if (group->rank() != 1) {
    for (int i = 0; i < 5; ++i) group->all_reduce(memory.tensor(DType::kF32, {1024}));  // only the first one waits
    backend.synchronize();
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  if (group->rank() == 0) {
    fmt::print(stderr, "{}{}\n", context.failure() && elapsed.count() < 20 ? "as expected: " : "wrong: ",
               context.failure() ? context.failure()->message : "no failure");
  }
  MPI_Barrier(MPI_COMM_WORLD);
  MPI_Finalize();
  std::_Exit(context.failure().has_value() == (group->rank() != 1) ? 0 : 1);
}

int run(const std::string& mode) {
  int rank = 0, size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  log_init(fmt::format("rank {}", rank), LogLevel::kInfo);
  int gpus = 0;
  cudaGetDeviceCount(&gpus);
  const bool forced = mode == "--force" || mode == "--lost";
  BackendOptions options;
  options.device = CAUDAL_TEST_DEVICE;
  options.gpu = forced || gpus < size ? 0 : rank;
  Result<std::unique_ptr<Backend>> backend = make_backend(options);
  if (!backend) return fmt::print(stderr, "wrong: {}\n", backend.error().message), 1;
  cuda::CudaContext& context = static_cast<cuda::CudaBackend&>(*backend.value()).context();
  if (mode == "--lost") lose_a_rank(*backend.value(), context);

  Result<std::unique_ptr<Communicator>> group =
      forced ? force_peer_memory(*backend.value(), context, PeerMemory::kDeadline)
             : make_communicator(*backend.value(), MPI_COMM_WORLD, {});
  if (!group) return fmt::print(stderr, "wrong: {}\n", group.error().message), 1;
  OnDevice on_device(*backend.value(), *group.value());
  std::string wrong = check_all(on_device) + check_many_calls(*backend.value(), *group.value());
  for (const std::size_t n : {2047UL, 2048UL, 2049UL, 131071UL, 131072UL, 131073UL})
    wrong += check_all_reduce(on_device, DType::kBF16, n);
  if (forced || gpus >= size) wrong += check_graph(*backend.value(), context, *group.value());
  if (context.failure()) wrong += context.failure()->message + "\n";
  if (!wrong.empty()) fmt::print(stderr, "wrong: {}", wrong);
  MPI_Barrier(MPI_COMM_WORLD);
  if (mode == "--times") print_times(*backend.value(), *group.value());
  if (rank == 0 && wrong.empty()) fmt::print(stderr, "all checks passed\n");
  return wrong.empty() ? 0 : 1;
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int code = caudal::run(argc > 1 ? argv[1] : "");
  MPI_Finalize();
  return code;
}
