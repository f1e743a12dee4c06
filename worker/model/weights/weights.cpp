#include "worker/model/weights/weights.h"

#include <fmt/format.h>

#include <set>

#include "kernels/half_float.h"

namespace caudal {
namespace {

// What is wrong with a checkpoint, by kind; each list is shown in full.
struct Mismatch {
  std::set<std::string> missing, wrong, left_over;

  std::optional<Error> error(const std::string& checkpoint) const {
    if (missing.empty() && wrong.empty() && left_over.empty()) return std::nullopt;
    std::string message = fmt::format("{}: the tensors do not fit the model.", checkpoint);
    if (!missing.empty()) message += fmt::format(" Missing tensors: {}.", fmt::join(missing, ", "));
    if (!wrong.empty()) message += fmt::format(" Wrong tensors: {}.", fmt::join(wrong, ", "));
    if (!left_over.empty()) message += fmt::format(" Tensors nothing reads: {}.", fmt::join(left_over, ", "));
    return Error{message, checkpoint};
  }
};

std::string names_of_formats(const Backend& backend) {
  std::vector<std::string_view> names;
  for (const StoredFormat format : all_formats())
    if (backend.takes(format)) names.push_back(info_of(format).name);
  return fmt::format("{}", fmt::join(names, ", "));
}

// A cut must not go through a block.
bool cuts_between_blocks(const WeightPart& part, StoredFormat format) {
  const std::int64_t block = info_of(format).block_values, end = part.columns.begin + part.columns.count;
  return part.columns.begin % block == 0 && (end % block == 0 || end >= part.total_columns);
}

void check_part(const WeightPart& part, const Checkpoint& checkpoint, const Backend& backend, Mismatch& mismatch) {
  const auto found = checkpoint.tensors().find(part.name);
  if (found == checkpoint.tensors().end()) {
    mismatch.missing.insert(part.name);
    return;
  }
  const TensorInfo& tensor = found->second;
  const std::optional<StoredFormat> format = find_format(tensor.format);
  if (!format || !backend.takes(*format)) {
    mismatch.wrong.insert(fmt::format("{} (is {}; may be {})", part.name, tensor.format, names_of_formats(backend)));
  } else if (tensor.shape != part.stored_shape()) {
    mismatch.wrong.insert(fmt::format("{} (is [{}], must be [{}])", part.name, fmt::join(tensor.shape, ", "),
                                      fmt::join(part.stored_shape(), ", ")));
  } else if (!cuts_between_blocks(part, *format)) {
    mismatch.wrong.insert(fmt::format("{} (is {}, whose blocks of {} values cannot be divided among so many ranks)",
                                      part.name, tensor.format, info_of(*format).block_values));
  }
}

StoredFormat format_of(const WeightPart& part, const Checkpoint& checkpoint) {
  return *find_format(checkpoint.tensors().find(part.name)->second.format);
}

std::vector<StoredPart> read_parts(const Parameter& parameter, const Checkpoint& checkpoint) {
  std::vector<StoredPart> parts;
  parts.reserve(parameter.parts.size());
  for (const WeightPart& part : parameter.parts) parts.push_back(checkpoint.read(part));
  return parts;
}

// Whether a vector's values are the same in `dtype`. The whole vector's, so that all ranks say the same.
bool fits(const WeightPart& part, const Checkpoint& checkpoint, DType dtype) {
  const StoredFormat format = format_of(part, checkpoint);
  if (info_of(format).dtype == dtype) return true;
  std::vector<StoredPart> whole;
  whole.push_back(checkpoint.read(whole_vector(part.name, part.total_rows)));
  std::vector<float> stored(part.total_rows), rounded(stored.size());
  std::vector<std::byte> in_dtype(stored.size() * dtype_bytes(dtype));
  read_rows(whole, 0, part.total_rows, DType::kF32, reinterpret_cast<std::byte*>(stored.data()));
  read_rows(whole, 0, part.total_rows, dtype, in_dtype.data());
  widen(dtype, in_dtype.data(), rounded.size(), rounded.data());
  return stored == rounded;
}

}  // namespace

Result<void> check_weights(const Checkpoint& checkpoint, const ModelConfig& config,
                           std::span<const Parameter> parameters, const Backend& backend) {
  Mismatch mismatch;
  std::set<std::string_view> known;
  for (const WeightPart* part : all_parts(parameters)) {
    known.insert(part->name);
    check_part(*part, checkpoint, backend, mismatch);
  }
  for (const auto& [name, tensor] : checkpoint.tensors())
    if (!known.contains(name) && !is_redundant(config, name)) mismatch.left_over.insert(name);
  if (std::optional<Error> error = mismatch.error(checkpoint.name())) return *error;
  return {};
}

std::optional<DType> stored_dtype(const Checkpoint& checkpoint, std::span<const Parameter> parameters) {
  std::optional<DType> common;
  for (const WeightPart* part : all_parts(parameters)) {
    if (part->total_columns == 0) continue;
    const std::optional<DType> dtype = info_of(format_of(*part, checkpoint)).dtype;
    if (!dtype || (common && dtype != common)) return std::nullopt;
    common = dtype;
  }
  for (const WeightPart* part : all_parts(parameters))
    if (common && part->total_columns == 0 && !fits(*part, checkpoint, *common)) return std::nullopt;
  return common;
}

std::size_t weights_bytes(const Backend& backend, const Checkpoint& checkpoint, std::span<const Parameter> parameters,
                          DType dtype) {
  const std::size_t unit = backend.traits().allocation_unit;
  std::size_t bytes = 0;
  for (const Parameter& parameter : parameters) {
    if (!parameter.held() || parameter.with_weight) continue;
    if (!parameter.packed) {
      const std::size_t values = parameter.rows() * parameter.columns();
      bytes += (values * dtype_bytes(dtype) + unit - 1) / unit * unit;
      continue;
    }
    LinearShape shape{.rows = {}, .dtype = dtype, .in_features = parameter.columns()};
    for (const WeightPart& part : parameter.parts) shape.rows.push_back({format_of(part, checkpoint), part.rows.count});
    bytes += backend.packed_bytes(shape);
  }
  return bytes;
}

Result<DType> choose_dtype(DTypeChoice choice, std::optional<DType> stored, const Backend& backend) {
  if (choice == DTypeChoice::kBF16) return DType::kBF16;
  if (choice == DTypeChoice::kF32) return DType::kF32;
  if (choice == DTypeChoice::kF16) {
    if (backend.computes_in(DType::kF16)) return DType::kF16;
    return Error{"this device does not compute in f16; choose --dtype f32 (exact) or --dtype bf16 (rounds)", "dtype"};
  }
  return stored && backend.computes_in(*stored) ? *stored : DType::kF32;
}

Result<DType> choose_kv_dtype(DTypeChoices choices, DType dtype, std::optional<DType> stored, const Backend& backend) {
  const DTypeChoice choice = choices.kv;
  if (choice == DTypeChoice::kAuto) {
    const bool rounded = choices.activations == DTypeChoice::kAuto && dtype == DType::kF32 && stored != DType::kF32;
    return rounded && backend.takes_kv(DType::kF16, dtype) ? DType::kF16 : dtype;
  }
  const DType kv_dtype = choice == DTypeChoice::kBF16  ? DType::kBF16
                         : choice == DTypeChoice::kF16 ? DType::kF16
                                                       : DType::kF32;
  if (backend.takes_kv(kv_dtype, dtype)) return kv_dtype;
  return Error{fmt::format("this device does not keep K and V in {} beside activations in {}; choose "
                           "--kv-cache-dtype auto",
                           dtype_name(kv_dtype), dtype_name(dtype)),
               "kv-cache-dtype"};
}

Weight WeightLoader::vector(const Parameter& parameter) {
  Weight weight;
  if (error_ || !parameter.held()) return weight;
  const std::int64_t rows = parameter.rows();
  host_.resize(rows * dtype_bytes(dtype_));
  read_rows(read_parts(parameter, checkpoint_), 0, rows, dtype_, host_.data());
  Result<Buffer> buffer = backend_.allocate(host_.size());
  if (!buffer) {
    error_ = buffer.error();
    return weight;
  }
  weight.buffer = std::move(buffer).value();
  weight.tensor = weight.buffer.tensor(dtype_, {rows});
  backend_.copy_to_device(host_.data(), weight.tensor);
  backend_.synchronize();  // host_ is filled anew by the next parameter
  loaded_bytes_ += weight.buffer.bytes();
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
  if (error_) return nullptr;
  Result<std::unique_ptr<Linear>> packed = backend_.pack_linear(
      {.weight = read_parts(weight, checkpoint_), .bias = read_parts(bias, checkpoint_), .dtype = dtype_});
  if (!packed) {
    error_ = packed.error();
    return nullptr;
  }
  loaded_bytes_ += packed.value()->bytes();
  for (const WeightPart& part : weight.parts) checkpoint_.drop(part);
  return std::move(packed).value();
}

}  // namespace caudal
