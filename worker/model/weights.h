// Where weights come from (a checkpoint, or a hash for benchmarks), and the loader that turns a Parameter
// into device memory. Only used at start, by the step thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "common/result.h"
#include "kernels/backend.h"
#include "worker/model/checkpoint.h"
#include "worker/model/model_config.h"
#include "worker/model/parameter_loader.h"

namespace caudal {

enum class LoadFormat { kSafetensors, kDummy };
enum class DTypeChoice { kAuto, kBF16, kF16, kF32 };

// Host values of parts of parameters.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // The one dtype of all stored weights; nothing when they differ.
  virtual std::optional<DType> stored_dtype() const = 0;

  // The part's [rows.count, columns.count] elements, converted to `dtype`, to `out`. The part must have
  // passed the check of open_weights.
  virtual void read(const WeightPart& part, DType dtype, std::byte* out) const = 0;
};

// Checks all parts against the checkpoint and lists at once what is missing, left over, or of another shape.
Result<std::unique_ptr<WeightSource>> open_weights(const std::filesystem::path& model_dir, const ModelConfig& config,
                                                   std::span<const Parameter> parameters);

// Values from a hash of name and place: uniform with standard deviation 0.02, norms 1. The same model for
// every partition and every start.
std::unique_ptr<WeightSource> dummy_weights(const ModelConfig& config);

// The dtype to compute in. Auto takes the stored one when the backend computes in it; else, and for mixed
// weights, it takes an explicit choice, since any answer changes what the user has.
Result<DType> choose_dtype(DTypeChoice choice, std::optional<DType> stored, const Backend& backend);

class WeightLoader final : public ParameterLoader {
 public:
  WeightLoader(Backend& backend, const WeightSource& source, DType dtype)
      : backend_(backend), source_(source), dtype_(dtype) {}

  Weight matrix(const Parameter& parameter) override;
  Weight vector(const Parameter& parameter) override;
  std::unique_ptr<Linear> linear(const Parameter& weight, const Parameter& bias) override;
  Weight table(std::initializer_list<std::int64_t> shape, const std::function<std::vector<float>()>& values) override;

  Backend& backend() override { return backend_; }
  DType dtype() const override { return dtype_; }
  const std::optional<Error>& error() const override { return error_; }
  std::size_t loaded_bytes() const { return loaded_bytes_; }  // device memory that stays, without tables

 private:
  Weight load(const Parameter& parameter);

  Backend& backend_;
  const WeightSource& source_;
  DType dtype_;
  std::vector<std::byte> host_;  // one parameter before it goes to the device
  std::size_t loaded_bytes_ = 0;
  std::optional<Error> error_;
};

}  // namespace caudal
