#include "worker/model/blocks/parallel.h"

namespace caudal {
namespace {

Parameter vocabulary_part(const ModelBuilder& builder, const std::string& name) {
  const ModelConfig& config = builder.config();
  return {{cut_rows(name, config.vocab_size, config.hidden_size, builder.part().vocabulary)}};
}

}  // namespace

VocabParallelEmbedding::VocabParallelEmbedding(ModelBuilder& builder, const std::string& name)
    : VocabParallelEmbedding(builder, builder.loader().linear(vocabulary_part(builder, name), {})) {}

VocabParallelEmbedding::VocabParallelEmbedding(ModelBuilder& builder, std::shared_ptr<const Linear> table)
    : backend_(&builder.backend()),
      group_(&builder.group()),
      table_(std::move(table)),
      first_token_(builder.part().vocabulary.begin) {}

VocabParallelHead::VocabParallelHead(ModelBuilder& builder, const std::string& name)
    : backend_(&builder.backend()),
      group_(&builder.group()),
      workspace_(&builder.workspace()),
      weight_(builder.linear(vocabulary_part(builder, name), {}, builder.limits().max_rows, DType::kF32)) {}

Tensor VocabParallelHead::forward(const Tensor& x) const {
  const std::int64_t num_rows = x.dim(0), columns = weight_->out_features();
  const Tensor logits = workspace_->take(DType::kF32, {num_rows, group_->size() * columns});
  if (group_->size() == 1) {
    backend_->linear(x, *weight_, logits);
    return logits;
  }
  const Tensor part = workspace_->take(DType::kF32, {num_rows, columns});
  backend_->linear(x, *weight_, part);
  group_->all_gather_columns(part, logits);
  return logits;
}

}  // namespace caudal
