// The CUDA device itself: memory, copies, start. Its ops are in cuda_ops.cpp.
#include "kernels/cuda/backend/cuda_backend.h"

#include <fmt/core.h>

#include <cstring>

#include "kernels/cuda/backend/make_cuda.h"
#include "kernels/expect.h"

namespace caudal {

Result<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options, cuda::NcclMaker make_nccl) {
  return cuda::CudaBackend::create(options, make_nccl);
}

}  // namespace caudal

namespace caudal::cuda {
namespace {

Error no_memory(std::size_t bytes, cudaError_t status) {
  std::size_t free_bytes = 0, total_bytes = 0;
  cudaMemGetInfo(&free_bytes, &total_bytes);
  return {fmt::format("{} MiB of GPU memory could not be allocated, {} of {} MiB are free ({})", bytes >> 20,
                      free_bytes >> 20, total_bytes >> 20, cudaGetErrorName(status)),
          ""};
}

AttentionDevice attention_device(const CudaContext& context) {
  const cudaDeviceProp& properties = context.properties();
  return {.num_sms = properties.multiProcessorCount,
          .compute_capability = context.compute_capability(),
          .shared_bytes_per_sm = static_cast<int>(properties.sharedMemPerMultiprocessor)};
}

}  // namespace

CudaBackend::CudaBackend(std::unique_ptr<CudaContext> context, bool deterministic, NcclMaker make_nccl)
    : context_(std::move(context)),
      deterministic_(deterministic),
      needs_(attention_device(*context_), deterministic),
      make_nccl_(make_nccl) {}

Result<std::unique_ptr<Backend>> CudaBackend::create(const BackendOptions& options, NcclMaker make_nccl) {
  Result<std::unique_ptr<CudaContext>> context = CudaContext::create(options.gpu);
  if (!context) return context.error();
  std::unique_ptr<CudaBackend> backend(new CudaBackend(std::move(context).value(), options.deterministic, make_nccl));
  Result<Buffer> workspace = backend->allocate_directly(Matmul::kWorkspaceBytes);
  if (!workspace) return workspace.error();
  Result<std::unique_ptr<Matmul>> matmul = Matmul::create(*backend->context_, std::move(workspace).value(),
                                                          {.tf32 = options.tf32, .whole_sums = options.deterministic});
  if (!matmul) return matmul.error();
  backend->matmul_ = std::move(matmul).value();
  return std::unique_ptr<Backend>(std::move(backend));
}

CudaBackend::~CudaBackend() { context_->synchronize(); }

DeviceInfo CudaBackend::info() const {
  const cudaDeviceProp& properties = context_->properties();
  DeviceInfo info;
  info.name = fmt::format("cuda: {} {} (compute capability {}.{}, {} multiprocessors{})", context_->device(),
                          properties.name, properties.major, properties.minor, properties.multiProcessorCount,
                          deterministic_ ? ", deterministic" : "");
  cudaMemGetInfo(&info.free_memory_bytes, &info.total_memory_bytes);
  return info;
}

Result<void> CudaBackend::health() const {
  if (context_->failure()) return *context_->failure();
  return {};
}

Result<Buffer> CudaBackend::allocate_directly(std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, std::max<std::size_t>(bytes, 1));
  if (status != cudaSuccess) return no_memory(bytes, status);
  return Buffer(data, bytes, [](void* p) { cudaFree(p); });
}

Result<Buffer> CudaBackend::allocate(std::size_t bytes) {
  if (!arena_) return allocate_directly(bytes);
  const std::optional<std::size_t> offset = arena_->take(bytes);
  if (!offset) {
    return Error{fmt::format("{} bytes were asked for and the memory plan has {} left", bytes, arena_->free_bytes()),
                 ""};
  }
  return Buffer(static_cast<std::byte*>(memory_.data()) + *offset, bytes,
                [arena = arena_, at = *offset](void*) { arena->give(at); });
}

Result<Buffer> CudaBackend::allocate_host(std::size_t bytes) {
  void* data = nullptr;
  const cudaError_t status = cudaHostAlloc(&data, std::max<std::size_t>(bytes, 1), cudaHostAllocPortable);
  if (status != cudaSuccess) {
    return Error{fmt::format("{} MiB of host memory could not be pinned ({})", bytes >> 20, cudaGetErrorName(status)),
                 ""};
  }
  return Buffer(data, bytes, [](void* p) { cudaFreeHost(p); });
}

// The driver takes the memory of recordings itself: room for it is left beside the arena.
Result<void> CudaBackend::prepare(const StepSizes& sizes, std::size_t plan_bytes) {
  recordings_planned_ = needs_.recording_bytes(sizes);
  Result<Buffer> memory = allocate_directly(plan_bytes - recordings_planned_);
  if (!memory) return memory.error();
  memory_ = std::move(memory).value();
  arena_ = std::make_shared<Arena>(memory_.bytes());
  prepare_attention(sizes);
  prepare_sampling(sizes);
  if (deterministic_) prepare_tiles(sizes);
  return health();
}

bool CudaBackend::grow(Buffer& buffer, std::size_t bytes) {
  if (buffer.bytes() >= bytes) return true;
  context_->synchronize();  // the old one may still be in use
  buffer = Buffer();
  Result<Buffer> larger = allocate(bytes);
  if (!larger) context_->fail(larger.error().message);
  if (larger) buffer = std::move(larger).value();
  return larger.ok();
}

// Through pinned memory, in pieces: the source may be changed at once, and the host waits only when it is a whole ring
// ahead of the device.
void CudaBackend::copy_to_device(const void* source, const Tensor& destination) {
  if (destination.elements() == 0) return;
  const std::size_t element = dtype_bytes(destination.dtype());
  const bool whole = destination.contiguous();  // one long row
  const std::size_t num_rows = whole ? 1 : static_cast<std::size_t>(destination.dim(0));
  const std::size_t row_bytes = destination.bytes() / num_rows;
  const std::size_t pitch = whole ? row_bytes : static_cast<std::size_t>(destination.stride0()) * element;
  const auto* from = static_cast<const std::byte*>(source);
  auto* to = static_cast<std::byte*>(destination.data());
  const std::size_t width = std::min(row_bytes, CudaContext::kStageBytes);
  for (std::size_t column = 0; column < row_bytes; column += width) {
    const std::size_t bytes = std::min(width, row_bytes - column);
    const std::size_t rows_at_once = CudaContext::kStageBytes / bytes;
    for (std::size_t row = 0; row < num_rows && ready(); row += rows_at_once) {
      const std::size_t rows = std::min(rows_at_once, num_rows - row);
      std::byte* staged = context_->stage(rows * bytes);
      for (std::size_t r = 0; r < rows; ++r)
        std::memcpy(staged + r * bytes, from + (row + r) * row_bytes + column, bytes);
      std::byte* target = to + row * pitch + column;
      const cudaError_t status =
          rows == 1
              ? cudaMemcpyAsync(target, staged, bytes, cudaMemcpyDefault, context_->stream())
              : cudaMemcpy2DAsync(target, pitch, staged, bytes, bytes, rows, cudaMemcpyDefault, context_->stream());
      context_->check(status, "copying to the GPU");
    }
  }
}

void CudaBackend::copy_to_host(const Tensor& source, void* destination) {
  Expect("copy_to_host").contiguous("source", source);
  if (source.bytes() == 0 || !ready()) return;
  context_->check(cudaMemcpyAsync(destination, source.data(), source.bytes(), cudaMemcpyDefault, context_->stream()),
                  "copying from the GPU");
}

void CudaBackend::zero(const Tensor& destination) {
  if (destination.elements() == 0 || !ready()) return;
  const std::size_t element = dtype_bytes(destination.dtype());
  context_->check(cudaMemset2DAsync(destination.data(), static_cast<std::size_t>(destination.stride0()) * element, 0,
                                    static_cast<std::size_t>(destination.row_elements()) * element,
                                    static_cast<std::size_t>(destination.dim(0)), context_->stream()),
                  "zeroing memory");
}

}  // namespace caudal::cuda
