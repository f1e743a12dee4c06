// ModelConfig: what config.json says about a decoder, as structural fields, and the parts of config.json that families
// read alike. Blocks ask these fields and never an architecture's name. Read once at start, then constant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/model_files/model_card.h"
#include "kernels/tensor.h"

namespace caudal {

// What may differ from layer to layer.
struct LayerConfig {
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int32_t sliding_window = 0;  // tokens; 0 = the layer sees everything
};

struct ModelConfig {
  std::string architecture;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::vector<LayerConfig> layers;
  float norm_eps = 0.0F;
  bool qkv_bias = false;
  bool output_bias = false;  // of the attention's output projection
  bool mlp_bias = false;
  bool qk_norm = false;  // rms norm of each head of q and k before the rotation
  bool tied_embeddings = false;
  RopeConfig rope;
  std::optional<DType> dtype;  // of the published weights, where the config says so
  std::string digest;          // ModelCard::digest
};

// What families expect of the fields that give a decoder its shape.
struct ShapeRules {
  bool needs_head_dim = false;  // else hidden_size / num_attention_heads where absent
  bool needs_kv_heads = true;   // else one per head where absent
};

// The fields that every family reads alike: shape, activation, tied embeddings, rotary embedding, dtype. All layers are
// alike yet, without a window or a bias. Throws JsonError.
ModelConfig read_decoder_config(const ModelCard& card, const ShapeRules& rules = {});

// For families that change the heads of some layers: fails unless the blocks take them. `root` is of config.json.
// Throws JsonError.
void check_heads(const JsonNode& root, const LayerConfig& layer, const RopeConfig& rope);

// Gives "sliding_window" to the layers from `first_layer` on, or to those that "layer_types" lists. `root` is of
// config.json. Throws JsonError.
void read_windows(const JsonNode& root, std::int64_t first_layer, ModelConfig& config);

}  // namespace caudal
