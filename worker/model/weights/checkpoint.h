// Checkpoint: the stored weights of a model as a set of named tensors, whatever the files. It lives while weights load,
// on the step thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/result.h"
#include "kernels/linear.h"
#include "worker/model/parameters.h"

namespace caudal {

struct TensorInfo {
  std::string format;  // as the checkpoint names it: "BF16"; find_format() knows those that weights may have
  std::vector<std::int64_t> shape;
};
using TensorInfos = std::map<std::string, TensorInfo, std::less<>>;

class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  virtual std::string name() const = 0;  // what errors call it: a file
  virtual const TensorInfos& tensors() const = 0;

  // What a rank takes of a tensor, as it is stored. `part` has passed check_weights(). The result may point into the
  // checkpoint.
  virtual StoredPart read(const WeightPart& part) const = 0;

  // The part has been packed: its tensor need not stay in memory. It can still be read.
  virtual void drop(const WeightPart& part) const = 0;
};

// `part` without its data.
StoredPart stored_part(const WeightPart& part, StoredFormat format);

// The same with its data, of a whole tensor that lies in memory.
StoredPart mapped_part(const WeightPart& part, StoredFormat format, const std::byte* tensor);

// Of the model that open_model_files() opens there: safetensors files or GGUF. Errors name the file.
Result<std::unique_ptr<Checkpoint>> open_checkpoint(const std::filesystem::path& path);

// A checkpoint of f32 with the tensors of these parameters. Values come from a hash of name and index: uniform with
// standard deviation 0.02, norms 1. So it is the same model for every partition and every start.
std::unique_ptr<Checkpoint> dummy_checkpoint(std::span<const Parameter> parameters);

}  // namespace caudal
