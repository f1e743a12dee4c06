#include "worker/model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "kernels/half_float.h"

namespace caudal {
namespace {

// Elements of a part that lie inside the stored tensor; the rest is zeros.
std::int64_t stored_count(Range range, std::int64_t total) {
  return std::clamp<std::int64_t>(total - range.begin, 0, range.count);
}

class CheckpointSource final : public WeightSource {
 public:
  CheckpointSource(Checkpoint checkpoint, std::optional<DType> stored)
      : checkpoint_(std::move(checkpoint)), stored_(stored) {}

  std::optional<DType> stored_dtype() const override { return stored_; }

  void read(const WeightPart& part, DType dtype, std::byte* out) const override {
    const StoredTensor& tensor = *checkpoint_.find(part.name);
    const DType from = *weight_dtype(tensor.stored_dtype);
    const std::int64_t total_columns = std::max<std::int64_t>(part.total_columns, 1);
    const std::int64_t rows = stored_count(part.rows, part.total_rows);
    const auto columns = static_cast<std::size_t>(stored_count(part.columns, total_columns));
    const std::size_t out_row_bytes = static_cast<std::size_t>(part.columns.count) * dtype_bytes(dtype);
    std::memset(out, 0, static_cast<std::size_t>(part.rows.count) * out_row_bytes);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto first = static_cast<std::size_t>((part.rows.begin + r) * total_columns + part.columns.begin);
      convert(from, tensor.data.data() + first * dtype_bytes(from), columns, dtype,
              out + static_cast<std::size_t>(r) * out_row_bytes);
    }
  }

 private:
  Checkpoint checkpoint_;
  std::optional<DType> stored_;
};

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

class DummySource final : public WeightSource {
 public:
  explicit DummySource(std::optional<DType> stored) : stored_(stored) {}

  std::optional<DType> stored_dtype() const override { return stored_; }

  void read(const WeightPart& part, DType dtype, std::byte* out) const override {
    const bool norm = part.name.ends_with("norm.weight");
    const std::uint64_t key = hash_name(part.name);
    const std::int64_t total_columns = std::max<std::int64_t>(part.total_columns, 1);
    std::vector<float> row(static_cast<std::size_t>(part.columns.count));
    for (std::int64_t r = 0; r < part.rows.count; ++r) {
      for (std::int64_t c = 0; c < part.columns.count; ++c) {
        const std::int64_t y = part.rows.begin + r, x = part.columns.begin + c;
        const bool inside = y < part.total_rows && x < total_columns;
        row[static_cast<std::size_t>(c)] = !inside ? 0.0F : norm ? 1.0F : uniform(key, y * total_columns + x);
      }
      narrow(dtype, row.data(), row.size(), out + static_cast<std::size_t>(r) * row.size() * dtype_bytes(dtype));
    }
  }

 private:
  static float uniform(std::uint64_t key, std::int64_t place) {
    constexpr float kHalfWidth = 0.02F * 1.7320508F;  // sqrt(3): a uniform of this half width deviates by 0.02
    const std::uint64_t bits = mix(key ^ static_cast<std::uint64_t>(place)) >> 40;
    return (static_cast<float>(bits) * 0x1p-23F - 1.0F) * kHalfWidth;
  }

  std::optional<DType> stored_;
};

// What is wrong with a checkpoint, by kind; each list is shown in full.
struct Mismatch {
  std::set<std::string> missing, wrong, left_over;

  std::optional<Error> error() const {
    if (missing.empty() && wrong.empty() && left_over.empty()) return std::nullopt;
    std::string message = "the checkpoint does not fit config.json.";
    if (!missing.empty()) message += fmt::format(" Missing tensors: {}.", fmt::join(missing, ", "));
    if (!wrong.empty()) message += fmt::format(" Wrong tensors: {}.", fmt::join(wrong, ", "));
    if (!left_over.empty()) message += fmt::format(" Tensors nothing reads: {}.", fmt::join(left_over, ", "));
    return Error{message, "model.safetensors"};
  }
};

void check_part(const WeightPart& part, const Checkpoint& checkpoint, Mismatch& mismatch) {
  const StoredTensor* tensor = checkpoint.find(part.name);
  if (tensor == nullptr) {
    mismatch.missing.insert(part.name);
  } else if (!weight_dtype(tensor->stored_dtype)) {
    mismatch.wrong.insert(fmt::format("{} (is {}; may be BF16, F16, F32)", part.name, tensor->stored_dtype));
  } else if (tensor->shape != part.stored_shape()) {
    mismatch.wrong.insert(fmt::format("{} (is [{}], must be [{}])", part.name, fmt::join(tensor->shape, ", "),
                                      fmt::join(part.stored_shape(), ", ")));
  }
}

std::optional<DType> common_dtype(const std::vector<const WeightPart*>& parts, const Checkpoint& checkpoint) {
  std::optional<DType> common;
  for (const WeightPart* part : parts) {
    const std::optional<DType> dtype = weight_dtype(checkpoint.find(part->name)->stored_dtype);
    if (common && dtype != common) return std::nullopt;
    common = dtype;
  }
  return common;
}

}  // namespace

Result<std::unique_ptr<WeightSource>> open_weights(const std::filesystem::path& model_dir, const ModelConfig& config,
                                                   std::span<const Parameter> parameters) {
  Result<Checkpoint> checkpoint = Checkpoint::open(model_dir);
  if (!checkpoint) return checkpoint.error();
  const std::vector<const WeightPart*> parts = all_parts(parameters);
  Mismatch mismatch;
  std::set<std::string_view> known;
  for (const WeightPart* part : parts) {
    known.insert(part->name);
    check_part(*part, checkpoint.value(), mismatch);
  }
  for (const std::string& name : checkpoint.value().names())
    if (!known.contains(name) && !is_redundant(config, name)) mismatch.left_over.insert(name);
  if (std::optional<Error> error = mismatch.error()) return *error;
  const std::optional<DType> stored = common_dtype(parts, checkpoint.value());
  return std::unique_ptr<WeightSource>(std::make_unique<CheckpointSource>(std::move(checkpoint).value(), stored));
}

std::unique_ptr<WeightSource> dummy_weights(const ModelConfig& config) {
  return std::make_unique<DummySource>(config.dtype);
}

Result<DType> choose_dtype(DTypeChoice choice, std::optional<DType> stored, const Backend& backend) {
  if (choice == DTypeChoice::kBF16) return DType::kBF16;
  if (choice == DTypeChoice::kF32) return DType::kF32;
  if (choice == DTypeChoice::kF16) {
    if (backend.computes_in(DType::kF16)) return DType::kF16;
    return Error{"this device does not compute in f16; choose --dtype f32 (exact) or --dtype bf16 (rounds)", "dtype"};
  }
  if (stored && backend.computes_in(*stored)) return *stored;
  const char* what = stored == DType::kF16 ? "f16, in which this backend does not compute" : "of no single dtype";
  return Error{fmt::format("weights are {}; choose --dtype f32 (exact) or --dtype bf16 (rounds)", what), "dtype"};
}

Weight WeightLoader::load(const Parameter& parameter) {
  Weight weight;
  if (error_ || !parameter.held()) return weight;
  const std::int64_t rows = parameter.rows(), columns = parameter.columns();
  const std::size_t row_bytes = static_cast<std::size_t>(columns) * dtype_bytes(dtype_);
  host_.resize(static_cast<std::size_t>(rows) * row_bytes);
  std::byte* out = host_.data();
  for (const WeightPart& part : parameter.parts) {
    source_.read(part, dtype_, out);
    out += static_cast<std::size_t>(part.rows.count) * row_bytes;
  }
  Result<Buffer> buffer = backend_.allocate(host_.size());
  if (!buffer) {
    error_ = buffer.error();
    return weight;
  }
  weight.buffer = std::move(buffer).value();
  weight.tensor = weight.buffer.tensor(dtype_, {rows, columns});
  backend_.copy_to_device(host_.data(), weight.tensor);
  backend_.synchronize();  // host_ is filled anew by the next parameter
  return weight;
}

Weight WeightLoader::matrix(const Parameter& parameter) {
  Weight weight = load(parameter);
  loaded_bytes_ += weight.buffer.bytes();
  return weight;
}

Weight WeightLoader::vector(const Parameter& parameter) {
  Weight weight = matrix(parameter);
  if (!weight.tensor.empty()) weight.tensor = weight.tensor.reshaped({weight.tensor.dim(0)});
  return weight;
}

Weight WeightLoader::table(std::initializer_list<std::int64_t> shape,
                           const std::function<std::vector<float>()>& values) {
  Weight table;
  if (error_) return table;
  Result<Buffer> buffer = backend_.allocate(Tensor(nullptr, DType::kF32, shape).bytes());
  if (!buffer) {
    error_ = buffer.error();
    return table;
  }
  table.buffer = std::move(buffer).value();
  table.tensor = table.buffer.tensor(DType::kF32, shape);
  const std::vector<float> host = values();
  CHECK(std::ssize(host) == table.tensor.elements());
  backend_.copy_to_device(host.data(), table.tensor);
  return table;
}

std::unique_ptr<Linear> WeightLoader::linear(const Parameter& weight, const Parameter& bias) {
  Weight matrix = load(weight);
  Weight vector = load(bias);
  if (error_) return nullptr;
  if (!vector.tensor.empty()) vector.tensor = vector.tensor.reshaped({vector.tensor.dim(0)});
  Result<std::unique_ptr<Linear>> packed = backend_.pack_linear(std::move(matrix), std::move(vector));
  if (!packed) {
    error_ = packed.error();
    return nullptr;
  }
  backend_.synchronize();
  loaded_bytes_ += packed.value()->bytes();
  return std::move(packed).value();
}

}  // namespace caudal
