// Llama (arXiv 2302.13971) and its relatives Mistral (arXiv 2310.06825), Qwen2 (arXiv 2407.10671) and Qwen3
// (arXiv 2505.09388): a pre-norm transformer with grouped-query attention and a gated MLP. They differ in biases, in
// the norm of q and k, and in which layers have a sliding window; the blocks read that from the config.
#include <fmt/core.h>

#include <array>
#include <vector>

#include "worker/model/blocks/attention.h"
#include "worker/model/blocks/mlp.h"
#include "worker/model/blocks/norm.h"
#include "worker/model/families/registry.h"

namespace caudal {
namespace {

ModelConfig read_llama(const ModelCard& card) {
  ModelConfig config = read_decoder_config(card, {.needs_kv_heads = false});
  config.qkv_bias = config.output_bias = card.config().flag("attention_bias", false);
  config.mlp_bias = card.config().flag("mlp_bias", false);
  return config;
}

ModelConfig read_mistral(const ModelCard& card) {
  ModelConfig config = read_decoder_config(card);
  read_windows(card.config(), 0, config);
  return config;
}

void read_qwen_windows(const JsonNode& root, ModelConfig& config) {
  if (root.flag("use_sliding_window", false)) read_windows(root, root.count("max_window_layers", 28), config);
}

ModelConfig read_qwen2(const ModelCard& card) {
  ModelConfig config = read_decoder_config(card);
  config.qkv_bias = true;
  read_qwen_windows(card.config(), config);
  return config;
}

ModelConfig read_qwen3(const ModelCard& card) {
  ModelConfig config = read_decoder_config(card, {.needs_head_dim = true});
  config.qkv_bias = config.output_bias = card.config().flag("attention_bias", false);
  config.qk_norm = true;
  read_qwen_windows(card.config(), config);
  return config;
}

class Llama final : public Model {
 public:
  explicit Llama(ModelBuilder& builder)
      : Model(builder.hand_over_workspace()),
        backend_(builder.backend()),
        dtype_(builder.dtype()),
        x_(builder.workspace().take(dtype_, {builder.limits().max_tokens, builder.config().hidden_size})),
        cos_sin_(make_rope_table(builder, builder.config().layers.front().head_dim)),
        head_(builder, builder.config().tied_embeddings ? kEmbeddingName : kHeadName),
        embedding_(builder.config().tied_embeddings ? VocabParallelEmbedding(builder, head_)
                                                    : VocabParallelEmbedding(builder, kEmbeddingName)),
        final_norm_(builder, "model.norm.weight") {
    for (std::size_t i = 0; i < builder.config().layers.size(); ++i)
      layers_.emplace_back(builder, fmt::format("model.layers.{}.", i), i);
  }

  Tensor forward(const DeviceBatch& batch, const KvCache& cache) override {
    const Workspace::Scope scope(workspace());
    const std::int64_t num_tokens = batch.token_ids.dim(0);
    const Tensor x = x_.rows(0, num_tokens);                                   // into and out of every block
    const Tensor residual = workspace().take(dtype_, {num_tokens, x.dim(1)});  // the residual stream
    embedding_.forward(batch.token_ids, residual);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      if (i == 0) {
        layer.input_norm.forward(residual, x);
      } else {
        layer.input_norm.add_and_forward(x, residual, x);
      }
      layer.attention.forward(x, batch, cache.layer(i), cos_sin_.tensor, x);
      layer.post_norm.add_and_forward(x, residual, x);
      layer.mlp.forward(x, x);
    }
    final_norm_.add_and_forward(x, residual, x);
    return x;
  }

  Tensor logits(const Tensor& hidden, const Tensor& rows) override {
    const Workspace::Scope scope(workspace());
    const Tensor last = workspace().take(dtype_, {rows.dim(0), hidden.dim(1)});
    backend_.gather_rows(hidden, rows, last);
    return head_.forward(last);
  }

 private:
  struct Layer {
    Layer(ModelBuilder& builder, const std::string& prefix, std::size_t index)
        : input_norm(builder, prefix + "input_layernorm.weight"),
          attention(builder, prefix + "self_attn.", index),
          post_norm(builder, prefix + "post_attention_layernorm.weight"),
          mlp(builder, prefix + "mlp.") {}

    RmsNorm input_norm;
    Attention attention;
    RmsNorm post_norm;
    GatedMlp mlp;
  };

  Backend& backend_;
  DType dtype_;
  Tensor x_;        // [max_tokens, hidden]: forward()'s result outlives its scope
  Weight cos_sin_;  // f32 [max_context, 2, head_dim / 2]
  VocabParallelHead head_;
  VocabParallelEmbedding embedding_;  // may read the head's weight
  std::vector<Layer> layers_;
  RmsNorm final_norm_;
};

std::unique_ptr<Model> make_llama(ModelBuilder& builder) { return std::make_unique<Llama>(builder); }

constexpr std::array kFamilies = {
    Family{.architecture = "LlamaForCausalLM", .read_config = read_llama, .create = make_llama},
    Family{.architecture = "MistralForCausalLM", .read_config = read_mistral, .create = make_llama},
    Family{.architecture = "Qwen2ForCausalLM", .read_config = read_qwen2, .create = make_llama},
    Family{.architecture = "Qwen3ForCausalLM", .read_config = read_qwen3, .create = make_llama},
};

}  // namespace

std::span<const Family> llama_families() { return kFamilies; }

}  // namespace caudal
