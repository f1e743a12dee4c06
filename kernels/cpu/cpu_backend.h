// The CPU device. Everything is done when a call returns. One step thread calls it; ops (cpu_ops.h) split their rows
// over the threads of its context.
#pragma once

#include <memory>
#include <span>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_context.h"

namespace caudal {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(std::unique_ptr<CpuContext> context) : context_(std::move(context)) {}

  DeviceInfo info() const override;
  DeviceTraits traits() const override;
  bool computes_in(DType dtype) const override { return dtype == DType::kF32 || dtype == DType::kBF16; }
  bool takes_kv(DType kv_dtype, DType dtype) const override {
    return kv_dtype == dtype || (kv_dtype == DType::kF16 && dtype == DType::kF32);
  }

  // Memory is taken piece by piece, and scratch grows with the steps.
  std::size_t workspace_bytes(const StepSizes&) const override { return 0; }
  Result<void> prepare(const StepSizes&, std::size_t) override { return {}; }
  Result<void> health() const override { return {}; }
  Recorder* recorder() override { return nullptr; }

  Result<Buffer> allocate(std::size_t bytes) override;
  Result<Buffer> allocate_host(std::size_t bytes) override { return allocate(bytes); }
  void copy_to_device(const void* source, const Tensor& destination) override;
  void copy_to_host(const Tensor& source, void* destination) override;
  void copy_blocks(std::span<const BlockPair> copies, const Tensor& from, const Tensor& to) override;
  std::unique_ptr<CopyStream> make_copy_stream() override;
  void zero(const Tensor& destination) override;
  void synchronize() override {}

  // Every format: packing converts to the dtype of x.
  bool takes(StoredFormat) const override { return true; }
  std::size_t packed_bytes(const LinearShape& shape) const override;
  Result<std::unique_ptr<Linear>> pack_linear(const LinearSource& source) override;
  Result<std::unique_ptr<Communicator>> make_communicator(std::unique_ptr<Communicator> host, const GatherBytes& gather,
                                                          const CommOptions& options) override;
  std::unique_ptr<PendingSamples> sample(const Tensor& logits, std::int64_t vocab_size,
                                         std::span<const SamplingRow> rows, const Tensor& tokens) override;
  std::unique_ptr<PendingSamples> fetch_samples(const Tensor& tokens) override;

 protected:
  void compute(const Op& op) override;

 private:
  std::unique_ptr<CpuContext> context_;
};

}  // namespace caudal
