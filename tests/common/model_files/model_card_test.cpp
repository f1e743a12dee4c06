// What coordinator and worker both know of a model from its config files.
#include "common/model_files/model_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/model_files/parsed_card.h"

namespace caudal {
namespace {

using ::testing::StartsWith;

constexpr char kConfig[] = R"({"vocab_size":300,"max_position_embeddings":64,"eos_token_id":[1,2]})";

std::string refusal(std::string_view config, std::string_view generation = "") {
  const Result<ModelCard> card = parse_model_card(config, generation);
  return card ? "none" : card.error().message;
}

TEST(ModelCard, SaysWhatTheFilesSay) {
  const ModelCard card = parse_model_card(kConfig).value();
  EXPECT_EQ(card.vocab_size, 300);
  EXPECT_EQ(card.rope.default_context(), 64);
  EXPECT_EQ(card.eos_token_ids, (std::vector<TokenId>{1, 2}));
  EXPECT_EQ(card.default_sampling.temperature, 1.0F);
  const ModelCard set = parse_model_card(kConfig, R"({"temperature":0,"top_p":1,"top_k":-1,"eos_token_id":7})").value();
  EXPECT_EQ(set.default_sampling.temperature, 0.0F);
  EXPECT_EQ(set.default_sampling.top_k, 0);
  EXPECT_EQ(set.eos_token_ids, std::vector<TokenId>{7});
  const ModelCard none = parse_model_card(kConfig, R"({"eos_token_id":[]})").value();
  EXPECT_EQ(none.eos_token_ids, (std::vector<TokenId>{1, 2})) << "an empty list says nothing";
}

// The context is stretched the way Qwen2.5's model card prescribes.
TEST(ModelCard, YarnServesTheStretchedContext) {
  const ModelCard card = parse_model_card(R"({"vocab_size":300,"max_position_embeddings":1024,
    "rope_scaling":{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":1024}})")
                             .value();
  EXPECT_EQ(card.rope.default_context(), 4096);
  EXPECT_EQ(card.rope.longest_context(), 4096);
}

TEST(ModelCard, DigestTellsConfigsApart) {
  const std::string digest = parse_model_card(kConfig).value().digest;
  EXPECT_EQ(digest.size(), 66U);  // weights are not known
  EXPECT_EQ(parse_model_card(kConfig).value().digest, digest);
  EXPECT_NE(parse_model_card(kConfig + std::string(" ")).value().digest, digest);
}

TEST(ModelCard, WrongConfigs) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "config.json: is not valid JSON near byte 0: it ends too early"},
      {"[]", "config.json: must be an object"},
      {R"({"a":{"b":1e999}})", "config.json: a.b is not valid JSON"},
      {R"({"vocab_size":3,"vocab_size":4})", "config.json: is not valid JSON: an object has the same key twice"},
      {R"({"vocab_size":0})", "config.json: vocab_size must be an integer from 1"},
      {R"({"vocab_size":3,"max_position_embeddings":3,"rope_scaling":3})",
       "config.json: rope_scaling must be an object"},
      {R"({"vocab_size":3,"max_position_embeddings":3,"eos_token_id":"x"})", "config.json: eos_token_id must be"}};
  for (const auto& [text, expected] : cases) EXPECT_THAT(refusal(text), StartsWith(expected));
}

TEST(ModelCard, WrongSamplingDefaults) {
  const std::pair<const char*, const char*> cases[] = {
      {"temperature", "-1"}, {"temperature", "\"x\""},   {"top_p", "0"}, {"top_p", "1.5"}, {"min_p", "-0.1"},
      {"top_k", "-2"},       {"repetition_penalty", "0"}};
  for (const auto& [field, value] : cases) {
    EXPECT_THAT(refusal(kConfig, std::string("{\"") + field + "\":" + value + "}"),
                StartsWith(std::string("generation_config.json: ") + field + " "));
  }
  EXPECT_THAT(refusal(kConfig, R"({"eos_token_id":[1,-1]})"), StartsWith("generation_config.json: eos_token_id[1] "));
}

}  // namespace
}  // namespace caudal
