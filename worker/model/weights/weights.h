// What of a checkpoint a model takes: whether it fits, in which dtype to compute, how much memory it needs, and the
// loader that turns a Parameter into device memory. Used at start, by the step thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "common/result.h"
#include "kernels/backend.h"
#include "worker/model/model_config.h"
#include "worker/model/parameter_loader.h"
#include "worker/model/weights/checkpoint.h"

namespace caudal {

enum class LoadFormat { kSafetensors, kDummy };  // real weights, or dummy_checkpoint()
enum class DTypeChoice { kAuto, kBF16, kF16, kF32 };

// Checks all parts against the checkpoint and lists at once what is missing, left over, of another shape, or stored in
// a format that the backend does not take.
Result<void> check_weights(const Checkpoint& checkpoint, const ModelConfig& config,
                           std::span<const Parameter> parameters, const Backend& backend);

// The dtype of all matrices, if the vectors' values fit in it (GGUF files keep them as f32); nothing when they differ
// or are stored in blocks.
std::optional<DType> stored_dtype(const Checkpoint& checkpoint, std::span<const Parameter> parameters);

// Device memory for these parameters, to compute in `dtype`: an upper bound.
std::size_t weights_bytes(const Backend& backend, const Checkpoint& checkpoint, std::span<const Parameter> parameters,
                          DType dtype);

// The dtype to compute in. Auto takes the stored one when the backend computes in it, else f32, which holds whatever is
// stored as it is: what rounds the weights takes an explicit choice.
Result<DType> choose_dtype(DTypeChoice choice, std::optional<DType> stored, const Backend& backend);

// The dtype of K and V beside activations of `dtype`. Auto takes f16 for f32 activations that nobody asked for, of
// weights that are stored in fewer bits, where the backend takes that: half the memory, and less is lost than those
// weights have lost. Elsewhere `dtype`.
struct DTypeChoices {
  DTypeChoice activations = DTypeChoice::kAuto, kv = DTypeChoice::kAuto;
};
Result<DType> choose_kv_dtype(DTypeChoices choices, DType dtype, std::optional<DType> stored, const Backend& backend);

class WeightLoader final : public ParameterLoader {
 public:
  WeightLoader(Backend& backend, const Checkpoint& checkpoint, DType dtype)
      : backend_(backend), checkpoint_(checkpoint), dtype_(dtype) {}

  Weight vector(const Parameter& parameter) override;
  std::unique_ptr<Linear> linear(const Parameter& weight, const Parameter& bias) override;
  Weight table(std::initializer_list<std::int64_t> shape, const std::function<std::vector<float>()>& values) override;

  Backend& backend() override { return backend_; }
  DType dtype() const override { return dtype_; }
  const std::optional<Error>& error() const override { return error_; }
  std::size_t loaded_bytes() const { return loaded_bytes_; }  // device memory that stays, without tables

 private:
  Backend& backend_;
  const Checkpoint& checkpoint_;
  DType dtype_;
  std::vector<std::byte> host_;  // one parameter before it goes to the device
  std::size_t loaded_bytes_ = 0;
  std::optional<Error> error_;
};

}  // namespace caudal
