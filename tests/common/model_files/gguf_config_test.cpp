// What the metadata of a GGUF file says of the model, as config.json would say it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <functional>

#include "common/model_files/model_files.h"
#include "tests/common/gguf/gguf_writer.h"
#include "tests/temporary_dir.h"

namespace caudal {
namespace {

using Change = std::function<void(GgufWriter&)>;

GgufWriter small_llama(std::uint32_t context_length = 4096) {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.embedding_length", 64U);
  writer.add("llama.feed_forward_length", 96U);
  writer.add("llama.block_count", 2U);
  writer.add("llama.attention.head_count", 4U);
  writer.add("llama.attention.layer_norm_rms_epsilon", 0.5F);
  writer.add("llama.context_length", context_length);
  writer.add("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "c"});
  return writer;
}

Result<ModelCard> card_of(const GgufWriter& writer) {
  const TemporaryDir dir;
  dir.write("m.gguf", writer.image());
  Result<ModelDocuments> documents = std::move(open_model_files(dir.path())).value()->documents();
  if (!documents) return documents.error();
  return read_model_card(std::move(documents).value());
}

ModelCard card(const Change& change = {}) {
  GgufWriter writer = small_llama();
  if (change) change(writer);
  return card_of(writer).value();
}

std::string refusal(const Change& change) {
  GgufWriter writer = small_llama();
  change(writer);
  const Result<ModelCard> card = card_of(writer);
  return card ? "none" : card.error().message;
}

void add_factors(GgufWriter& writer, const std::vector<float>& factors) {
  writer.add_tensor("rope_freqs.weight", {std::ssize(factors)}, GgufWriter::kF32,
                    {reinterpret_cast<const char*>(factors.data()), factors.size() * sizeof(float)});
}

TEST(GgufConfig, ShapeAndDefaults) {
  const ModelCard plain = card();
  EXPECT_EQ(
      boost::json::serialize(plain.config().value()),
      R"({"architectures":["LlamaForCausalLM"],"vocab_size":3,"hidden_size":64,"intermediate_size":96,)"
      R"("num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":4,"head_dim":16,"rms_norm_eps":5E-1,)"
      R"("max_position_embeddings":4096,"rope_theta":1E4,"rope_scaling":null,"tie_word_embeddings":true,)"
      R"("attention_bias":false,"mlp_bias":false,"eos_token_id":[]})");
  EXPECT_EQ(plain.rope.default_context(), 4096);
  EXPECT_TRUE(plain.eos_token_ids.empty());
  const ModelCard biased = card([](GgufWriter& w) {
    w.add_tensor("blk.0.attn_q.bias", {1}, GgufWriter::kF32, "1234");
    w.add_tensor("blk.0.ffn_gate.bias", {1}, GgufWriter::kF32, "1234");
    w.add_tensor("output.weight", {1}, GgufWriter::kF32, "1234");
  });
  EXPECT_TRUE(biased.config().flag("attention_bias", false));
  EXPECT_TRUE(biased.config().flag("mlp_bias", false));
  EXPECT_FALSE(biased.config().flag("tie_word_embeddings", true));
  EXPECT_NE(biased.digest, plain.digest);
  EXPECT_EQ(card().digest, plain.digest);
}

TEST(GgufConfig, WhatALlamaWithAWindowIs) {
  const ModelCard mistral = card([](GgufWriter& w) { w.add("llama.attention.sliding_window", 32U); });
  EXPECT_EQ(mistral.config().at("architectures").at(0).string(), "MistralForCausalLM");
  EXPECT_EQ(mistral.config().count("sliding_window"), 32);
}

TEST(GgufConfig, RopeScaling) {
  const RopeConfig linear = card([](GgufWriter& w) {
                              w.add("llama.rope.scaling.type", "linear");
                              w.add("llama.rope.scaling.factor", 4.0F);
                            }).rope;
  EXPECT_EQ(linear.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear.factor, 4.0);
  const RopeConfig yarn = card([](GgufWriter& w) {
                            w.add("llama.rope.scaling.type", "yarn");
                            w.add("llama.rope.scaling.factor", 4.0F);
                            w.add("llama.rope.scaling.original_context_length", 2048U);
                            w.add("llama.rope.scaling.attn_factor", 2.0F);
                          }).rope;
  EXPECT_EQ(yarn.scaling, RopeScaling::kYarn);
  EXPECT_EQ(yarn.longest_context(), 8192);
  EXPECT_NEAR(yarn.attention_factor, 2.0 * 1.138629, 1e-6);
  const RopeConfig factors = card([](GgufWriter& w) { add_factors(w, {1, 1, 1, 1, 2, 2, 8, 8}); }).rope;
  EXPECT_EQ(factors.scaling, RopeScaling::kFactors);
  EXPECT_EQ(factors.factors, (std::vector<double>{1, 1, 1, 1, 2, 2, 8, 8}));
  EXPECT_EQ(factors.default_context(), 4096);
}

TEST(GgufConfig, EndTokensAndSampling) {
  const ModelCard chat = card([](GgufWriter& w) {
    w.add("tokenizer.ggml.eos_token_id", 2U);
    w.add("tokenizer.ggml.eot_token_id", 1U);
    w.add("tokenizer.ggml.eom_token_id", 2U);
    w.add("general.sampling.temp", 0.5F);
    w.add("general.sampling.top_k", 20U);
  });
  EXPECT_EQ(chat.eos_token_ids, (std::vector<TokenId>{2, 1}));
  EXPECT_EQ(chat.default_sampling.temperature, 0.5F);
  EXPECT_EQ(chat.default_sampling.top_k, 20);
}

TEST(GgufConfig, Refusals) {
  GgufWriter unknown;
  unknown.add("general.architecture", "gemma3");
  EXPECT_EQ(card_of(unknown).error().message,
            "m.gguf: general.architecture is not known; known are llama, qwen2, qwen3");
  EXPECT_EQ(card_of(GgufWriter()).error().message, "m.gguf: general.architecture is missing");
  EXPECT_EQ(card_of(small_llama(0)).error().message,
            "m.gguf: llama.context_length must be an integer from 1 to 2147483647");
  EXPECT_EQ(refusal([](GgufWriter& w) { w.add("llama.vocab_size", 4U); }),
            "m.gguf: llama.vocab_size must be the number of tokens (3)");
  EXPECT_EQ(refusal([](GgufWriter& w) { w.add("llama.rope.dimension_count", 8U); }),
            "m.gguf: llama.rope.dimension_count must be the size of a head (16)");
  EXPECT_EQ(refusal([](GgufWriter& w) { w.add("llama.attention.value_length", 8U); }),
            "m.gguf: llama.attention.value_length must be that of keys (16)");
  EXPECT_EQ(refusal([](GgufWriter& w) { w.add("llama.expert_count", 8U); }),
            "m.gguf: llama.expert_count is not supported: mixtures of experts are not served");
  EXPECT_EQ(refusal([](GgufWriter& w) { w.add("llama.rope.scaling.type", "longrope"); }),
            "m.gguf: llama.rope.scaling.type is unknown; known are none, linear, yarn");
  EXPECT_EQ(refusal([](GgufWriter& w) {
              w.add("llama.attention.head_count_kv", std::vector<std::int32_t>{1, 2});
            }),
            "m.gguf: llama.attention.head_count_kv must be an integer from 1 to 2147483647");
  EXPECT_EQ(refusal([](GgufWriter& w) {
              add_factors(w, {1, 2});
            }),
            "m.gguf: tensor \"rope_freqs.weight\" must be F32 [8]");
  EXPECT_EQ(refusal([](GgufWriter& w) {
              add_factors(w, {1, 1, 1, 1, 1, 1, 1, 0});
            }),
            "m.gguf: rope_scaling.factors must be above 0");
}

TEST(ModelFiles, NameOfAModel) {
  const TemporaryDir dir;
  dir.write("Tiny-00001-of-00002.gguf", "");
  EXPECT_EQ(name_of_model(dir.path() / "Tiny-00001-of-00002.gguf"), "Tiny");
  EXPECT_EQ(name_of_model(dir.path()), dir.path().filename());
  EXPECT_EQ(name_of_model(dir.path() / ""), dir.path().filename());
}

}  // namespace
}  // namespace caudal
