// GatedMlp: down(silu(gate(x)) * up(x)), SwiGLU of arXiv 2002.05202; optionally with biases. Owned by a model; step
// thread.
#pragma once

#include <string>

#include "worker/model/blocks/parallel.h"

namespace caudal {

class GatedMlp {
 public:
  // `prefix` is that of the layer's tensors in the checkpoint, as in "model.layers.0.mlp.".
  GatedMlp(ModelBuilder& builder, const std::string& prefix);

  // x and out [num_tokens, hidden]; out may be x.
  void forward(const Tensor& x, const Tensor& out) const;

 private:
  Backend* backend_;
  Workspace* workspace_;
  DType dtype_;
  std::int64_t intermediate_;  // of this rank
  ColumnParallelLinear gate_up_;
  RowParallelLinear down_;
};

}  // namespace caudal
