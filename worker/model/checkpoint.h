// Checkpoint: the safetensors files of a model directory as one set of named tensors. Either one
// model.safetensors, or the files that model.safetensors.index.json names. Mapped, not read: only the pages
// a rank cuts its shard from are touched. Lives while weights load.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "worker/model/safetensors.h"

namespace caudal {

class Checkpoint {
 public:
  // Errors name the file: missing, malformed, an index that names a path, a tensor that is not where the
  // index says or that two files hold.
  static Result<Checkpoint> open(const std::filesystem::path& model_dir);

  const StoredTensor* find(std::string_view name) const;
  std::vector<std::string> names() const;  // sorted

 private:
  Result<void> add(const std::filesystem::path& file);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, const StoredTensor*, std::less<>> tensors_;  // into files_
};

}  // namespace caudal
