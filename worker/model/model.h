// Model: what computes a step; Family: how a model of one architecture is read and built; ModelSpec: a model that
// config.json describes. The runner, the graphs and the draft model know these three and no architecture. To add an
// architecture, write a file in worker/model/families/ from the blocks in worker/model/blocks/ and name it in
// families/registry.cpp.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "common/result.h"
#include "kernels/tensor.h"
#include "worker/batch/batch.h"
#include "worker/cache/kv_cache.h"
#include "worker/model/model_config.h"
#include "worker/model/workspace.h"

namespace caudal {

class ModelBuilder;

// The largest step that a model is built for.
struct StepLimits {
  std::int64_t max_tokens = 0;   // rows of a step
  std::int64_t max_rows = 0;     // rows of logits of a step
  std::int64_t max_context = 0;  // positions of a sequence
};

// Owned by the runner or the draft model and called by the step thread. Results are views of the model's workspace:
// hidden states hold until the next forward(), logits until the next call of either.
class Model {
 public:
  virtual ~Model() = default;

  // Computes all tokens of the batch and stores their K and V. Returns the final hidden states [num_tokens, hidden].
  virtual Tensor forward(const DeviceBatch& batch, const KvCache& cache) = 0;

  // Row i of the result is of row rows[i] of the hidden states that forward() returned. rows i32 [num_rows]; the
  // result is f32 [num_rows, padded vocabulary], whole on every rank.
  virtual Tensor logits(const Tensor& hidden, const Tensor& rows) = 0;

 protected:
  explicit Model(std::unique_ptr<Workspace> workspace) : workspace_(std::move(workspace)) {}
  Workspace& workspace() { return *workspace_; }

 private:
  std::unique_ptr<Workspace> workspace_;
};

struct Family {
  std::string_view architecture;  // as "architectures" in config.json names it
  // What config.json says, and what it leaves unsaid for this architecture. Throws JsonError.
  ModelConfig (*read_config)(const ModelCard& card);
  // A loader that has failed gives empty weights: the model must be built all the same, and is thrown away then.
  std::unique_ptr<Model> (*create)(ModelBuilder& builder);
};

struct ModelSpec {
  const Family* family = nullptr;
  ModelConfig config;
};

// Errors name the file and the field; an unknown architecture lists `families`, which must outlive the result.
Result<ModelSpec> read_model_spec(const ModelCard& card, std::span<const Family> families);
// `path` is one that open_model_files() takes.
Result<ModelSpec> load_model_spec(const std::filesystem::path& path, std::span<const Family> families);

}  // namespace caudal
