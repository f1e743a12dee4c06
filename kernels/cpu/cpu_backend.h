// The CPU device. Each op is a member function defined in the file of its family (norm.cpp, rope.cpp,
// linear.cpp, ...): check the shapes, then split the rows over the threads of the context. Everything is
// done when a call returns, so synchronize() has nothing to wait for. One step thread calls it.
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
  bool computes_in(DType dtype) const override { return dtype == DType::kF32 || dtype == DType::kBF16; }
  Result<void> prepare(const StepSizes&, std::size_t) override { return {}; }  // memory is taken piece by piece

  Result<Buffer> allocate(std::size_t bytes) override;
  Result<Buffer> allocate_host(std::size_t bytes) override { return allocate(bytes); }
  void copy_to_device(const void* source, const Tensor& destination) override;
  void copy_to_host(const Tensor& source, void* destination) override;
  void zero(const Tensor& destination) override;
  void synchronize() override {}

  Result<std::unique_ptr<Linear>> pack_linear(OwnedTensor weight, OwnedTensor bias) override;
  void embedding(const Tensor& token_ids, const Tensor& table, std::int64_t first_token, const Tensor& out) override;
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override;
  void add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps,
                    const Tensor& out) override;
  void linear(const Tensor& x, const Linear& weight, const Tensor& out) override;
  void silu_and_mul(const Tensor& gate_up, const Tensor& out) override;
  void rope_and_cache(const RopeCacheArgs& args) override;
  void paged_attention(const Tensor& q, const Tensor& k_cache, const Tensor& v_cache, const AttentionBatch& batch,
                       const AttentionParams& params, const Tensor& out) override;
  void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& out) override;
  void copy_blocks(std::span<const BlockCopy> copies, const Tensor& from, const Tensor& to) override;
  std::unique_ptr<PendingDraws> draw(const Tensor& logits, std::int64_t vocab_size, std::span<const SamplingRow> rows,
                                     const Tensor& tokens) override;
  std::unique_ptr<PendingDraws> fetch_draws(const Tensor& tokens) override;
  void take_drawn(const Tensor& drawn, const Tensor& token_ids) override;

 private:
  std::unique_ptr<CpuContext> context_;
};

}  // namespace caudal
