#include "worker/model/parameters.h"

namespace caudal {
WeightPart cut_rows(std::string name, std::int64_t rows, std::int64_t columns, Range range) {
  return {std::move(name), rows, columns, range, {0, columns}};
}

WeightPart cut_columns(std::string name, std::int64_t rows, std::int64_t columns, Range range) {
  return {std::move(name), rows, columns, {0, rows}, range};
}

WeightPart cut_vector(std::string name, std::int64_t size, Range range) {
  return {std::move(name), size, 0, range, {0, 1}};
}

WeightPart whole_vector(std::string name, std::int64_t size) { return cut_vector(std::move(name), size, {0, size}); }

WeightPart first_rank_vector(std::string name, std::int64_t size, int rank) {
  return cut_vector(std::move(name), size, {0, rank == 0 ? size : 0});
}

Range scaled(Range range, std::int64_t by) { return {range.begin * by, range.count * by}; }

std::vector<std::int64_t> WeightPart::stored_shape() const {
  return total_columns == 0 ? std::vector{total_rows} : std::vector{total_rows, total_columns};
}

std::int64_t Parameter::rows() const {
  std::int64_t sum = 0;
  for (const WeightPart& part : parts) sum += part.rows.count;
  return sum;
}

std::vector<const WeightPart*> all_parts(std::span<const Parameter> parameters) {
  std::vector<const WeightPart*> parts;
  for (const Parameter& parameter : parameters)
    for (const WeightPart& part : parameter.parts) parts.push_back(&part);
  return parts;
}

bool is_redundant(const ModelConfig& config, const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") || (config.tied_embeddings && name == kHeadName);
}

}  // namespace caudal
