// Linear layers and embeddings of a tensor-parallel group (Megatron-LM, arXiv 1909.08053). The only place
// of the model that knows there are ranks: column-parallel layers need no exchange, row-parallel ones end
// with a sum over ranks. Owned by a model, called by the step thread, the same calls on every rank.
#pragma once

#include <memory>
#include <string>

#include "worker/model/model_builder.h"

namespace caudal {

// Output features divided over ranks: out [num_tokens, this rank's features] of whole x [num_tokens, in].
class ColumnParallelLinear {
 public:
  ColumnParallelLinear(ModelBuilder& builder, const Parameter& weight, const Parameter& bias)
      : backend_(&builder.backend()),
        weight_(builder.linear(weight, bias, builder.limits().max_tokens, builder.dtype())) {}

  void forward(const Tensor& x, const Tensor& out) const { backend_->linear(x, *weight_, out); }

 private:
  Backend* backend_;
  std::unique_ptr<Linear> weight_;
};

// Input features divided over ranks: x [num_tokens, this rank's features], whole out [num_tokens, hidden].
class RowParallelLinear {
 public:
  RowParallelLinear(ModelBuilder& builder, const Parameter& weight, const Parameter& bias)
      : backend_(&builder.backend()),
        group_(&builder.group()),
        weight_(builder.linear(weight, bias, builder.limits().max_tokens, builder.dtype())) {}

  void forward(const Tensor& x, const Tensor& out) const {
    backend_->linear(x, *weight_, out);
    group_->all_reduce(out);
  }

 private:
  Backend* backend_;
  Communicator* group_;
  std::unique_ptr<Linear> weight_;
};

// Vocabulary divided over ranks: x [num_rows, hidden], whole logits f32 [num_rows, ranks * vocabulary part].
class VocabParallelHead {
 public:
  // `name` is the checkpoint's tensor [vocab_size, hidden].
  VocabParallelHead(ModelBuilder& builder, const std::string& name);

  // The logits are taken from the workspace.
  Tensor forward(const Tensor& x) const;
  const std::shared_ptr<const Linear>& weight() const { return weight_; }

 private:
  Backend* backend_;
  Communicator* group_;
  Workspace* workspace_;
  std::shared_ptr<const Linear> weight_;
};

// Vocabulary divided over ranks: token_ids i32 [num_tokens], whole out [num_tokens, hidden].
class VocabParallelEmbedding {
 public:
  // `name` is the checkpoint's tensor [vocab_size, hidden].
  VocabParallelEmbedding(ModelBuilder& builder, const std::string& name);
  // Tied: reads the head's weight.
  VocabParallelEmbedding(ModelBuilder& builder, const VocabParallelHead& head)
      : VocabParallelEmbedding(builder, head.weight()) {}

  void forward(const Tensor& token_ids, const Tensor& out) const {
    backend_->embedding(token_ids, *table_, first_token_, out);
    group_->all_reduce(out);
  }

 private:
  VocabParallelEmbedding(ModelBuilder& builder, std::shared_ptr<const Linear> table);

  Backend* backend_;
  Communicator* group_;
  std::shared_ptr<const Linear> table_;
  std::int64_t first_token_;
};

}  // namespace caudal
