// ParameterLoader: turns Parameters into device memory while a model is built. WeightLoader reads them from a source;
// the one in worker/model/plan only notes which parameters the model asks for. Used at start, by the step thread.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "common/result.h"
#include "kernels/backend.h"
#include "worker/model/parameters.h"

namespace caudal {

// A tensor and the memory behind it; empty when the model has no such parameter.
using Weight = OwnedTensor;

// Once something failed, the rest returns empty values and error() is the first failure.
class ParameterLoader {
 public:
  virtual ~ParameterLoader() = default;

  virtual Weight vector(const Parameter& parameter) = 0;  // [rows]
  virtual std::unique_ptr<Linear> linear(const Parameter& weight, const Parameter& bias) = 0;

  // A table in f32 that is computed and not stored, such as that of a rotary embedding. It is part of the workspace.
  virtual Weight table(std::initializer_list<std::int64_t> shape,
                       const std::function<std::vector<float>()>& values) = 0;

  virtual Backend& backend() = 0;
  virtual DType dtype() const = 0;  // to compute in
  virtual const std::optional<Error>& error() const = 0;
};

}  // namespace caudal
