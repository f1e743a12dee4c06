// The NCCL communicator on the stand-in for NCCL, ranks as threads with a GPU each: the same checks as every other
// communicator, on device memory and inside a graph, and a rank that is lost.
#include "kernels/cuda/comm/nccl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <barrier>
#include <thread>

#include "kernels/cuda/comm/gpu_group.h"
#include "kernels/cuda/emulation/fake/device.h"
#include "tests/worker/comm/communicator_cases.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

// Runs `body(rank, context, communicator)` on `size` ranks at once.
template <typename Body>
void on_ranks(int size, Body body, fake::Settings settings = {}, bool ordered_sums = false) {
  settings.devices = size;
  fake::reset(settings);
  std::barrier<> meeting(size);
  std::vector<std::unique_ptr<Communicator>> hosts = make_local_group(size);
  std::vector<std::jthread> ranks;
  for (int r = 0; r < size; ++r) {
    ranks.emplace_back([&, r] {
      const std::unique_ptr<cuda::CudaContext> context = std::move(cuda::CudaContext::create(r)).value();
      Result<std::unique_ptr<Communicator>> made =
          make_nccl_communicator(*context, std::move(hosts[static_cast<std::size_t>(r)]), ordered_sums);
      EXPECT_TRUE(made.ok());
      meeting.arrive_and_wait();  // nobody leaves before all have met
      ASSERT_TRUE(made.ok()) << made.error().message;
      body(r, *context, *made.value());
    });
  }
}

// A communicator whose results are there when a call returns, for the shared checks.
class Waiting final : public Communicator {
 public:
  Waiting(cuda::CudaContext& context, Communicator& inner) : context_(context), inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  HostExchange& host() override { return inner_.host(); }
  void all_reduce(const Tensor& tensor) override {
    inner_.all_reduce(tensor);
    context_.synchronize();
  }
  void all_gather_columns(const Tensor& input, const Tensor& output) override {
    inner_.all_gather_columns(input, output);
    context_.synchronize();
  }
  void broadcast(const Tensor& tensor, int root) override {
    inner_.broadcast(tensor, root);
    context_.synchronize();
  }

 private:
  cuda::CudaContext& context_;
  Communicator& inner_;
};

TEST(Nccl, Collectives) {
  for (const int size : {2, 3}) {
    std::vector<std::string> wrong(static_cast<std::size_t>(size));
    on_ranks(size, [&](int r, cuda::CudaContext& context, Communicator& group) {
      Waiting waiting(context, group);
      wrong[static_cast<std::size_t>(r)] = check_all(waiting) + check_host(waiting);
      EXPECT_FALSE(context.failure()) << context.failure()->message;
    });
    for (const std::string& what : wrong) EXPECT_EQ(what, "");
  }
}

// NCCL's sums are in no order that one may count on.
TEST(Nccl, AddsInTheOrderOfRanksWhenAskedTo) {
  fake::Settings settings;
  settings.split_sums = true;
  for (const bool ordered : {false, true}) {
    std::vector<std::string> wrong(3);
    const auto check = [&](int r, cuda::CudaContext& context, Communicator& group) {
      Waiting waiting(context, group);
      wrong[static_cast<std::size_t>(r)] = check_all(waiting);
      EXPECT_FALSE(context.failure()) << context.failure()->message;
    };
    on_ranks(3, check, settings, ordered);
    for (const std::string& what : wrong) EXPECT_EQ(what.empty(), ordered) << what;
  }
}

TEST(Nccl, CollectivesInAGraph) {
  on_ranks(2, [](int r, cuda::CudaContext& context, Communicator& group) {
    void* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, 256), cudaSuccess);
    auto* numbers = static_cast<float*>(memory);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal), cudaSuccess);
    group.all_reduce(Tensor(memory, DType::kF32, {2}));
    ASSERT_EQ(cudaStreamEndCapture(context.stream(), &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
    for (int round = 0; round < 3; ++round) {
      numbers[0] = static_cast<float>(r + round);
      ASSERT_EQ(cudaGraphLaunch(exec, context.stream()), cudaSuccess);
      context.synchronize();
      EXPECT_EQ(numbers[0], static_cast<float>(1 + 2 * round));
    }
    cudaGraphExecDestroy(exec);
    cudaGraphDestroy(graph);
    cudaFree(memory);
  });
}

// Rank 1 fails and leaves in a hurry; rank 0, which waits for it, is told and does not hang.
TEST(Nccl, ALostRankEndsTheWait) {
  on_ranks(2, [](int r, cuda::CudaContext& context, Communicator& group) {
    if (r == 1) return context.fail("planted");
    void* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, 256), cudaSuccess);
    group.all_reduce(Tensor(memory, DType::kF32, {2}));
    for (int i = 0; i < 200; ++i)  // a step has more to wait for than the collective
      cudaLaunchHostFunc(
          context.stream(), [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }, nullptr);
    context.synchronize();
    ASSERT_TRUE(context.failure());
    EXPECT_THAT(context.failure()->message, testing::HasSubstr("a rank of the replica is lost"));
    cudaFree(memory);
  });
}

TEST(GpuGroup, RanksThatShareAGpuTalkThroughTheHost) {
  const std::vector<GpuPlace> apart = {
      {.host = 7, .bus = 1, .gpu = 0}, {.host = 7, .bus = 2, .gpu = 1}, {.host = 9, .bus = 1, .gpu = 0}};
  const std::vector<GpuPlace> shared = {{.host = 7, .bus = 1, .gpu = 0}, {.host = 7, .bus = 1, .gpu = 0}};
  EXPECT_EQ(choose_gpu_path(apart, true), GpuPath::kNccl);
  EXPECT_EQ(choose_gpu_path(shared, true), GpuPath::kStagedSharedGpu);
  EXPECT_EQ(choose_gpu_path(apart, false), GpuPath::kStagedNoNccl);
  EXPECT_EQ(describe_gpus(apart, GpuPath::kNccl),
            "rank 0: host 0 GPU 0, rank 1: host 0 GPU 1, rank 2: host 1 GPU 0; over NCCL");
  EXPECT_EQ(describe_gpus(shared, GpuPath::kStagedSharedGpu),
            "rank 0: host 0 GPU 0, rank 1: host 0 GPU 0; through the host, because ranks share a GPU");
}

TEST(GpuGroup, PeerMemoryIsForNeighboursThatReachEachOther) {
  const GpuPlace a{.host = 7, .bus = 1, .gpu = 0}, b{.host = 7, .bus = 2, .gpu = 1}, far{.host = 9, .bus = 1, .gpu = 0};
  const std::vector<std::uint8_t> all(81, 1);
  EXPECT_EQ(peer_obstacle({a, b}, all), "");
  EXPECT_EQ(peer_obstacle({a, far}, all), "the ranks are on several hosts");
  EXPECT_EQ(peer_obstacle({a, a}, all), "ranks share a GPU");
  EXPECT_EQ(peer_obstacle({a, b}, {0, 1, 0, 0}), "GPU 1 does not reach the memory of GPU 0");
  EXPECT_EQ(peer_obstacle(std::vector<GpuPlace>(9, a), all), "more than 8 ranks");
}

}  // namespace
}  // namespace caudal
