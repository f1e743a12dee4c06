// Structures that no fixture has, with dummy weights against a float64 decoder: biases everywhere, windows
// layer by layer, inner and vocabulary sizes that tensor parallelism does not divide.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/worker/model/families/reference_decoder.h"
#include "tests/worker/model/weights/safetensors_file.h"
#include "tests/worker/replica.h"

namespace caudal {
namespace {

struct Case {
  const char* name;
  const char* config;
};

const Case kCases[] = {
    {"LlamaWithBiases",
     R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 70, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 101, "max_position_embeddings": 64,
         "rms_norm_eps": 1e-5, "attention_bias": true, "mlp_bias": true, "torch_dtype": "float32"})"},
    {"Qwen3WithBiasesAndOneKvHead",
     R"({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 32, "intermediate_size": 33, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 80, "vocab_size": 130,
         "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "attention_bias": true, "tie_word_embeddings": true})"},
    {"Qwen2WithAWindowInSomeLayers",
     R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
         "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 16, "vocab_size": 99, "max_position_embeddings": 64,
         "rms_norm_eps": 1e-6, "use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1})"}};

class Llama : public testing::TestWithParam<Case> {};

TEST_P(Llama, AgreesWithFloat64ForAnyTensorParallelism) {
  const TemporaryDir dir;
  dir.write("config.json", GetParam().config);
  const ModelConfig config = load_model_spec(dir.path(), known_families()).value().config;
  const std::unique_ptr<Checkpoint> weights = dummy_checkpoint({});
  std::vector<TokenId> tokens;
  for (TokenId i = 0; i < 37; ++i) tokens.push_back((i * 31 + 7) % static_cast<TokenId>(config.vocab_size));
  const std::vector<ReferenceDecoder::Vector> expected = ReferenceDecoder(config, *weights).logits(tokens);
  double largest = 0.0;
  for (double logit : expected.back()) largest = std::max(largest, std::abs(logit));

  RunnerOptions options;
  options.load_format = LoadFormat::kDummy;
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 8;
  options.max_tokens_per_step = 16;
  options.kv.num_blocks = 16;  // for as many tokens in each KV group
  for (int ranks : {1, 2, 4}) {
    TestReplica replica(dir.path(), ranks, options);
    ASSERT_TRUE(replica.valid());
    const std::vector<float> logits = replica.prompt_logits(tokens, 8);
    const auto vocab = static_cast<std::size_t>(config.vocab_size);
    for (std::size_t t = 0; t < tokens.size(); ++t)
      for (std::size_t i = 0; i < vocab; ++i)
        ASSERT_NEAR(logits[t * vocab + i], expected[t][i], 1e-5 * largest) << "at " << t << " with " << ranks;
  }
}

INSTANTIATE_TEST_SUITE_P(Structures, Llama, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace caudal
