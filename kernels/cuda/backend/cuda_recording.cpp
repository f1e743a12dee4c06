// Recordings of the CUDA device are graphs: captured from the stream once, launched with one call. The attention
// kernels read all their work from the plan, so a graph holds launches large enough for any plan, and before each run
// the plan of the batch at hand is placed where the graph looks for it.
#include <fmt/core.h>

#include <algorithm>

#include "kernels/cuda/backend/cuda_backend.h"

namespace caudal::cuda {
namespace {

struct GraphDeleter {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
struct GraphExecDeleter {
  void operator()(cudaGraphExec_t exec) const { cudaGraphExecDestroy(exec); }
};
using GraphExec = std::unique_ptr<CUgraphExec_st, GraphExecDeleter>;

std::size_t free_memory() {
  std::size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  return free_bytes;
}

}  // namespace

class CudaBackend::Graph final : public Recording {
 public:
  Graph(CudaBackend& backend, GraphExec exec, const RecordingState& state, std::size_t bytes)
      : backend_(backend), exec_(std::move(exec)), tokens_(state.tokens), plans_(state.plans), bytes_(bytes) {
    for (const PlacedPlan* plan : plans_) places_.push_back(plan->words.data());
  }

  void run(const AttentionBatch& batch) override {
    for (std::size_t i = 0; i < plans_.size(); ++i) {
      if (!backend_.ready() || !backend_.place(*plans_[i], batch)) return;
      CHECK(plans_[i]->words.data() == places_[i]);
      CHECK(AttentionGrid::capture(*plans_[i]->geometry, tokens_).covers(plans_[i]->grid));
    }
    backend_.run([&](cudaStream_t stream) {
      backend_.context_->check(cudaGraphLaunch(exec_.get(), stream), "launching a recorded step");
    });
  }
  std::size_t bytes() const override { return bytes_; }

 private:
  CudaBackend& backend_;
  GraphExec exec_;
  int tokens_;
  std::vector<PlacedPlan*> plans_;
  std::vector<const void*> places_;
  std::size_t bytes_;
};

AttentionGrid CudaBackend::recorded_grid(PlacedPlan& plan) {
  const AttentionGeometry& geometry = *plan.geometry;
  if (!geometry.recordable(recording_->tokens)) {
    context_->fail(fmt::format("{} tokens with {} query heads per KV head are too many for recorded attention",
                               recording_->tokens, geometry.group()));
    return {};
  }
  std::vector<PlacedPlan*>& plans = recording_->plans;
  if (std::ranges::find(plans, &plan) == plans.end()) plans.push_back(&plan);
  return AttentionGrid::capture(geometry, recording_->tokens);
}

// The first run loads kernels, chooses matmuls and takes what memory they want; the second is captured.
Result<std::unique_ptr<Recording>> CudaBackend::record(std::int64_t tokens, const std::function<void()>& ops) {
  if (!ready()) return *context_->failure();
  RecordingState state{.tokens = static_cast<int>(tokens), .capturing = false, .plans = {}};
  recording_ = &state;
  ops();
  context_->synchronize();
  state.capturing = true;
  Result<std::unique_ptr<Recording>> made = context_->failure() ? *context_->failure() : capture(ops, state);
  recording_ = nullptr;
  if (context_->failure()) return context_->recover();
  return made;
}

Result<std::unique_ptr<Recording>> CudaBackend::capture(const std::function<void()>& ops, RecordingState& state) {
  const std::size_t before = free_memory();
  const cudaStream_t stream = context_->stream();
  if (!context_->check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a step"))
    return *context_->failure();
  ops();
  cudaGraph_t raw = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(stream, &raw);
  const std::unique_ptr<CUgraph_st, GraphDeleter> graph(raw);
  cudaGraphExec_t raw_exec = nullptr;
  if (!context_->check(ended, "recording a step") ||
      !context_->check(cudaGraphInstantiate(&raw_exec, graph.get(), 0), "making a graph"))
    return *context_->failure();
  GraphExec exec(raw_exec);
  const std::size_t after = free_memory(), bytes = before > after ? before - after : 0;
  if (recordings_bytes_ + bytes > recordings_planned_) {
    return Error{fmt::format("graphs would take {} KiB, {} are planned", (recordings_bytes_ + bytes) >> 10,
                             recordings_planned_ >> 10),
                 "device"};
  }
  recordings_bytes_ += bytes;
  return std::unique_ptr<Recording>(new Graph(*this, std::move(exec), state, bytes));
}

}  // namespace caudal::cuda
