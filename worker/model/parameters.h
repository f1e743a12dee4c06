// The parameters of a decoder as data: each knows the checkpoint tensors it is made of, their whole shapes
// and what this rank cuts out of them. Checked against a checkpoint and summed for the memory plan before
// anything is read.
#pragma once

#include <cstddef>
#include <cstdint>
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

  std::int64_t rows() const;
  std::int64_t columns() const { return parts.empty() ? 0 : parts.front().columns.count; }
  bool held() const { return rows() > 0; }
};

struct LayerParameters {
  Parameter input_norm;             // [hidden]
  Parameter qkv, qkv_bias;          // [(heads + 2 kv_heads) * head_dim, hidden]
  Parameter q_norm, k_norm;         // [head_dim]
  Parameter output, output_bias;    // [hidden, heads * head_dim]
  Parameter post_norm;              // [hidden]
  Parameter gate_up, gate_up_bias;  // [2 * intermediate, hidden], gate first
  Parameter down, down_bias;        // [hidden, intermediate]
};

struct DecoderParameters {
  Parameter embedding;  // [vocabulary part, hidden]
  std::vector<LayerParameters> layers;
  Parameter final_norm;  // [hidden]
  Parameter head;        // [vocabulary part, hidden]

  std::vector<const WeightPart*> all_parts() const;
  // An upper bound of what the rank's weights take on a device, in bytes.
  std::size_t device_bytes(DType dtype) const;
};

DecoderParameters decoder_parameters(const ModelConfig& config, const Partition& part);

// Tensors that published checkpoints may hold although nothing reads them: rotary frequencies of older
// exports, and the output matrix of a model whose embeddings are tied.
bool is_redundant(const ModelConfig& config, const std::string& name);

}  // namespace caudal
