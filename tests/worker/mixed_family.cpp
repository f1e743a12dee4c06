#include "tests/worker/mixed_family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <map>

#include "worker/model/blocks/attention.h"
#include "worker/model/blocks/mlp.h"
#include "worker/model/blocks/norm.h"

namespace caudal {
namespace {

ModelConfig read_mixed(const ModelCard& card) {
  ModelConfig config = read_decoder_config(card);
  const JsonNode layers = card.config().at("layer_heads");
  for (std::size_t i = 0; i < config.layers.size(); ++i) {
    const auto number = [&](std::size_t j) { return layers.at(i).at(j).integer(0, 4096); };
    config.layers[i] = {number(0), number(1), number(2), static_cast<std::int32_t>(number(3))};
    check_heads(card.config(), config.layers[i], config.rope);
  }
  return config;
}

class Mixed final : public Model {
 public:
  explicit Mixed(ModelBuilder& builder)
      : Model(builder.hand_over_workspace()),
        backend_(builder.backend()),
        x_(builder.workspace().take(builder.dtype(), {builder.limits().max_tokens, builder.config().hidden_size})),
        embedding_(builder, kEmbeddingName),
        final_norm_(builder, "model.norm.weight"),
        head_(builder, kHeadName) {
    for (const LayerConfig& layer : builder.config().layers)
      if (!cos_sin_.contains(layer.head_dim))
        cos_sin_.emplace(layer.head_dim, make_rope_table(builder, layer.head_dim));
    for (std::size_t i = 0; i < builder.config().layers.size(); ++i)
      layers_.emplace_back(builder, fmt::format("model.layers.{}.", i), i);
  }

  Tensor forward(const DeviceBatch& batch, const KvCache& cache) override {
    const Workspace::Scope scope(workspace());
    const Tensor x = x_.rows(0, batch.token_ids.dim(0)), residual = workspace().take(x.dtype(), {x.dim(0), x.dim(1)});
    embedding_.forward(batch.token_ids, residual);
    backend_.zero(x);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      layer.input_norm.add_and_forward(x, residual, x);
      layer.attention.forward(x, batch, cache.layer(i), cos_sin_.at(layer.head_dim).tensor, x);
      layer.post_norm.add_and_forward(x, residual, x);
      layer.mlp.forward(x, x);
    }
    final_norm_.add_and_forward(x, residual, x);
    return x;
  }

  Tensor logits(const Tensor& hidden, const Tensor& rows) override {
    const Workspace::Scope scope(workspace());
    const Tensor last = workspace().take(hidden.dtype(), {rows.dim(0), hidden.dim(1)});
    backend_.gather_rows(hidden, rows, last);
    return head_.forward(last);
  }

 private:
  struct Layer {
    Layer(ModelBuilder& builder, const std::string& prefix, std::size_t index)
        : head_dim(builder.config().layers[index].head_dim),
          input_norm(builder, prefix + "input_layernorm.weight"),
          attention(builder, prefix + "self_attn.", index),
          post_norm(builder, prefix + "post_attention_layernorm.weight"),
          mlp(builder, prefix + "mlp.") {}

    std::int64_t head_dim;
    RmsNorm input_norm;
    Attention attention;
    RmsNorm post_norm;
    GatedMlp mlp;
  };

  Backend& backend_;
  Tensor x_;
  std::map<std::int64_t, Weight> cos_sin_;  // by head size
  VocabParallelEmbedding embedding_;
  std::vector<Layer> layers_;
  RmsNorm final_norm_;
  VocabParallelHead head_;
};

std::unique_ptr<Model> make_mixed(ModelBuilder& builder) { return std::make_unique<Mixed>(builder); }

constexpr std::array kFamilies = {
    Family{.architecture = "MixedForCausalLM", .read_config = read_mixed, .create = make_mixed}};

}  // namespace

std::span<const Family> mixed_families() { return kFamilies; }

void MixedModel::write_config(const TemporaryDir& dir) const {
  std::vector<std::string> heads;
  for (const auto& [num_heads, num_kv_heads, head_dim, window] : layers)
    heads.push_back(fmt::format("[{}, {}, {}, {}]", num_heads, num_kv_heads, head_dim, window));
  dir.write("config.json",
            fmt::format(R"({{"architectures": ["MixedForCausalLM"], "hidden_size": 64, "intermediate_size": 70,
                             "num_hidden_layers": {}, "num_attention_heads": 4, "num_key_value_heads": 2,
                             "vocab_size": 101, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
                             "torch_dtype": "float32", "layer_heads": [{}]}})",
                        layers.size(), fmt::join(heads, ", ")));
}

RunnerOptions mixed_options() {
  RunnerOptions options;
  options.load_format = LoadFormat::kDummy;
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 8;
  options.max_tokens_per_step = 64;
  options.max_draft_tokens = 0;
  options.kv.num_blocks = 128;
  options.families = mixed_families();
  return options;
}

}  // namespace caudal
