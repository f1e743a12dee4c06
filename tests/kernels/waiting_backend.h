// A backend whose ops are done when they return, around one whose ops are queued, so that one test body serves both.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace caudal {

class WaitingBackend final : public Backend {
 public:
  explicit WaitingBackend(std::unique_ptr<Backend> backend) : inner_(std::move(backend)) {}

  DeviceInfo info() const override { return inner_->info(); }
  bool computes_in(DType dtype) const override { return inner_->computes_in(dtype); }
  std::size_t workspace_bytes(const StepSizes& sizes) const override { return inner_->workspace_bytes(sizes); }
  Result<void> prepare(const StepSizes& sizes, std::size_t bytes) override { return inner_->prepare(sizes, bytes); }
  Result<void> health() const override { return inner_->health(); }
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
  void zero(const Tensor& destination) override {
    inner_->zero(destination);
    synchronize();
  }
  Result<std::unique_ptr<Linear>> pack_linear(OwnedTensor weight, OwnedTensor bias) override {
    Result<std::unique_ptr<Linear>> packed = inner_->pack_linear(std::move(weight), std::move(bias));
    synchronize();
    return packed;
  }
  void embedding(const Tensor& token_ids, const Tensor& table, std::int64_t first_token, const Tensor& out) override {
    inner_->embedding(token_ids, table, first_token, out);
    synchronize();
  }
  void rms_norm(const Tensor& x, const Tensor& weight, float eps, const Tensor& out) override {
    inner_->rms_norm(x, weight, eps, out);
    synchronize();
  }
  void add_rms_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps,
                    const Tensor& out) override {
    inner_->add_rms_norm(x, residual, weight, eps, out);
    synchronize();
  }
  void linear(const Tensor& x, const Linear& weight, const Tensor& out) override {
    inner_->linear(x, weight, out);
    synchronize();
  }
  void choose_linear(const Tensor& x, const Linear& weight, const Tensor& out) override {
    inner_->choose_linear(x, weight, out);
  }
  void silu_and_mul(const Tensor& gate_up, const Tensor& out) override {
    inner_->silu_and_mul(gate_up, out);
    synchronize();
  }
  void rope_and_cache(const RopeCacheArgs& args) override {
    inner_->rope_and_cache(args);
    synchronize();
  }
  void paged_attention(const Tensor& q, const Tensor& k_cache, const Tensor& v_cache, const AttentionBatch& batch,
                       const AttentionParams& params, const Tensor& out) override {
    inner_->paged_attention(q, k_cache, v_cache, batch, params, out);
    synchronize();
  }
  void gather_rows(const Tensor& x, const Tensor& rows, const Tensor& out) override {
    inner_->gather_rows(x, rows, out);
    synchronize();
  }
  void copy_blocks(std::span<const BlockCopy> copies, const Tensor& from, const Tensor& to) override {
    inner_->copy_blocks(copies, from, to);
    synchronize();
  }
  std::unique_ptr<PendingDraws> draw(const Tensor& logits, std::int64_t vocab_size, std::span<const SamplingRow> rows,
                                     const Tensor& tokens) override {
    std::unique_ptr<PendingDraws> draws = inner_->draw(logits, vocab_size, rows, tokens);
    synchronize();
    return draws;
  }
  std::unique_ptr<PendingDraws> fetch_draws(const Tensor& tokens) override { return inner_->fetch_draws(tokens); }
  void take_drawn(const Tensor& drawn, const Tensor& token_ids) override {
    inner_->take_drawn(drawn, token_ids);
    synchronize();
  }

 private:
  std::unique_ptr<Backend> inner_;
};

}  // namespace caudal
