// What the coordinator makes of a model directory, and what it says of one that it cannot read.
#include "coordinator/gateway/chat/model_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace caudal {
namespace {

using ::testing::StartsWith;

constexpr char kTokenizer[] = R"({"model":{"type":"BPE","vocab":{"a":0,"</s>":1},"merges":[]}})";

class ModelContextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "caudal-model-XXXXXX";
    dir_ = mkdtemp(name.data());
    write("config.json", R"({"vocab_size":300,"max_position_embeddings":64})");
    write("tokenizer.json", kTokenizer);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }

  // As the coordinator prints it: "field: message", file and field each once.
  std::string refusal() const {
    const Result<ModelContext> model = load_model_context(dir_, "m");
    if (model) return "none";
    const Error& error = model.error();
    return error.field + (error.field.empty() ? "" : ": ") + error.message;
  }

  std::filesystem::path dir_;
};

TEST_F(ModelContextTest, EveryFileIsNamedOnce) {
  EXPECT_EQ(refusal(), "none");
  write("tokenizer.json", R"({"model":{"type":"Bigram"}})");
  EXPECT_EQ(refusal(),
            "tokenizer.json: model.type 'Bigram' is not supported; known: BPE, Unigram, WordPiece, WordLevel");
  write("generation_config.json", R"({"temperature":-1})");
  EXPECT_EQ(refusal(), "generation_config.json: temperature is out of range");
  write("config.json", R"({"vocab_size":0})");
  EXPECT_THAT(refusal(), StartsWith("config.json: vocab_size must be an integer"));
}

TEST_F(ModelContextTest, TheTokenizersEndTokenStandsInForTheModels) {
  write("tokenizer_config.json", R"({"eos_token":"</s>"})");
  EXPECT_EQ(load_model_context(dir_, "m").value().card.eos_token_ids, std::vector<TokenId>{1});
  write("generation_config.json", R"({"eos_token_id":7})");
  EXPECT_EQ(load_model_context(dir_, "m").value().card.eos_token_ids, std::vector<TokenId>{7});
}

TEST_F(ModelContextTest, FormatsComeFromTheTemplateOrByName) {
  EXPECT_FALSE(load_model_context(dir_, "m").value().output_format.tools.has_value());
  write("chat_template.jinja",
        "{{ tools }}{% for m in messages %}<|{{ m.role }}|>{% if m.reasoning_content %}<think>{{ m.reasoning_content "
        "}}</think>"
        "{% endif %}{{ m.content }}{% for c in m.tool_calls or [] %}<call>{\"name\": \"{{ c.function.name }}\", "
        "\"arguments\": "
        "{{ c.function.arguments|tojson }}}</call>{% endfor %}{% endfor %}{% if add_generation_prompt "
        "%}<|assistant|>{% endif %}");
  const OutputFormat found = load_model_context(dir_, "m").value().output_format;
  ASSERT_TRUE(found.tools && found.reasoning && found.told);
  EXPECT_EQ(found.tools->call.front().text, "<call>");
  EXPECT_EQ(found.reasoning->close, "</think>");
  const OutputFormat named = load_model_context(dir_, "m", {"mistral", "none"}).value().output_format;
  EXPECT_EQ(named.tools->block_open, "[TOOL_CALLS] [");
  EXPECT_FALSE(named.reasoning.has_value());
  write("chat_template.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  const OutputFormat untold = load_model_context(dir_, "m").value().output_format;
  EXPECT_FALSE(untold.told);
  EXPECT_TRUE(untold.tools.has_value());
}

// Without a usable template the model still serves completions.
TEST_F(ModelContextTest, ChatTemplate) {
  EXPECT_FALSE(load_model_context(dir_, "m").value().chat_template.has_value());
  write("chat_template.jinja", "{% if %}");
  EXPECT_FALSE(load_model_context(dir_, "m").value().chat_template.has_value());
  write("chat_template.jinja", "hi");
  EXPECT_TRUE(load_model_context(dir_, "m").value().chat_template.has_value());
}

}  // namespace
}  // namespace caudal
