// CountingBackend: a device that computes nothing and counts. A model that is built and run on it once shows what a
// step takes on a real device: how many ops it queues, how wide the rows of its matmuls are, how its attention is
// shaped, and how much memory it allocates. Its addresses point at nothing. Used at start.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/comm/communicator.h"

namespace caudal {

class CountingBackend final : public Backend {
 public:
  std::int64_t num_ops() const { return num_ops_; }  // that a device queues, at the most
  std::size_t row_in_bytes() const { return row_in_bytes_; }
  std::size_t row_out_bytes() const { return row_out_bytes_; }
  const std::vector<HeadSizes>& heads() const { return heads_; }  // each once
  std::size_t allocated_bytes() const { return allocated_bytes_; }
  void count(std::int64_t num_ops) { num_ops_ += num_ops; }

  // A tensor of that shape, not counted as allocated.
  Tensor tensor(DType dtype, std::initializer_list<std::int64_t> shape);
  static std::unique_ptr<Linear> shaped_linear(std::int64_t in_features, std::int64_t out_features, DType dtype);

  DeviceInfo info() const override { return {.name = "counting"}; }
  DeviceTraits traits() const override { return {}; }
  bool computes_in(DType) const override { return true; }
  bool takes_kv(DType, DType) const override { return true; }
  std::size_t workspace_bytes(const StepSizes&) const override { return 0; }
  Result<void> prepare(const StepSizes&, std::size_t) override { return {}; }
  Result<void> health() const override { return {}; }
  Recorder* recorder() override { return nullptr; }
  Result<Buffer> allocate(std::size_t bytes) override;
  Result<Buffer> allocate_host(std::size_t bytes) override { return allocate(bytes); }
  void copy_to_device(const void*, const Tensor&) override {}
  void copy_to_host(const Tensor&, void*) override {}
  void copy_blocks(std::span<const BlockPair>, const Tensor&, const Tensor&) override { count(1); }
  std::unique_ptr<CopyStream> make_copy_stream() override { return nullptr; }  // no part of a model
  void zero(const Tensor&) override {}
  void synchronize() override {}
  bool takes(StoredFormat) const override { return true; }
  std::size_t packed_bytes(const LinearShape&) const override { return 0; }
  Result<std::unique_ptr<Linear>> pack_linear(const LinearSource& source) override;
  // No part of a model.
  Result<std::unique_ptr<Communicator>> make_communicator(std::unique_ptr<Communicator> host, const GatherBytes& gather,
                                                          const CommOptions& options) override;
  std::unique_ptr<PendingSamples> sample(const Tensor& logits, std::int64_t vocab_size,
                                         std::span<const SamplingRow> rows, const Tensor& tokens) override;
  std::unique_ptr<PendingSamples> fetch_samples(const Tensor& tokens) override;

 protected:
  void compute(const Op& op) override;

 private:
  template <typename OtherOp>
  void note(const OtherOp&) {
    count(1);
  }
  void note(const op::Matmul& o);
  void note(const op::PagedAttention& o);

  std::byte nothing_{};  // where every tensor begins; never read or written
  std::int64_t num_ops_ = 0;
  std::size_t row_in_bytes_ = 0;
  std::size_t row_out_bytes_ = 0;
  std::vector<HeadSizes> heads_;
  std::size_t allocated_bytes_ = 0;
};

// A rank of a group of `size` whose messages go nowhere and are counted among the backend's ops.
class CountingCommunicator final : public Communicator {
 public:
  CountingCommunicator(CountingBackend& backend, int rank, int size) : backend_(backend), rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  HostExchange& host() override;
  void all_reduce(const Tensor&) override { count(1); }
  void broadcast(const Tensor&, int) override { count(1); }
  // Gathers the parts, then puts each beside the others.
  void all_gather_columns(const Tensor&, const Tensor&) override { count(1 + size_); }

 private:
  // A group of one has nothing to say.
  void count(std::int64_t num_ops) { backend_.count(size_ > 1 ? num_ops : 0); }

  CountingBackend& backend_;
  int rank_, size_;
};

}  // namespace caudal
