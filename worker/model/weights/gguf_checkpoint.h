// The weights of a GGUF model, under the names that families give them. Mapped, not read, as safetensors are.
#pragma once

#include <filesystem>
#include <memory>

#include "common/gguf/gguf_file.h"
#include "common/result.h"
#include "worker/model/weights/checkpoint.h"

namespace caudal {

class GgufCheckpoint final : public Checkpoint {
 public:
  // Errors name file and tensor: one that ends past the end of the file or overlaps another.
  static Result<std::unique_ptr<Checkpoint>> open(const std::filesystem::path& path);

  std::string name() const override { return files_.front().name(); }
  const TensorInfos& tensors() const override { return infos_; }
  StoredPart read(const WeightPart& part) const override;
  void drop(const WeightPart& part) const override;

 private:
  struct Place {
    const std::byte* data = nullptr;
    std::int64_t interleaved = 0;  // interleaved_head_dim() where it concerns the tensor
  };

  explicit GgufCheckpoint(GgufFiles files) : files_(std::move(files)) {}
  void add(const GgufFile& file, std::int64_t interleaved);

  GgufFiles files_;
  TensorInfos infos_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace caudal
