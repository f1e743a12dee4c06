#include "worker/model/plan/counting_backend.h"

#include <algorithm>
#include <cstdlib>

namespace caudal {
namespace {

// Launches of one attention on a GPU: the rows of prefills, those of decodes, and the merging of their parts.
constexpr std::int64_t kAttentionLaunches = 3;

std::size_t row_bytes(const Tensor& tensor) { return tensor.row_elements() * dtype_bytes(tensor.dtype()); }

class ShapedLinear final : public Linear {
 public:
  ShapedLinear(std::int64_t in_features, std::int64_t out_features, DType dtype)
      : in_(in_features), out_(out_features), dtype_(dtype) {}
  std::int64_t in_features() const override { return in_; }
  std::int64_t out_features() const override { return out_; }
  DType compute_dtype() const override { return dtype_; }
  std::size_t bytes() const override { return 0; }

 private:
  std::int64_t in_, out_;
  DType dtype_;
};

}  // namespace

Tensor CountingBackend::tensor(DType dtype, std::initializer_list<std::int64_t> shape) {
  return Tensor(&nothing_, dtype, shape);
}

std::unique_ptr<Linear> CountingBackend::shaped_linear(std::int64_t in_features, std::int64_t out_features,
                                                       DType dtype) {
  return std::make_unique<ShapedLinear>(in_features, out_features, dtype);
}

Result<Buffer> CountingBackend::allocate(std::size_t bytes) {
  allocated_bytes_ += bytes;
  return Buffer(&nothing_, bytes, [](void*) {});
}

Result<std::unique_ptr<Linear>> CountingBackend::pack_linear(const LinearSource& source) {
  return shaped_linear(source.weight.front().columns, total_rows(source.weight), source.dtype);
}

void CountingBackend::compute(const Op& op) {
  std::visit([this](const auto& o) { note(o); }, op);
}

void CountingBackend::note(const op::Matmul& o) {
  count(1);
  row_in_bytes_ = std::max(row_in_bytes_, row_bytes(o.x));
  row_out_bytes_ = std::max(row_out_bytes_, row_bytes(o.out));
}

void CountingBackend::note(const op::PagedAttention& o) {
  count(kAttentionLaunches);
  const HeadSizes sizes{.dtype = o.q.dtype(),
                        .kv_dtype = o.kv_dtype(),
                        .num_heads = o.q.dim(1),
                        .num_kv_heads = o.k_cache.dim(2),
                        .head_dim = o.q.dim(2),
                        .sliding_window = o.params.sliding_window};
  if (std::ranges::find(heads_, sizes) == heads_.end()) heads_.push_back(sizes);
}

Result<std::unique_ptr<Communicator>> CountingBackend::make_communicator(std::unique_ptr<Communicator> host,
                                                                         const GatherBytes&, const CommOptions&) {
  return host;
}

std::unique_ptr<PendingSamples> CountingBackend::sample(const Tensor&, std::int64_t, std::span<const SamplingRow>,
                                                        const Tensor&) {
  CHECK_MSG(false, "a model does not sample");
  std::abort();
}

std::unique_ptr<PendingSamples> CountingBackend::fetch_samples(const Tensor&) {
  CHECK_MSG(false, "a model does not sample");
  std::abort();
}

HostExchange& CountingCommunicator::host() {
  CHECK_MSG(false, "a model does not talk between hosts");
  std::abort();
}

}  // namespace caudal
