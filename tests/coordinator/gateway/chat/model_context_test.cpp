// What the coordinator says of a model directory that it cannot read: "field: message" with file and field, each once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "coordinator/gateway/gateway.h"

namespace caudal {
namespace {

using ::testing::StartsWith;

class ModelContextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "caudal-model-XXXXXX";
    dir_ = mkdtemp(name.data());
    write("config.json", R"({"vocab_size":300,"max_position_embeddings":64,"eos_token_id":[1,2]})");
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }

  // As the coordinator prints it.
  std::string refusal() const {
    const Result<ModelContext> model = load_model_context(dir_, "m");
    if (model) return "none";
    const Error& error = model.error();
    return error.field + (error.field.empty() ? "" : ": ") + error.message;
  }

  std::filesystem::path dir_;
};

TEST_F(ModelContextTest, TokenizerFiles) {
  EXPECT_THAT(refusal(), StartsWith("tokenizer.json: cannot be read"));
  write("tokenizer.json", "{");
  EXPECT_THAT(refusal(), StartsWith("tokenizer.json: is not valid JSON"));
  write("tokenizer.json", R"({"model":{"type":"Unigram"}})");
  EXPECT_EQ(refusal(), "tokenizer.json: model.type 'Unigram' is not supported; known: BPE");
}

TEST_F(ModelContextTest, Config) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "config.json: The file is not valid JSON near byte 0: it ends too early."},
      {"[]", "config.json: It must hold a JSON object."},
      {R"({"a":{"b":1e999}})", "config.json: a.b: The file is not valid JSON"},
      {R"({"vocab_size":0})", "config.json: vocab_size: It must be a positive integer."},
      {R"({"vocab_size":3,"max_position_embeddings":3,"eos_token_id":"x"})", "config.json: eos_token_id: It must be"}};
  for (const auto& [text, expected] : cases) {
    write("config.json", text);
    EXPECT_THAT(refusal(), StartsWith(expected));
  }
}

TEST_F(ModelContextTest, SamplingDefaults) {
  const std::pair<const char*, const char*> cases[] = {{"temperature", "-1"},
                                                       {"temperature", "\"x\""},
                                                       {"top_p", "0"},
                                                       {"top_p", "1.5"},
                                                       {"min_p", "-0.1"},
                                                       {"top_k", "-2"},
                                                       {"repetition_penalty", "0"},
                                                       {"eos_token_id", "[1,-1]"}};
  for (const auto& [field, value] : cases) {
    write("generation_config.json", std::string("{\"") + field + "\":" + value + "}");
    EXPECT_THAT(refusal(), StartsWith(std::string("generation_config.json: ") + field + ": It "));
  }
  write("generation_config.json", R"({"temperature":0,"top_p":1,"top_k":-1,"eos_token_id":7})");
  ModelContext model;
  ASSERT_TRUE(load_model_defaults(dir_, model));
  EXPECT_EQ(model.default_sampling.top_k, 0);
  EXPECT_EQ(model.eos_token_ids, std::vector<TokenId>{7});
}

}  // namespace
}  // namespace caudal
