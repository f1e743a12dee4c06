#include "worker/model/weights/checkpoint.h"

#include <algorithm>

#include "worker/model/weights/gguf_checkpoint.h"
#include "worker/model/weights/safetensors_checkpoint.h"

namespace caudal {
namespace {

// Values of a part that lie inside the stored tensor; the rest is zeros.
std::int64_t stored_count(Range range, std::int64_t total) {
  return std::clamp<std::int64_t>(total - range.begin, 0, range.count);
}

}  // namespace

StoredPart stored_part(const WeightPart& part, StoredFormat format) {
  return {.format = format,
          .rows = part.rows.count,
          .columns = part.columns.count,
          .stored_rows = stored_count(part.rows, part.total_rows),
          .stored_columns = stored_count(part.columns, std::max<std::int64_t>(part.total_columns, 1))};
}

StoredPart mapped_part(const WeightPart& part, StoredFormat format, const std::byte* tensor) {
  StoredPart out = stored_part(part, format);
  out.row_bytes = stored_bytes(format, std::max<std::int64_t>(part.total_columns, 1));
  out.data = tensor + part.rows.begin * out.row_bytes + stored_bytes(format, part.columns.begin);
  return out;
}

Result<std::unique_ptr<Checkpoint>> open_checkpoint(const std::filesystem::path& path) {
  if (is_gguf(path)) return GgufCheckpoint::open(path);
  Result<std::unique_ptr<SafetensorsCheckpoint>> checkpoint = SafetensorsCheckpoint::open(path);
  if (!checkpoint) return checkpoint.error();
  return std::unique_ptr<Checkpoint>(std::move(checkpoint).value());
}

}  // namespace caudal
