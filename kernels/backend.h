// Backend: one device. Memory, copies, packed weights, sampling, and the ops of kernels/ops.h. kernels/cpu and
// kernels/cuda implement it; kernels/factory makes one. One step thread owns it and makes all calls.
//
// Order: calls are ordered on the backend's stream. Where DeviceTraits::queues is false, a call is done when it
// returns. Elsewhere it may return earlier, and its results are there after synchronize().
//
// Errors: a wrong shape or dtype is a bug of the caller and aborts. Memory that is not there is an Error.
//
// Numerics: activations are f32, bf16 or f16 (computes_in); weights have a format of their own and so has the KV cache
// (takes_kv). Sums, norms, softmax and logits are f32. On the CPU, a row of a result depends on the inputs of that row
// only: never on the rest of the batch, on how a prompt was cut into chunks or on the number of threads. A GPU keeps
// that promise with BackendOptions::deterministic only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/result.h"
#include "common/types.h"
#include "kernels/buffer.h"
#include "kernels/copy_stream.h"
#include "kernels/device.h"
#include "kernels/ops.h"
#include "kernels/recorder.h"
#include "kernels/sampling.h"

namespace caudal {

class Communicator;
struct CommOptions;

class Backend : public Ops {
 public:
  virtual DeviceInfo info() const = 0;
  virtual DeviceTraits traits() const = 0;

  // Device memory that the backend takes for itself to run such steps, beside what allocate() is asked for.
  virtual std::size_t workspace_bytes(const StepSizes& sizes) const = 0;

  // Called once, before anything of a model is allocated. From then on allocate() hands out pieces of plan_bytes, of
  // which workspace_bytes(sizes) are the backend's, and never more. An Error when the device has not so much.
  virtual Result<void> prepare(const StepSizes& sizes, std::size_t plan_bytes) = 0;

  // The first error of the device, if there was one. A device does not recover: results since then are void.
  virtual Result<void> health() const = 0;

  // Null where ops are done when they return: there is nothing to record.
  virtual Recorder* recorder() = 0;

  // An Error, never an exception, when the device has not enough.
  virtual Result<Buffer> allocate(std::size_t bytes) = 0;
  // Host memory that the device copies from and to by itself (pinned, where that means something). It is not part of
  // the memory plan.
  virtual Result<Buffer> allocate_host(std::size_t bytes) = 0;
  // Rows of `destination` may be strided, those of the source follow one another. The source may be changed at once.
  virtual void copy_to_device(const void* source, const Tensor& destination) = 0;
  virtual void copy_to_host(const Tensor& source, void* destination) = 0;  // contiguous source
  // Copies whole blocks from one contiguous cache tensor [num_blocks, kBlockSize, num_kv_heads, head_dim] to another,
  // which may differ in the number of blocks only; or inside one. In order. Each may be in memory of allocate_host().
  virtual void copy_blocks(std::span<const BlockPair> copies, const Tensor& from, const Tensor& to) = 0;
  // For copies that do not hold up what is computed.
  virtual std::unique_ptr<CopyStream> make_copy_stream() = 0;
  virtual void zero(const Tensor& destination) = 0;
  virtual void synchronize() = 0;

  // Whether weights may be stored like that, and the most device memory that such a weight takes with its bias, once
  // packed.
  virtual bool takes(StoredFormat format) const = 0;
  virtual std::size_t packed_bytes(const LinearShape& shape) const = 0;

  // Packs a weight of formats that it takes. The source may be freed after the call.
  virtual Result<std::unique_ptr<Linear>> pack_linear(const LinearSource& source) = 0;

  // A group of ranks with such devices, for what is in their memory. `host` joins the same ranks for what is in host
  // memory, and `gather` exchanges a few bytes at start and end. The backend must outlive the result. All ranks call
  // it; rank 0 logs how they talk.
  virtual Result<std::unique_ptr<Communicator>> make_communicator(std::unique_ptr<Communicator> host,
                                                                  const GatherBytes& gather,
                                                                  const CommOptions& options) = 0;

  // Samples one token per row of logits f32 [num_rows, >= vocab_size] (columns past vocab_size are padding), and leaves
  // the logits as they were. Order: what is allowed, bias and bans, penalties, temperature, top-k, top-p, min-p; then
  // one uniform number from Philox4x32-10 (Salmon et al., SC'11) keyed by (seed, position). `tokens` i32 [num_rows]
  // gets the tokens on the device, -1 where there is none; it may be empty. Log-probabilities of very many tokens may
  // take a wait for the device.
  virtual std::unique_ptr<PendingSamples> sample(const Tensor& logits, std::int64_t vocab_size,
                                                 std::span<const SamplingRow> rows, const Tensor& tokens) = 0;

  // Tokens i32 [num_rows] that another rank sampled, on their way to the host. Of no rows: what is pending until the
  // device is done.
  virtual std::unique_ptr<PendingSamples> fetch_samples(const Tensor& tokens) = 0;

 protected:
  static void check_sample(const Tensor& logits, std::int64_t vocab_size, std::span<const SamplingRow> rows,
                           const Tensor& tokens);
};

}  // namespace caudal
