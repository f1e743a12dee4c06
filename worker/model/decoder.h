// Decoder: a pre-norm transformer with grouped-query attention and a gated MLP (Llama, arXiv 2302.13971,
// and the families of model_config.cpp). Owned by the runner and called by the step thread. Its
// activations are allocated once, for the largest step; forward() and logits() return views of them.
#pragma once

#include <memory>
#include <vector>

#include "worker/batch/batch.h"
#include "worker/cache/kv_cache.h"
#include "worker/model/layers.h"

namespace caudal {

// What a rank keeps of a token's K and V.
KvShape kv_shape(const ModelConfig& config, const Partition& part, DType dtype);

// The largest step a decoder is built for.
struct StepLimits {
  std::int64_t max_tokens = 0;   // rows of a step
  std::int64_t max_rows = 0;     // rows of logits of a step
  std::int64_t max_context = 0;  // positions of the rope table
};

class Decoder {
 public:
  // The weights must fit the config; errors are those of the device.
  static Result<std::unique_ptr<Decoder>> create(const ModelConfig& config, const Partition& part, WeightLoader& loader,
                                                 Communicator& group, const StepLimits& limits);

  // Device memory besides weights that create() takes, in bytes.
  static std::size_t workspace_bytes(const ModelConfig& config, const Partition& part, DType dtype,
                                     const StepLimits& limits);

  // Makes `sizes` at least as wide as the rows of this model's products.
  static void widen(StepSizes& sizes, const ModelConfig& config, const Partition& part, DType dtype);

  // Most ops that forward() and logits() queue together, messages between ranks among them.
  static std::int64_t most_ops(const ModelConfig& config, const Partition& part);

  // Computes all tokens of the batch and stores their KV. The final hidden states, normed [num_tokens, hidden].
  Tensor forward(const DeviceBatch& batch, const KvCache& cache);

  // rows i32 [num_rows] of hidden -> logits f32 [num_rows, padded vocabulary], whole on every rank.
  Tensor logits(const Tensor& hidden, const Tensor& rows);

 private:
  struct Layer {
    Weight input_norm, q_norm, k_norm, post_norm;
    ColumnParallelLinear qkv;
    RowParallelLinear output;
    ColumnParallelLinear gate_up;
    RowParallelLinear down;
    std::int32_t sliding_window;
  };

  // All of one step's intermediate values; rows beyond the step's are unused.
  struct Activations {
    Tensor residual;   // [max_tokens, hidden], the residual stream
    Tensor x;          // [max_tokens, hidden], into and out of every block
    Tensor qkv;        // [max_tokens, (heads + 2 kv_heads) * head_dim]
    Tensor attention;  // [max_tokens, heads * head_dim]
    Tensor gate_up;    // [max_tokens, 2 * intermediate]
    Tensor inner;      // [max_tokens, intermediate]
    Tensor last;       // [max_rows, hidden], rows whose logits are wanted
    Tensor part;       // f32 [max_rows, vocabulary part]
    Tensor logits;     // f32 [max_rows, padded vocabulary]
    Tensor cos_sin;    // f32 [max_context, 2, head_dim / 2]
  };
  // The tensors laid out behind `memory`; with a null `memory` only their sizes mean something.
  static Activations lay_out(const ModelConfig& config, const Partition& part, DType dtype, const StepLimits& limits,
                             std::byte* memory, std::size_t& bytes);

  Decoder(const ModelConfig& config, const Partition& part, const DecoderParameters& parameters, WeightLoader& loader,
          Communicator& group);
  void attend(const Layer& layer, const DeviceBatch& batch, const LayerCache& cache, const Activations& now) const;
  Activations first_rows(std::int64_t num_tokens) const;
  void choose_products() const;

  ModelConfig config_;
  Partition part_;
  Backend& backend_;
  VocabParallelEmbedding embedding_;
  std::vector<Layer> layers_;
  Weight final_norm_;
  VocabParallelHead head_;
  Buffer memory_;
  Activations workspace_;
};

}  // namespace caudal
