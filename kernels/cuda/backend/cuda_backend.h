// The CUDA device: one GPU, one stream. Ops queue kernels and return; results are there after synchronize(). Small
// things for the device travel through pinned memory, so that queueing never waits. The first error stays and makes
// later ops do nothing; health() returns it. One step thread calls it.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>

#include "kernels/backend.h"
#include "kernels/cuda/attention/attention.h"
#include "kernels/cuda/backend/arena.h"
#include "kernels/cuda/backend/cuda_context.h"
#include "kernels/cuda/backend/gpu_memory.h"
#include "kernels/cuda/backend/make_cuda.h"
#include "kernels/cuda/backend/matmul.h"

namespace caudal::cuda {

struct PackedSampling;

class CudaBackend final : public Backend, public Recorder {
 public:
  static Result<std::unique_ptr<Backend>> create(const BackendOptions& options, NcclMaker make_nccl);
  ~CudaBackend() override;

  DeviceInfo info() const override;
  DeviceTraits traits() const override { return GpuMemory::traits(); }
  bool computes_in(DType dtype) const override { return dtype != DType::kI32; }
  bool takes_kv(DType kv_dtype, DType dtype) const override { return kv_dtype == dtype; }
  std::size_t workspace_bytes(const StepSizes& sizes) const override { return needs_.workspace_bytes(sizes); }
  Result<void> prepare(const StepSizes& sizes, std::size_t plan_bytes) override;
  Result<void> health() const override;
  Recorder* recorder() override { return this; }

  Result<Buffer> allocate(std::size_t bytes) override;
  Result<Buffer> allocate_host(std::size_t bytes) override;
  void copy_to_device(const void* source, const Tensor& destination) override;
  void copy_to_host(const Tensor& source, void* destination) override;
  void zero(const Tensor& destination) override;
  void synchronize() override { context_->synchronize(); }
  void copy_blocks(std::span<const BlockPair> copies, const Tensor& from, const Tensor& to) override;
  std::unique_ptr<CopyStream> make_copy_stream() override;

  // Every format: packing converts to the dtype of x.
  bool takes(StoredFormat) const override { return true; }
  std::size_t packed_bytes(const LinearShape& shape) const override { return GpuMemory::packed_bytes(shape); }
  Result<std::unique_ptr<Linear>> pack_linear(const LinearSource& source) override;
  // In kernels/cuda/comm/gpu_group.cpp.
  Result<std::unique_ptr<Communicator>> make_communicator(std::unique_ptr<Communicator> host, const GatherBytes& gather,
                                                          const CommOptions& options) override;
  std::unique_ptr<PendingSamples> sample(const Tensor& logits, std::int64_t vocab_size,
                                         std::span<const SamplingRow> rows, const Tensor& tokens) override;
  std::unique_ptr<PendingSamples> fetch_samples(const Tensor& tokens) override;

  void choose_matmul(const Tensor& x, const Linear& weight, const Tensor& out) override;
  Result<std::unique_ptr<Recording>> record(std::int64_t tokens, const std::function<void()>& ops) override;
  std::int64_t max_recorded_tokens(const HeadSizes& heads) const override { return needs_.max_recorded_tokens(heads); }

  CudaContext& context() { return *context_; }

 protected:
  void compute(const Op& op) override;

 private:
  class Graph;

  // A plan of the attention kernels on the device, for the batch that it was made for.
  struct PlacedPlan {
    const AttentionGeometry* geometry = nullptr;
    std::int32_t window = 0;
    std::vector<std::int32_t> query_start, context_length;
    AttentionGrid grid;
    Buffer words;
  };

  // What record() is at. Launches are as large as any plan needs; plans are placed in the first of two runs.
  struct RecordingState {
    int tokens = 1;  // new ones per sequence, at the most
    bool capturing = false;
    std::vector<PlacedPlan*> plans;
  };

  CudaBackend(std::unique_ptr<CudaContext> context, bool deterministic, NcclMaker make_nccl);
  Result<Buffer> allocate_directly(std::size_t bytes);
  // At least `bytes` behind `buffer`; what it held is lost. Grown only by steps larger than those that prepare() was
  // for.
  bool grow(Buffer& buffer, std::size_t bytes);
  Result<Buffer> upload(std::span<const StoredPart> parts, DType dtype, DType out_dtype);
  const AttentionGeometry& geometry_of(const AttentionShape& shape);
  void prepare_attention(const StepSizes& sizes);
  void prepare_tiles(const StepSizes& sizes);
  template <typename RowOp>
  void launch(const RowOp& o);
  void launch(const op::Embedding& o);
  void launch(const op::Matmul& o);
  void launch(const op::PagedAttention& o);
  void linear_in_tiles(const Tensor& x, const CudaLinear& weight, const Tensor& out);
  void copy_rows(const Tensor& from, const Tensor& to);
  void prepare_sampling(const StepSizes& sizes);
  std::size_t queue_samples(const Tensor& logits, std::int64_t vocab_size, const PackedSampling& packed,
                            const Tensor& tokens, std::byte* host);
  PlacedPlan& plan_for(const AttentionGeometry& geometry, std::int32_t window);
  bool place(PlacedPlan& plan, const AttentionBatch& batch);
  AttentionGrid recorded_grid(PlacedPlan& plan);
  Result<std::unique_ptr<Recording>> capture(const std::function<void()>& ops, RecordingState& state);
  bool ready() const { return !context_->failure(); }
  void run(const std::function<void(cudaStream_t)>& launch);

  std::unique_ptr<CudaContext> context_;
  const bool deterministic_;
  const GpuMemory needs_;
  const NcclMaker make_nccl_;
  Buffer memory_;                 // the arena's, while there is one
  std::shared_ptr<Arena> arena_;  // with the buffers that came from it
  std::unique_ptr<Matmul> matmul_;
  std::list<AttentionGeometry> geometries_;  // one for each shape of heads
  std::list<PlacedPlan> plans_;              // one for each window with each shape
  std::size_t plan_words_ = 0;               // most that a plan of a step has
  Buffer attention_workspace_;
  Buffer sampling_;
  Buffer tile_in_, tile_out_;            // of matmuls, when deterministic
  RecordingState* recording_ = nullptr;  // while record() runs
  std::size_t recordings_planned_ = 0, recordings_bytes_ = 0;
};

}  // namespace caudal::cuda
