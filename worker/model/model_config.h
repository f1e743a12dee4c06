// ModelConfig: what config.json says about a decoder, as structural fields, and the parts of config.json that families
// read alike. Blocks ask these fields and never an architecture's name. Read once at start, then constant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace caudal {

class ConfigFields;

enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn };

// Rotary embedding (Su et al., arXiv 2104.09864) and how its frequencies were stretched for longer contexts.
struct RopeConfig {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  std::int64_t original_max_position = 0;  // context length before the stretching
  double low_freq_factor = 1.0;            // llama3
  double high_freq_factor = 4.0;           // llama3
  double beta_fast = 32.0;                 // yarn (Peng et al., arXiv 2309.00071)
  double beta_slow = 1.0;                  // yarn
  double attention_factor = 1.0;           // yarn: cos and sin are multiplied by it
  bool truncate = true;                    // yarn: round the ramp's ends to whole dimensions
};

struct ModelConfig {
  std::string architecture;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_layers = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_position = 0;
  float norm_eps = 0.0F;
  bool qkv_bias = false;
  bool output_bias = false;  // of the attention's output projection
  bool mlp_bias = false;
  bool qk_norm = false;  // rms norm of each head of q and k before the rotation
  bool tied_embeddings = false;
  std::vector<std::int32_t> sliding_window;  // [num_layers], tokens; 0 = the layer sees everything
  RopeConfig rope;
  std::optional<DType> dtype;  // of the published weights, where the config says so
  std::string digest;          // SHA-256 of the file, hexadecimal: equal configs have equal digests

  // Without a request for another length, and the most that may be asked for, in tokens.
  std::int64_t default_context() const;
  std::int64_t longest_context() const;
};

// What families expect of the fields that give a decoder its shape.
struct ShapeRules {
  bool needs_head_dim = false;  // else hidden_size / num_attention_heads where absent
  bool needs_kv_heads = true;   // else one per head where absent
};

// The fields that every family reads alike: shape, activation, tied embeddings, rotary embedding, dtype. No layer has
// a window or a bias yet. Mistakes are left in `fields`.
ModelConfig read_decoder_config(ConfigFields& fields, const ShapeRules& rules = {});

// Gives "sliding_window" to the layers from `first_layer` on, or to those that "layer_types" lists.
void read_windows(ConfigFields& fields, std::int64_t first_layer, ModelConfig& config);

}  // namespace caudal
