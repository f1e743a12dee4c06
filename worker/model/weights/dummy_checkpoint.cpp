// The tensors of a dummy model, made when they are read. See checkpoint.h.
#include <algorithm>

#include "worker/model/weights/checkpoint.h"

namespace caudal {
namespace {

// splitmix64 (Steele et al., OOPSLA'14): a bijection that mixes all bits.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ x >> 27) * 0x94D049BB133111EBULL;
  return x ^ x >> 31;
}

std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0;
  for (char c : name) hash = mix(hash ^ static_cast<unsigned char>(c));
  return hash;
}

class DummyCheckpoint final : public Checkpoint {
 public:
  explicit DummyCheckpoint(std::span<const Parameter> parameters) {
    for (const WeightPart* part : all_parts(parameters))
      infos_.emplace(part->name, TensorInfo{"F32", part->stored_shape()});
  }

  std::string name() const override { return "dummy weights"; }
  const TensorInfos& tensors() const override { return infos_; }

  StoredPart read(const WeightPart& part) const override {
    StoredPart out = stored_part(part, StoredFormat::kF32);
    out.row_bytes = stored_bytes(out.format, out.columns);
    out.memory = std::make_unique<std::byte[]>(out.rows * out.row_bytes);
    out.data = out.memory.get();
    auto* values = reinterpret_cast<float*>(out.memory.get());
    const bool norm = part.name.ends_with("norm.weight");
    const std::uint64_t key = hash_name(part.name);
    const std::int64_t total_columns = std::max<std::int64_t>(part.total_columns, 1);
    for (std::int64_t r = 0; r < out.stored_rows; ++r) {
      for (std::int64_t c = 0; c < out.stored_columns; ++c) {
        const std::int64_t y = part.rows.begin + r, x = part.columns.begin + c;
        values[r * out.columns + c] = norm ? 1.0F : uniform(key, y * total_columns + x);
      }
    }
    return out;
  }

  void drop(const WeightPart&) const override {}

 private:
  static float uniform(std::uint64_t key, std::int64_t index) {
    constexpr float kHalfWidth = 0.02F * 1.7320508F;  // sqrt(3): a uniform of this half width deviates by 0.02
    const std::uint64_t bits = mix(key ^ static_cast<std::uint64_t>(index)) >> 40;
    return (static_cast<float>(bits) * 0x1p-23F - 1.0F) * kHalfWidth;
  }

  TensorInfos infos_;
};

}  // namespace

std::unique_ptr<Checkpoint> dummy_checkpoint(std::span<const Parameter> parameters) {
  return std::make_unique<DummyCheckpoint>(parameters);
}

}  // namespace caudal
