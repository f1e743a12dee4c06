// The parameters of a model as data: each knows the checkpoint tensors it is made of, their whole shapes
// and what this rank cuts out of them. Checked against a checkpoint and summed for the memory plan before
// anything is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "worker/model/partition.h"

namespace caudal {

// What a rank takes of one checkpoint tensor [total_rows, total_columns]; a vector is [total_rows], with
// total_columns = 0 and one column to take. No rows: the name belongs to the model, but not to this rank.
struct WeightPart {
  std::string name;  // "model.layers.0.self_attn.q_proj.weight"
  std::int64_t total_rows = 0;
  std::int64_t total_columns = 0;
  Range rows;
  Range columns;

  std::vector<std::int64_t> stored_shape() const;
};

// Parts stacked by rows: q, k and v become one matrix. No parts: the model has no such parameter.
struct Parameter {
  std::vector<WeightPart> parts;
  bool packed = false;       // a matrix, held as the backend packs it; else a vector. The plan finds that out
  bool with_weight = false;  // a bias: its weight is packed with it

  std::int64_t rows() const;
  std::int64_t columns() const { return parts.empty() ? 0 : parts.front().columns.count; }
  bool held() const { return rows() > 0; }
};

// The ways to cut a tensor. What a rank does not hold of a row range past the tensor's end is zeros.
WeightPart cut_rows(std::string name, std::int64_t rows, std::int64_t columns, Range range);
WeightPart cut_columns(std::string name, std::int64_t rows, std::int64_t columns, Range range);
WeightPart cut_vector(std::string name, std::int64_t size, Range range);
WeightPart whole_vector(std::string name, std::int64_t size);
// The bias of a matrix that is cut by columns: the sum over ranks must add it once.
WeightPart first_rank_vector(std::string name, std::int64_t size, int rank);

// Rows `range` of a matrix whose rows come in pieces of `by`: heads of head_dim rows.
Range scaled(Range range, std::int64_t by);

std::vector<const WeightPart*> all_parts(std::span<const Parameter> parameters);

inline constexpr const char* kHeadName = "lm_head.weight";
inline constexpr const char* kEmbeddingName = "model.embed_tokens.weight";

// Tensors that published checkpoints may hold although nothing reads them: rotary frequencies of older
// exports, and the output matrix of a model whose embeddings are tied.
bool is_redundant(const ModelConfig& config, const std::string& name);

}  // namespace caudal
