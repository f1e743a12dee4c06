// Root mean square norm (Zhang & Sennrich, arXiv 1910.07467). Owned by a model, called by the step thread.
#pragma once

#include <string>

#include "worker/model/model_builder.h"

namespace caudal {

class RmsNorm {
 public:
  // `name` is the checkpoint's tensor [hidden].
  RmsNorm(ModelBuilder& builder, const std::string& name)
      : backend_(&builder.backend()),
        weight_(builder.loader().vector({{whole_vector(name, builder.config().hidden_size)}})),
        eps_(builder.config().norm_eps) {}

  // x and out [num_tokens, hidden].
  void forward(const Tensor& x, const Tensor& out) const { backend_->rms_norm(x, weight_.tensor, eps_, out); }

  // residual += x; out = norm(residual). All [num_tokens, hidden]; out may be x.
  void add_and_forward(const Tensor& x, const Tensor& residual, const Tensor& out) const {
    backend_->add_rms_norm(x, residual, weight_.tensor, eps_, out);
  }

 private:
  Backend* backend_;
  Weight weight_;
  float eps_;
};

}  // namespace caudal
