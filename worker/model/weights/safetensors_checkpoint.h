// The safetensors files of a model's directory: one model.safetensors, or the files that model.safetensors.index.json
// names. Mapped, not read: only the pages that a rank cuts its shard from are touched.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/result.h"
#include "worker/model/weights/checkpoint.h"
#include "worker/model/weights/safetensors.h"

namespace caudal {

class SafetensorsCheckpoint final : public Checkpoint {
 public:
  // Errors name the file: missing, malformed, an index that names a path, a tensor that is not where the
  // index says or that two files hold.
  static Result<std::unique_ptr<SafetensorsCheckpoint>> open(const std::filesystem::path& model_dir);

  std::string name() const override { return "model.safetensors"; }
  const TensorInfos& tensors() const override { return infos_; }
  StoredPart read(const WeightPart& part) const override;
  void drop(const WeightPart& part) const override;

 private:
  Result<void> add(const std::filesystem::path& file);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, const StoredTensor*, std::less<>> tensors_;  // into files_
  TensorInfos infos_;
};

}  // namespace caudal
