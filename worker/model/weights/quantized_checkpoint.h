// A checkpoint of bf16, f16 or f32 whose matrices are rounded to a block format when they are read, as --quantize asks.
// To all others it is a checkpoint that is stored so.
#pragma once

#include <memory>
#include <span>

#include "common/result.h"
#include "worker/model/model_config.h"
#include "worker/model/weights/checkpoint.h"

namespace caudal {

class QuantizedCheckpoint final : public Checkpoint {
 public:
  // Rounds the matrices of `parameters` to `format`, which must have an encoder. The one that logits come from keeps 8
  // bits (Q8_0) in any case: rounding it costs most and its size matters least. Vectors stay as they are. Errors name
  // file and tensors: matrices that are stored in blocks already, and rows that are no whole number of blocks.
  static Result<std::unique_ptr<Checkpoint>> create(std::unique_ptr<Checkpoint> source, StoredFormat format,
                                                    const ModelConfig& config, std::span<const Parameter> parameters);

  std::string name() const override { return source_->name(); }
  const TensorInfos& tensors() const override { return infos_; }
  StoredPart read(const WeightPart& part) const override;
  void drop(const WeightPart& part) const override { source_->drop(part); }

 private:
  QuantizedCheckpoint(std::unique_ptr<Checkpoint> source, TensorInfos infos)
      : source_(std::move(source)), infos_(std::move(infos)) {}

  std::unique_ptr<Checkpoint> source_;
  TensorInfos infos_;  // what the source says, but for what is rounded
};

}  // namespace caudal
