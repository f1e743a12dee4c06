// A backend whose ops are done when they return, around one whose ops are queued, so that one test body serves both.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/comm/communicator.h"

namespace caudal {

class WaitingBackend : public Backend {
 public:
  explicit WaitingBackend(std::unique_ptr<Backend> backend) : inner_(std::move(backend)) {}

  DeviceInfo info() const override { return inner_->info(); }
  DeviceTraits traits() const override {
    DeviceTraits traits = inner_->traits();
    traits.queues = false;
    return traits;
  }
  bool computes_in(DType dtype) const override { return inner_->computes_in(dtype); }
  bool takes_kv(DType kv_dtype, DType dtype) const override { return inner_->takes_kv(kv_dtype, dtype); }
  std::size_t workspace_bytes(const StepSizes& sizes) const override { return inner_->workspace_bytes(sizes); }
  Result<void> prepare(const StepSizes& sizes, std::size_t bytes) override { return inner_->prepare(sizes, bytes); }
  Result<void> health() const override { return inner_->health(); }
  Recorder* recorder() override { return nullptr; }
  Result<Buffer> allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  Result<Buffer> allocate_host(std::size_t bytes) override { return inner_->allocate_host(bytes); }
  void synchronize() override {
    inner_->synchronize();
    const Result<void> health = inner_->health();
    CHECK_MSG(health.ok(), health.error().message.c_str());
  }
  void copy_to_device(const void* source, const Tensor& destination) override {
    inner_->copy_to_device(source, destination);
    synchronize();
  }
  void copy_to_host(const Tensor& source, void* destination) override {
    inner_->copy_to_host(source, destination);
    synchronize();
  }
  void copy_blocks(std::span<const BlockPair> copies, const Tensor& from, const Tensor& to) override {
    inner_->copy_blocks(copies, from, to);
    synchronize();
  }
  std::unique_ptr<CopyStream> make_copy_stream() override { return inner_->make_copy_stream(); }
  void zero(const Tensor& destination) override {
    inner_->zero(destination);
    synchronize();
  }
  bool takes(StoredFormat format) const override { return inner_->takes(format); }
  std::size_t packed_bytes(const LinearShape& shape) const override { return inner_->packed_bytes(shape); }
  Result<std::unique_ptr<Linear>> pack_linear(const LinearSource& source) override {
    Result<std::unique_ptr<Linear>> packed = inner_->pack_linear(source);
    synchronize();
    return packed;
  }
  Result<std::unique_ptr<Communicator>> make_communicator(std::unique_ptr<Communicator> host, const GatherBytes& gather,
                                                          const CommOptions& options) override {
    return inner_->make_communicator(std::move(host), gather, options);
  }
  std::unique_ptr<PendingSamples> sample(const Tensor& logits, std::int64_t vocab_size,
                                         std::span<const SamplingRow> rows, const Tensor& tokens) override {
    std::unique_ptr<PendingSamples> samples = inner_->sample(logits, vocab_size, rows, tokens);
    synchronize();
    return samples;
  }
  std::unique_ptr<PendingSamples> fetch_samples(const Tensor& tokens) override { return inner_->fetch_samples(tokens); }

 protected:
  void compute(const Op& op) override {
    inner_->run(op);
    synchronize();
  }

 private:
  std::unique_ptr<Backend> inner_;
};

}  // namespace caudal
