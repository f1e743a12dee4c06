#include "worker/model/model_builder.h"

namespace caudal {

std::unique_ptr<Linear> ModelBuilder::linear(const Parameter& weight, const Parameter& bias, std::int64_t max_rows,
                                             DType out_dtype) {
  std::unique_ptr<Linear> linear = loader_.linear(weight, bias);
  if (linear == nullptr) return linear;
  const std::int64_t in = linear->in_features(), out = linear->out_features();
  // Layers of one shape share the choice: the first speaks for them.
  if (!chosen_.insert({max_rows, in, out, bias.held(), out_dtype}).second) return linear;
  const Workspace::Scope scope(workspace_);
  const Tensor x = workspace_.take(dtype(), {max_rows, in}), y = workspace_.take(out_dtype, {max_rows, out});
  if (Recorder* const recorder = backend().recorder()) recorder->choose_matmul(x, *linear, y);
  return linear;
}

}  // namespace caudal
