#include "worker/model/weights/quantized_checkpoint.h"

#include <fmt/format.h>

#include <optional>
#include <set>

namespace caudal {
namespace {

// What cannot be rounded, by kind; each list is shown in full.
struct Refused {
  std::set<std::string> in_blocks, uneven;

  std::optional<Error> error(const std::string& checkpoint) const {
    if (in_blocks.empty() && uneven.empty()) return std::nullopt;
    std::string message = fmt::format("{}: --quantize rounds bf16, f16 and f32.", checkpoint);
    if (!in_blocks.empty()) message += fmt::format(" Stored in blocks already: {}.", fmt::join(in_blocks, ", "));
    if (!uneven.empty()) message += fmt::format(" Rows of no whole number of blocks: {}.", fmt::join(uneven, ", "));
    return Error{message, "quantize"};
  }
};

// What no weight can be stored as is not for here to refuse: check_weights() lists it with all else.
void quantize(const std::string& name, const FormatInfo& to, TensorInfo& tensor, Refused& refused) {
  const std::optional<StoredFormat> from = find_format(tensor.format);
  if (!from) return;
  if (!info_of(*from).dtype) {
    refused.in_blocks.insert(fmt::format("{} (is {})", name, tensor.format));
  } else if (tensor.shape.back() % to.block_values != 0) {
    refused.uneven.insert(fmt::format("{} (is [{}]; {} has blocks of {} values)", name, fmt::join(tensor.shape, ", "),
                                      to.name, to.block_values));
  } else {
    tensor.format = to.name;
  }
}

}  // namespace

Result<std::unique_ptr<Checkpoint>> QuantizedCheckpoint::create(std::unique_ptr<Checkpoint> source, StoredFormat format,
                                                                const ModelConfig& config,
                                                                std::span<const Parameter> parameters) {
  const std::string head = config.tied_embeddings ? kEmbeddingName : kHeadName;
  TensorInfos infos = source->tensors();
  Refused refused;
  for (const WeightPart* part : all_parts(parameters)) {
    const auto found = infos.find(part->name);
    if (part->total_columns == 0 || found == infos.end()) continue;
    quantize(part->name, info_of(part->name == head ? StoredFormat::kQ8_0 : format), found->second, refused);
  }
  if (std::optional<Error> error = refused.error(source->name())) return *error;
  return std::unique_ptr<Checkpoint>(new QuantizedCheckpoint(std::move(source), std::move(infos)));
}

StoredPart QuantizedCheckpoint::read(const WeightPart& part) const {
  StoredPart stored = source_->read(part);
  const StoredFormat format = *find_format(infos_.find(part.name)->second.format);
  if (format == stored.format) return stored;
  const FormatInfo& info = info_of(format);
  StoredPart out = stored_part(part, format);
  out.row_bytes = stored_bytes(format, out.stored_columns);
  out.memory = std::make_unique_for_overwrite<std::byte[]>(out.stored_rows * out.row_bytes);
  out.data = out.memory.get();
  std::vector<float> row(out.columns);
  for (std::int64_t r = 0; r < out.stored_rows; ++r) {
    read_rows({&stored, 1}, r, 1, DType::kF32, reinterpret_cast<std::byte*>(row.data()));
    std::byte* block = out.memory.get() + r * out.row_bytes;
    for (std::int64_t c = 0; c < out.stored_columns; c += info.block_values, block += info.block_bytes)
      info.coding.encode(row.data() + c, block);
  }
  return out;
}

}  // namespace caudal
