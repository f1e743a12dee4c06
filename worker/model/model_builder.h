// ModelBuilder: what families and blocks build themselves from: the config, this rank's partition, and the loader,
// group and workspace that they are to use. Also chooses at start how matmuls are computed. Step thread.
#pragma once

#include <memory>
#include <set>
#include <tuple>

#include "kernels/comm/communicator.h"
#include "worker/model/model.h"
#include "worker/model/parameter_loader.h"

namespace caudal {

class ModelBuilder {
 public:
  // All but the workspace must outlive the builder; the model keeps the backend and the group for its life.
  ModelBuilder(const ModelConfig& config, const Partition& part, const StepLimits& limits, ParameterLoader& loader,
               Communicator& group, std::unique_ptr<Workspace> workspace)
      : config_(config),
        part_(part),
        limits_(limits),
        loader_(loader),
        group_(group),
        workspace_(*workspace),
        owned_workspace_(std::move(workspace)) {}

  const ModelConfig& config() const { return config_; }
  const Partition& part() const { return part_; }
  const StepLimits& limits() const { return limits_; }
  Backend& backend() { return loader_.backend(); }
  DType dtype() const { return loader_.dtype(); }  // of weights, activations, K and V
  ParameterLoader& loader() { return loader_; }
  Communicator& group() { return group_; }
  Workspace& workspace() { return workspace_; }
  // For the constructor of Model. workspace() stays valid.
  std::unique_ptr<Workspace> hand_over_workspace() { return std::move(owned_workspace_); }

  // A matrix that is multiplied with up to `max_rows` rows and writes `out_dtype`. `bias` may have no parts.
  std::unique_ptr<Linear> linear(const Parameter& weight, const Parameter& bias, std::int64_t max_rows,
                                 DType out_dtype);

 private:
  const ModelConfig& config_;
  const Partition& part_;
  const StepLimits& limits_;
  ParameterLoader& loader_;
  Communicator& group_;
  Workspace& workspace_;
  std::unique_ptr<Workspace> owned_workspace_;
  // Matmuls whose algorithm is chosen: rows, in and out features, has a bias, dtype of the result.
  std::set<std::tuple<std::int64_t, std::int64_t, std::int64_t, bool, DType>> chosen_;
};

}  // namespace caudal
