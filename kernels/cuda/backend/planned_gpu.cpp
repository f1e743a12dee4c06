#include "kernels/cuda/backend/planned_gpu.h"

#include <cstdlib>

#include "kernels/comm/communicator.h"
#include "kernels/cuda/backend/gpu_memory.h"

namespace caudal::cuda {
namespace {

[[noreturn]] void not_there() {
  CHECK_MSG(false, "a planned GPU computes nothing");
  std::abort();
}

// Ranks that can exchange what they plan, and whose messages would be queued as NCCL's are.
class PlannedGroup final : public Communicator {
 public:
  explicit PlannedGroup(std::unique_ptr<Communicator> host) : host_(std::move(host)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  bool queues() const override { return true; }
  HostExchange& host() override { return host_->host(); }
  void all_reduce(const Tensor&) override { not_there(); }
  void all_gather_columns(const Tensor&, const Tensor&) override { not_there(); }
  void broadcast(const Tensor&, int) override { not_there(); }

 private:
  std::unique_ptr<Communicator> host_;
};

class PlannedGpu final : public Backend, public Recorder {
 public:
  PlannedGpu(std::string name, const AttentionDevice& device, bool deterministic)
      : name_(std::move(name)), memory_(device, deterministic) {}

  DeviceInfo info() const override { return {.name = name_}; }
  DeviceTraits traits() const override { return GpuMemory::traits(); }
  bool computes_in(DType dtype) const override { return dtype != DType::kI32; }
  bool takes_kv(DType kv_dtype, DType dtype) const override { return kv_dtype == dtype; }
  std::size_t workspace_bytes(const StepSizes& sizes) const override { return memory_.workspace_bytes(sizes); }
  Result<void> health() const override { return {}; }
  Recorder* recorder() override { return this; }
  bool takes(StoredFormat) const override { return true; }
  std::size_t packed_bytes(const LinearShape& shape) const override { return GpuMemory::packed_bytes(shape); }
  std::int64_t max_recorded_tokens(const HeadSizes& heads) const override { return memory_.max_recorded_tokens(heads); }
  Result<std::unique_ptr<Communicator>> make_communicator(std::unique_ptr<Communicator> host, const GatherBytes&,
                                                          const CommOptions&) override {
    return std::unique_ptr<Communicator>(std::make_unique<PlannedGroup>(std::move(host)));
  }

  Result<void> prepare(const StepSizes&, std::size_t) override { not_there(); }
  Result<Buffer> allocate(std::size_t) override { not_there(); }
  Result<Buffer> allocate_host(std::size_t) override { not_there(); }
  void copy_to_device(const void*, const Tensor&) override { not_there(); }
  void copy_to_host(const Tensor&, void*) override { not_there(); }
  void copy_blocks(std::span<const BlockPair>, const Tensor&, const Tensor&) override { not_there(); }
  std::unique_ptr<CopyStream> make_copy_stream() override { not_there(); }
  void zero(const Tensor&) override { not_there(); }
  void synchronize() override { not_there(); }
  Result<std::unique_ptr<Linear>> pack_linear(const LinearSource&) override { not_there(); }
  std::unique_ptr<PendingSamples> sample(const Tensor&, std::int64_t, std::span<const SamplingRow>,
                                         const Tensor&) override {
    not_there();
  }
  std::unique_ptr<PendingSamples> fetch_samples(const Tensor&) override { not_there(); }
  void choose_matmul(const Tensor&, const Linear&, const Tensor&) override { not_there(); }
  Result<std::unique_ptr<Recording>> record(std::int64_t, const std::function<void()>&) override { not_there(); }

 protected:
  void compute(const Op&) override { not_there(); }

 private:
  std::string name_;
  GpuMemory memory_;
};

}  // namespace

std::unique_ptr<Backend> make_planned_gpu(const std::string& name, const AttentionDevice& device, bool deterministic) {
  return std::make_unique<PlannedGpu>(name, device, deterministic);
}

}  // namespace caudal::cuda
