#include "worker/model/blocks/mlp.h"

namespace caudal {
namespace {

// One matrix [2 * intermediate, hidden], gate first.
ColumnParallelLinear make_gate_up(ModelBuilder& builder, const std::string& prefix) {
  const ModelConfig& config = builder.config();
  const Range range = builder.part().intermediate;
  Parameter weight, bias;
  weight.parts = {cut_rows(prefix + "gate_proj.weight", config.intermediate_size, config.hidden_size, range),
                  cut_rows(prefix + "up_proj.weight", config.intermediate_size, config.hidden_size, range)};
  if (config.mlp_bias) {
    bias.parts = {cut_vector(prefix + "gate_proj.bias", config.intermediate_size, range),
                  cut_vector(prefix + "up_proj.bias", config.intermediate_size, range)};
  }
  return {builder, weight, bias};
}

RowParallelLinear make_down(ModelBuilder& builder, const std::string& prefix) {
  const ModelConfig& config = builder.config();
  const Partition& part = builder.part();
  Parameter weight, bias;
  weight.parts = {
      cut_columns(prefix + "down_proj.weight", config.hidden_size, config.intermediate_size, part.intermediate)};
  if (config.mlp_bias) bias.parts = {first_rank_vector(prefix + "down_proj.bias", config.hidden_size, part.rank)};
  return {builder, weight, bias};
}

}  // namespace

GatedMlp::GatedMlp(ModelBuilder& builder, const std::string& prefix)
    : backend_(&builder.backend()),
      workspace_(&builder.workspace()),
      dtype_(builder.dtype()),
      intermediate_(builder.part().intermediate.count),
      gate_up_(make_gate_up(builder, prefix)),
      down_(make_down(builder, prefix)) {}

void GatedMlp::forward(const Tensor& x, const Tensor& out) const {
  const Workspace::Scope scope(*workspace_);
  const Tensor gate_up = workspace_->take(dtype_, {x.dim(0), 2 * intermediate_});
  const Tensor inner = workspace_->take(dtype_, {x.dim(0), intermediate_});
  gate_up_.forward(x, gate_up);
  backend_->silu_and_mul(gate_up, inner);
  down_.forward(inner, out);
}

}  // namespace caudal
