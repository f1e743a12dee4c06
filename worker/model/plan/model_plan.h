// From a model's directory to a Model, in three steps: open_model() reads the config and finds the weights;
// plan_model() says what the model will take; load_model() takes it. Every rank calls all three, in this order, at
// start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/comm/communicator.h"
#include "worker/cache/kv_layout.h"
#include "worker/model/model.h"
#include "worker/model/partition.h"
#include "worker/model/weights/weights.h"

namespace caudal {

// Which model, and how to compute it.
struct ModelChoice {
  std::filesystem::path dir;
  LoadFormat load_format = LoadFormat::kSafetensors;
  DTypeChoice dtype = DTypeChoice::kAuto;
  std::span<const Family> families;
  std::optional<StoredFormat> quantize{};  // a format with an encoder; see quantized_checkpoint.h
  DTypeChoice kv_dtype = DTypeChoice::kAuto;
};

struct OpenedModel {
  ModelSpec spec;
  Partition part;
  std::unique_ptr<Checkpoint> weights;
  DType dtype = DType::kF32;     // of activations
  DType kv_dtype = DType::kF32;  // of K and V
};

// What this rank's part of a model takes.
struct ModelPlan {
  StepLimits limits;
  std::vector<Parameter> parameters;
  KvShape kv;
  std::size_t weights_bytes = 0;    // an upper bound
  std::size_t workspace_bytes = 0;  // device memory besides weights, K and V; exact
  std::size_t temporary_bytes = 0;  // of which the intermediate values of a step take so much
  std::int64_t num_ops = 0;         // that forward() and logits() queue together, messages among them
  std::int64_t num_logits = 0;      // columns of the logits: the vocabulary, padded
  std::size_t row_in_bytes = 0;     // of the widest row that a matmul reads
  std::size_t row_out_bytes = 0;    // and of the widest that one writes
  std::vector<HeadSizes> heads;     // of attention, each once

  // Makes `sizes` large enough for this model, too.
  void widen(StepSizes& sizes) const;
};

// `spec` is what load_model_spec() read for this choice. Errors name file and field; what of a checkpoint is missing,
// left over or of another shape is listed at once.
Result<OpenedModel> open_model(ModelSpec spec, const ModelChoice& choice, int rank, int size, const Backend& backend);

// Every parameter of the model with its names and this rank's cuts, in the order in which they are loaded.
std::vector<Parameter> list_parameters(const ModelSpec& spec, const Partition& part);

// Builds the model and runs one step of the largest size on a device that only counts. `device` is the one that the
// weights are for.
ModelPlan plan_model(const OpenedModel& model, const StepLimits& limits, const Backend& device);

// Takes plan.workspace_bytes and at most plan.weights_bytes of the backend's memory. Errors are those of the device.
Result<std::unique_ptr<Model>> load_model(const OpenedModel& model, const ModelPlan& plan, Backend& backend,
                                          Communicator& group);

}  // namespace caudal
