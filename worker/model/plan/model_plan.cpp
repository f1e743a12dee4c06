#include "worker/model/plan/model_plan.h"

#include <algorithm>

#include "worker/model/model_builder.h"
#include "worker/model/plan/counting_backend.h"
#include "worker/model/weights/quantized_checkpoint.h"

namespace caudal {
namespace {

// Notes the parameters that a model asks for, and hands out tensors of their shapes.
class ParameterRecorder final : public ParameterLoader {
 public:
  ParameterRecorder(CountingBackend& backend, DType dtype) : backend_(backend), dtype_(dtype) {}

  Weight vector(const Parameter& parameter) override {
    return note(parameter) ? Weight(backend_.tensor(dtype_, {parameter.rows()})) : Weight();
  }
  std::unique_ptr<Linear> linear(const Parameter& weight, const Parameter& bias) override {
    if (note(weight)) parameters_.back().packed = true;
    if (note(bias)) parameters_.back().with_weight = true;
    return CountingBackend::shaped_linear(weight.columns(), weight.rows(), dtype_);
  }
  Weight table(std::initializer_list<std::int64_t> shape, const std::function<std::vector<float>()>&) override {
    Weight table(backend_.tensor(DType::kF32, shape));
    table.buffer = std::move(backend_.allocate(table.tensor.bytes())).value();
    return table;
  }
  Backend& backend() override { return backend_; }
  DType dtype() const override { return dtype_; }
  const std::optional<Error>& error() const override { return error_; }

  std::vector<Parameter> take() { return std::move(parameters_); }

 private:
  bool note(const Parameter& parameter) {
    if (!parameter.parts.empty()) parameters_.push_back(parameter);
    return parameter.held();
  }

  CountingBackend& backend_;
  DType dtype_;
  std::vector<Parameter> parameters_;
  std::optional<Error> error_;
};

constexpr std::size_t kUnbounded = std::size_t{1} << 60;

// A model on a device that counts. The group comes before the model, which keeps it.
struct CountedModel {
  CountedModel(const ModelSpec& spec, const Partition& part, DType dtype, const StepLimits& limits)
      : group(backend, part.rank, part.size), recorder(backend, dtype) {
    std::unique_ptr<Workspace> memory = std::move(Workspace::create(backend, kUnbounded)).value();
    workspace = memory.get();
    ModelBuilder builder(spec.config, part, limits, recorder, group, std::move(memory));
    model = spec.family->create(builder);
  }

  CountingBackend backend;
  CountingCommunicator group;
  ParameterRecorder recorder;
  Workspace* workspace = nullptr;  // the model's
  std::unique_ptr<Model> model;
};

KvShape kv_shape(const ModelConfig& config, const Partition& part, DType dtype) {
  KvShape shape{.layers = {}, .groups = {}, .dtype = dtype};
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    shape.layers.push_back({.num_kv_heads = part.layers[i].kv_heads.count,
                            .head_dim = config.layers[i].head_dim,
                            .window = config.layers[i].sliding_window});
  }
  shape.groups = make_kv_groups(shape.layers);
  return shape;
}

Result<std::unique_ptr<Checkpoint>> find_weights(const ModelChoice& choice, const ModelSpec& spec,
                                                 std::span<const Parameter> parameters, const Backend& backend) {
  const bool dummy = choice.load_format == LoadFormat::kDummy;
  Result<std::unique_ptr<Checkpoint>> checkpoint = dummy ? dummy_checkpoint(parameters) : open_checkpoint(choice.dir);
  if (checkpoint && choice.quantize)
    checkpoint = QuantizedCheckpoint::create(std::move(checkpoint).value(), *choice.quantize, spec.config, parameters);
  if (!checkpoint) return checkpoint;
  if (Result<void> fits = check_weights(*checkpoint.value(), spec.config, parameters, backend); !fits)
    return fits.error();
  return checkpoint;
}

}  // namespace

void ModelPlan::widen(StepSizes& sizes) const {
  sizes.vocab_size = std::max(sizes.vocab_size, num_logits);
  sizes.row_in_bytes = std::max(sizes.row_in_bytes, row_in_bytes);
  sizes.row_out_bytes = std::max(sizes.row_out_bytes, row_out_bytes);
  sizes.heads.insert(sizes.heads.end(), heads.begin(), heads.end());
}

Result<OpenedModel> open_model(ModelSpec spec, const ModelChoice& choice, int rank, int size, const Backend& backend) {
  OpenedModel model;
  model.spec = std::move(spec);
  Result<Partition> part = make_partition(model.spec.config, rank, size);
  if (!part) return part.error();
  model.part = part.value();
  const std::vector<Parameter> parameters = list_parameters(model.spec, model.part);
  Result<std::unique_ptr<Checkpoint>> weights = find_weights(choice, model.spec, parameters, backend);
  if (!weights) return weights.error();
  model.weights = std::move(weights).value();
  const bool as_configured = choice.load_format == LoadFormat::kDummy && !choice.quantize;
  const std::optional<DType> stored =
      as_configured ? model.spec.config.dtype : stored_dtype(*model.weights, parameters);
  Result<DType> dtype = choose_dtype(choice.dtype, stored, backend);
  if (!dtype) return dtype.error();
  model.dtype = dtype.value();
  Result<DType> kv_dtype = choose_kv_dtype({choice.dtype, choice.kv_dtype}, model.dtype, stored, backend);
  if (!kv_dtype) return kv_dtype.error();
  model.kv_dtype = kv_dtype.value();
  return model;
}

// They depend on neither dtype nor limits.
std::vector<Parameter> list_parameters(const ModelSpec& spec, const Partition& part) {
  CountedModel counted(spec, part, DType::kF32, {.max_tokens = 1, .max_rows = 1, .max_context = 1});
  return counted.recorder.take();
}

ModelPlan plan_model(const OpenedModel& model, const StepLimits& limits, const Backend& device) {
  ModelPlan plan;
  plan.limits = limits;
  plan.kv = kv_shape(model.spec.config, model.part, model.kv_dtype);
  CountedModel counted(model.spec, model.part, model.dtype, limits);
  CountingBackend& backend = counted.backend;
  plan.parameters = counted.recorder.take();
  plan.weights_bytes = weights_bytes(device, *model.weights, plan.parameters, model.dtype);
  const std::size_t tables_bytes = backend.allocated_bytes() - kUnbounded;

  const KvCache cache = std::move(KvCache::create(backend, plan.kv, 1)).value();
  DeviceBatch batch;
  batch.token_ids = batch.positions = backend.tensor(DType::kI32, {limits.max_tokens});
  batch.kv.resize(plan.kv.groups.size(), {.cache_slot = batch.positions, .attention = {}});
  for (DeviceKvBatch& kv : batch.kv) kv.attention.block_table = backend.tensor(DType::kI32, {1, 1});
  const Tensor rows = backend.tensor(DType::kI32, {limits.max_rows});
  const Tensor logits = counted.model->logits(counted.model->forward(batch, cache), rows);
  plan.temporary_bytes = counted.workspace->peak_bytes();
  plan.workspace_bytes = tables_bytes + plan.temporary_bytes;
  plan.num_ops = backend.num_ops();
  plan.num_logits = logits.dim(1);
  plan.row_in_bytes = backend.row_in_bytes();
  plan.row_out_bytes = backend.row_out_bytes();
  plan.heads = backend.heads();
  return plan;
}

Result<std::unique_ptr<Model>> load_model(const OpenedModel& model, const ModelPlan& plan, Backend& backend,
                                          Communicator& group) {
  Result<std::unique_ptr<Workspace>> workspace = Workspace::create(backend, plan.temporary_bytes);
  if (!workspace) return workspace.error();
  WeightLoader loader(backend, *model.weights, model.dtype);
  ModelBuilder builder(model.spec.config, model.part, plan.limits, loader, group, std::move(workspace).value());
  std::unique_ptr<Model> loaded = model.spec.family->create(builder);
  if (loader.error()) return *loader.error();
  CHECK_MSG(loader.loaded_bytes() <= plan.weights_bytes, "weights took more memory than planned");
  backend.synchronize();
  return loaded;
}

}  // namespace caudal
