// A family that the build does not have, made of the blocks in one file and registered by a test: attention and MLP
// side by side behind one norm, and one layer that sees everything among layers with a window. The runner serves it as
// it serves the others.
#include "worker/model/families/registry.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "kernels/factory/make_backend.h"
#include "tests/worker/model/families/reference_decoder.h"
#include "tests/worker/model/weights/safetensors_file.h"
#include "tests/worker/replica.h"
#include "tests/worker/toy_scheduler.h"
#include "worker/model/blocks/attention.h"
#include "worker/model/blocks/mlp.h"
#include "worker/model/blocks/norm.h"
#include "worker/model/plan/model_plan.h"

namespace caudal {
namespace {

ModelConfig read_parallel(const ModelCard& card) {
  ModelConfig config = read_decoder_config(card);
  const auto window = static_cast<std::int32_t>(card.config().count("local_window"));
  const std::int64_t global = card.config().count("global_layer");
  for (std::int64_t i = 0; i < std::ssize(config.layers); ++i)
    config.layers[static_cast<std::size_t>(i)].sliding_window = i == global ? 0 : window;
  return config;
}

class Parallel final : public Model {
 public:
  explicit Parallel(ModelBuilder& builder)
      : Model(builder.hand_over_workspace()),
        backend_(builder.backend()),
        x_(builder.workspace().take(builder.dtype(), {builder.limits().max_tokens, builder.config().hidden_size})),
        cos_sin_(make_rope_table(builder, builder.config().layers.front().head_dim)),
        embedding_(builder, kEmbeddingName),
        final_norm_(builder, "model.norm.weight"),
        head_(builder, kHeadName) {
    for (std::size_t i = 0; i < builder.config().layers.size(); ++i) {
      const std::string prefix = fmt::format("model.layers.{}.", i);
      norms_.emplace_back(builder, prefix + "input_layernorm.weight");
      attentions_.emplace_back(builder, prefix + "self_attn.", i);
      mlps_.emplace_back(builder, prefix + "mlp.");
    }
  }

  Tensor forward(const DeviceBatch& batch, const KvCache& cache) override {
    const Workspace::Scope scope(workspace());
    const Tensor x = x_.rows(0, batch.token_ids.dim(0));
    const Tensor residual = take_like(x), attended = take_like(x), inner = take_like(x), unused = take_like(x);
    embedding_.forward(batch.token_ids, residual);
    for (std::size_t i = 0; i < norms_.size(); ++i) {
      norms_[i].forward(residual, x);
      attentions_[i].forward(x, batch, cache.layer(i), cos_sin_.tensor, attended);
      mlps_[i].forward(x, inner);
      final_norm_.add_and_forward(attended, residual, unused);
      final_norm_.add_and_forward(inner, residual, x);
    }
    return x;
  }

  Tensor logits(const Tensor& hidden, const Tensor& rows) override {
    const Workspace::Scope scope(workspace());
    const Tensor last = workspace().take(hidden.dtype(), {rows.dim(0), hidden.dim(1)});
    backend_.gather_rows(hidden, rows, last);
    return head_.forward(last);
  }

 private:
  Tensor take_like(const Tensor& x) { return workspace().take(x.dtype(), {x.dim(0), x.dim(1)}); }

  Backend& backend_;
  Tensor x_;
  Weight cos_sin_;
  VocabParallelEmbedding embedding_;
  std::vector<RmsNorm> norms_;
  std::vector<Attention> attentions_;
  std::vector<GatedMlp> mlps_;
  RmsNorm final_norm_;
  VocabParallelHead head_;
};

std::unique_ptr<Model> make_parallel(ModelBuilder& builder) { return std::make_unique<Parallel>(builder); }

constexpr std::array kTestFamilies = {
    Family{.architecture = "ParallelForCausalLM", .read_config = read_parallel, .create = make_parallel}};

class ParallelReference final : public ReferenceDecoder {
 public:
  using ReferenceDecoder::ReferenceDecoder;

 protected:
  void layer(const std::string& prefix, const LayerConfig& sizes, std::vector<Vector>& x) const override {
    const Vector norm = load(prefix + "input_layernorm.weight", config_.hidden_size);
    std::vector<Vector> h;
    for (const Vector& row : x) h.push_back(rms_norm(row, norm));
    const std::vector<Vector> attended = attention(prefix + "self_attn.", sizes, h);
    for (std::size_t t = 0; t < x.size(); ++t) {
      add(x[t], attended[t]);
      add(x[t], mlp(prefix + "mlp.", h[t]));
    }
  }
};

class RegisteredFamily : public testing::Test {
 protected:
  RegisteredFamily() {
    dir_.write("config.json",
               R"({"architectures": ["ParallelForCausalLM"], "hidden_size": 64, "intermediate_size": 70,
                   "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
                   "vocab_size": 101, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "local_window": 6,
                   "global_layer": 2, "torch_dtype": "float32"})");
    options_.load_format = LoadFormat::kDummy;
    options_.dtype = DTypeChoice::kF32;
    options_.max_num_sequences = 8;
    options_.max_tokens_per_step = 16;
    options_.max_draft_tokens = 0;
    options_.kv.num_blocks = 16;
    options_.families = kTestFamilies;
  }

  TemporaryDir dir_;
  RunnerOptions options_;
};

TEST_F(RegisteredFamily, IsServedWithAnyTensorParallelism) {
  const ModelConfig config = load_model_spec(dir_.path(), kTestFamilies).value().config;
  const std::unique_ptr<Checkpoint> weights = dummy_checkpoint({});
  std::vector<TokenId> tokens;
  for (TokenId i = 0; i < 43; ++i) tokens.push_back((i * 29 + 11) % 101);
  const auto expected = ParallelReference(config, *weights).logits(tokens);
  double largest = 0.0;
  for (double logit : expected.back()) largest = std::max(largest, std::abs(logit));
  for (int ranks : {1, 2}) {
    TestReplica replica(dir_.path(), ranks, options_);
    ASSERT_TRUE(replica.valid());
    const std::vector<float> logits = replica.prompt_logits(tokens, 8);
    for (std::size_t t = 0; t < tokens.size(); ++t)
      for (std::size_t i = 0; i < 101; ++i)
        ASSERT_NEAR(logits[t * 101 + i], expected[t][i], 1e-5 * largest) << "at " << t << " with " << ranks;
  }
}

TEST_F(RegisteredFamily, DecodesTheMostLikelyTokens) {
  const ModelConfig config = load_model_spec(dir_.path(), kTestFamilies).value().config;
  const std::unique_ptr<Checkpoint> weights = dummy_checkpoint({});
  TestReplica replica(dir_.path(), 1, options_);
  ASSERT_TRUE(replica.valid());
  const std::vector<TokenId> prompt = {3, 14, 15, 92, 65, 35, 89, 79};
  const ToyRun run = generate(replica, {greedy_request(prompt, 12)});
  std::vector<TokenId> tokens = prompt;
  for (const TokenId token : run.answers.front().tokens) {
    const std::vector<double> last = ParallelReference(config, *weights).logits(tokens).back();
    EXPECT_EQ(token, std::ranges::max_element(last) - last.begin()) << "after " << tokens.size();
    tokens.push_back(token);
  }
  EXPECT_EQ(tokens.size(), 20U);
}

TEST_F(RegisteredFamily, HasAGroupForItsGlobalLayer) {
  const std::unique_ptr<Backend> cpu = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
  const ModelChoice choice{dir_.path(), LoadFormat::kDummy, DTypeChoice::kF32, kTestFamilies};
  const OpenedModel model =
      std::move(open_model(load_model_spec(dir_.path(), kTestFamilies).value(), choice, 0, 1, *cpu)).value();
  const ModelPlan plan = plan_model(model, {.max_tokens = 16, .max_rows = 8, .max_context = 128}, *cpu);
  EXPECT_EQ(plan.kv.groups, (std::vector<KvGroup>{{0, {2}}, {6, {0}}, {6, {1}}, {6, {3}}}));
}

TEST_F(RegisteredFamily, IsNotKnownToTheBuild) {
  const Result<ModelSpec> spec = load_model_spec(dir_.path(), known_families());
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().field, "architectures");
  EXPECT_EQ(spec.error().message.find("ParallelForCausalLM"), std::string::npos);
  EXPECT_NE(spec.error().message.find("LlamaForCausalLM"), std::string::npos);
}

// Another architecture may name its other fields otherwise, so its own name is what is wrong.
TEST(KnownFamilies, AreListedToOneThatIsUnknown) {
  TemporaryDir dir;
  dir.write("config.json", R"({"architectures": ["GPT2LMHeadModel"], "n_positions": 64, "n_embd": 8})");
  const Result<ModelSpec> spec = load_model_spec(dir.path(), known_families());
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.error().field, "architectures");
}

TEST(KnownFamilies, AreNamedOnce) {
  std::vector<std::string_view> names;
  for (const Family& family : known_families()) names.push_back(family.architecture);
  std::ranges::sort(names);
  EXPECT_EQ(std::ranges::unique(names).size(), 0U);
}

}  // namespace
}  // namespace caudal
