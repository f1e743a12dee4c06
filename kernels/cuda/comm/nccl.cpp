// Non-blocking communicators: a call may answer "in progress" while it connects, and then a question is asked until
// it is over, fails or is late. Sums are taken in NCCL's order, the same on every rank, unless they are to be ordered.
#include "kernels/cuda/comm/nccl.h"

#include <fmt/core.h>
#include <nccl.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "kernels/cuda/comm/device_watch.h"
#include "kernels/cuda/ops/ops.h"

namespace caudal {
namespace {

constexpr std::chrono::seconds kMeetingDeadline{120};  // ranks may still be loading CUDA
constexpr std::size_t kGatherBytes = std::size_t{16} << 20;

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return ncclBfloat16;
    case DType::kF16:
      return ncclFloat16;
    case DType::kI32:
      return ncclInt32;
    default:
      return ncclFloat32;
  }
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(cuda::CudaContext& context, std::unique_ptr<Communicator> host, bool ordered_sums)
      : context_(context),
        host_(std::move(host)),
        rank_(host_->rank()),
        size_(host_->size()),
        ordered_sums_(ordered_sums) {
    watch_device(host_->host(), context_);
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;
  ~NcclCommunicator() override;

  Result<void> meet();

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  bool queues() const override { return true; }
  HostExchange& host() override { return host_->host(); }
  void all_reduce(const Tensor& tensor) override;
  void all_gather_columns(const Tensor& input, const Tensor& output) override;
  void broadcast(const Tensor& tensor, int root) override;

 private:
  void add_in_order(const Tensor& tensor);
  std::optional<Error> finished(ncclResult_t result, const char* what);
  void queued(ncclResult_t result, const char* what);
  std::optional<Error> look() const;

  cuda::CudaContext& context_;
  std::unique_ptr<Communicator> host_;
  int rank_, size_;
  bool ordered_sums_;
  ncclComm_t comm_ = nullptr;
  void* scratch_ = nullptr;  // kGatherBytes on the device: parts of ranks before they stand side by side
};

// Waits while the communicator says "in progress".
std::optional<Error> NcclCommunicator::finished(ncclResult_t result, const char* what) {
  const auto give_up = std::chrono::steady_clock::now() + kMeetingDeadline;
  while (result == ncclInProgress && comm_ != nullptr) {
    if (std::chrono::steady_clock::now() > give_up)
      return Error{fmt::format("NCCL: {} was not over in {} s", what, kMeetingDeadline.count()), "device"};
    std::this_thread::yield();
    if (ncclCommGetAsyncError(comm_, &result) != ncclSuccess) break;
  }
  if (result == ncclSuccess) return std::nullopt;
  return Error{fmt::format("NCCL: {} failed: {}", what, ncclGetErrorString(result)), "device"};
}

void NcclCommunicator::queued(ncclResult_t result, const char* what) {
  if (const std::optional<Error> error = finished(result, what)) context_.fail(error->message);
}

std::optional<Error> NcclCommunicator::look() const {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked == ncclSuccess && (state == ncclSuccess || state == ncclInProgress)) return std::nullopt;
  return Error{fmt::format("NCCL: a rank of the replica is lost: {}", ncclGetErrorString(state)), "device"};
}

Result<void> NcclCommunicator::meet() {
  ncclUniqueId id{};
  if (rank_ == 0) {
    if (const ncclResult_t made = ncclGetUniqueId(&id); made != ncclSuccess)
      return Error{fmt::format("NCCL cannot be used: {}", ncclGetErrorString(made)), "device"};
  }
  std::array<std::int32_t, sizeof id.internal / sizeof(std::int32_t)> words{};
  std::memcpy(words.data(), id.internal, sizeof id.internal);
  if (Result<void> shared = host().broadcast(words, 0); !shared) return shared.error();
  std::memcpy(id.internal, words.data(), sizeof id.internal);
  if (!context_.check(cudaMalloc(&scratch_, kGatherBytes), "allocating memory for NCCL")) return *context_.failure();
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t begun = ncclCommInitRankConfig(&comm_, size_, id, rank_, &config);
  if (const std::optional<Error> error = finished(begun, "meeting the other ranks")) return *error;
  context_.set_watch(this, [this] { return look(); });
  return {};
}

// A communicator that failed, or whose work never ended, is torn down without asking the others.
NcclCommunicator::~NcclCommunicator() {
  context_.set_watch(this, nullptr);
  if (comm_ != nullptr) {
    const bool orderly = !context_.failure() && !finished(ncclCommFinalize(comm_), "taking leave");
    orderly ? ncclCommDestroy(comm_) : ncclCommAbort(comm_);
  }
  if (scratch_ != nullptr) cudaFree(scratch_);
}

void NcclCommunicator::all_reduce(const Tensor& tensor) {
  CHECK(tensor.contiguous() && tensor.dtype() != DType::kI32);
  if (size_ == 1 || tensor.elements() == 0 || context_.failure()) return;
  if (ordered_sums_) return add_in_order(tensor);
  queued(ncclAllReduce(tensor.data(), tensor.data(), static_cast<std::size_t>(tensor.elements()),
                       type_of(tensor.dtype()), ncclSum, comm_, context_.stream()),
         "all-reduce");
}

// As many numbers at a time as the scratch holds of all ranks.
void NcclCommunicator::add_in_order(const Tensor& tensor) {
  const auto most = static_cast<std::int64_t>(kGatherBytes / dtype_bytes(tensor.dtype())) / size_;
  const Tensor numbers(tensor.data(), tensor.dtype(), {tensor.elements()});
  for (std::int64_t first = 0; first < numbers.dim(0) && !context_.failure(); first += most) {
    const Tensor part = numbers.rows(first, std::min(most, numbers.dim(0) - first));
    queued(ncclAllGather(part.data(), scratch_, static_cast<std::size_t>(part.elements()), type_of(part.dtype()), comm_,
                         context_.stream()),
           "all-gather");
    try {
      cuda::sum_rows(Tensor(scratch_, part.dtype(), {size_, part.elements()}), part, context_.stream());
    } catch (const std::exception& refused) {
      context_.fail(refused.what());
    }
  }
}

// NCCL puts whole parts one after another; rows are then set side by side, as many at a time as the scratch holds.
void NcclCommunicator::all_gather_columns(const Tensor& input, const Tensor& output) {
  CHECK(input.contiguous() && output.contiguous() && output.dim(1) == size_ * input.dim(1));
  CHECK(output.dim(0) == input.dim(0) && output.dtype() == input.dtype());
  if (output.elements() == 0) return;
  const std::size_t width = input.dim(1) * dtype_bytes(input.dtype());
  const std::size_t pitch = width * static_cast<std::size_t>(size_);
  CHECK_MSG(pitch <= kGatherBytes, "a row is too wide to be gathered");
  const auto chunk = static_cast<std::int64_t>(kGatherBytes / pitch);
  for (std::int64_t row = 0; row < input.dim(0); row += chunk) {
    const std::int64_t rows = std::min(chunk, input.dim(0) - row);
    const Tensor part = input.rows(row, rows);
    if (context_.failure()) return;
    queued(ncclAllGather(part.data(), scratch_, static_cast<std::size_t>(part.elements()), type_of(part.dtype()), comm_,
                         context_.stream()),
           "all-gather");
    for (std::size_t r = 0; r < static_cast<std::size_t>(size_); ++r) {
      context_.check(cudaMemcpy2DAsync(output.rows(row, rows).as<std::byte>() + r * width, pitch,
                                       static_cast<std::byte*>(scratch_) + r * part.bytes(), width, width,
                                       static_cast<std::size_t>(rows), cudaMemcpyDefault, context_.stream()),
                     "setting gathered columns side by side");
    }
  }
}

void NcclCommunicator::broadcast(const Tensor& tensor, int root) {
  CHECK(tensor.contiguous());
  if (size_ == 1 || tensor.elements() == 0 || context_.failure()) return;
  queued(ncclBroadcast(tensor.data(), tensor.data(), static_cast<std::size_t>(tensor.elements()),
                       type_of(tensor.dtype()), root, comm_, context_.stream()),
         "broadcast");
}

}  // namespace

Result<std::unique_ptr<Communicator>> make_nccl_communicator(cuda::CudaContext& context,
                                                             std::unique_ptr<Communicator> host, bool ordered_sums) {
  auto communicator = std::make_unique<NcclCommunicator>(context, std::move(host), ordered_sums);
  if (Result<void> met = communicator->meet(); !met) return met.error();
  return std::unique_ptr<Communicator>(std::move(communicator));
}

}  // namespace caudal
