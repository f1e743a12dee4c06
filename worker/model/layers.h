// Linear layers and embeddings of a tensor-parallel group (Megatron-LM, arXiv 1909.08053). The only place
// of the model that knows there are ranks: column-parallel layers need no exchange, row-parallel ones end
// with a sum over ranks. Owned by the decoder, called by the step thread, the same calls on every rank.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "worker/comm/communicator.h"
#include "worker/model/weights.h"

namespace caudal {

// Output features divided over ranks: out [num_tokens, this rank's features] of whole x [num_tokens, in].
class ColumnParallelLinear {
 public:
  ColumnParallelLinear(WeightLoader& loader, const Parameter& weight, const Parameter& bias)
      : backend_(&loader.backend()), weight_(loader.linear(weight, bias)) {}

  void forward(const Tensor& x, const Tensor& out) const { backend_->linear(x, *weight_, out); }
  void choose(const Tensor& x, const Tensor& out) const { backend_->choose_linear(x, *weight_, out); }

 private:
  Backend* backend_;
  std::unique_ptr<Linear> weight_;
};

// Input features divided over ranks: x [num_tokens, this rank's features], whole out [num_tokens, hidden].
class RowParallelLinear {
 public:
  RowParallelLinear(WeightLoader& loader, Communicator& group, const Parameter& weight, const Parameter& bias)
      : backend_(&loader.backend()), group_(&group), weight_(loader.linear(weight, bias)) {}

  void forward(const Tensor& x, const Tensor& out) const {
    backend_->linear(x, *weight_, out);
    group_->all_reduce(out);
  }
  void choose(const Tensor& x, const Tensor& out) const { backend_->choose_linear(x, *weight_, out); }

 private:
  Backend* backend_;
  Communicator* group_;
  std::unique_ptr<Linear> weight_;
};

// Vocabulary divided over ranks: token_ids i32 [num_tokens], whole out [num_tokens, hidden].
class VocabParallelEmbedding {
 public:
  VocabParallelEmbedding(WeightLoader& loader, Communicator& group, const Parameter& table)
      : backend_(&loader.backend()),
        group_(&group),
        table_(loader.matrix(table)),
        first_token_(table.parts.front().rows.begin) {}

  void forward(const Tensor& token_ids, const Tensor& out) const {
    backend_->embedding(token_ids, table_.tensor, first_token_, out);
    group_->all_reduce(out);
  }

 private:
  Backend* backend_;
  Communicator* group_;
  Weight table_;
  std::int64_t first_token_;
};

// Vocabulary divided over ranks: x [num_rows, hidden], part f32 [num_rows, vocabulary part] is scratch,
// whole logits f32 [num_rows, ranks * vocabulary part]. A group of one writes logits directly.
class VocabParallelHead {
 public:
  VocabParallelHead(WeightLoader& loader, Communicator& group, const Parameter& weight)
      : backend_(&loader.backend()), group_(&group), weight_(loader.linear(weight, {})) {}

  void forward(const Tensor& x, const Tensor& part, const Tensor& logits) const {
    if (group_->size() == 1) return backend_->linear(x, *weight_, logits);
    backend_->linear(x, *weight_, part);
    group_->all_gather_columns(part, logits);
  }
  void choose(const Tensor& x, const Tensor& part) const { backend_->choose_linear(x, *weight_, part); }

 private:
  Backend* backend_;
  Communicator* group_;
  std::unique_ptr<Linear> weight_;
};

}  // namespace caudal
