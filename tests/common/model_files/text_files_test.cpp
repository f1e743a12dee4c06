// Where the tokenizer and the chat template of a model directory come from.
#include "common/model_files/text_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "common/model_files/model_files.h"

namespace caudal {
namespace {

using ::testing::StartsWith;

constexpr char kTokenizer[] = R"({"model":{"type":"BPE","vocab":{"a":0},"merges":[]}})";

class TextFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "caudal-text-files-XXXXXX";
    dir_ = mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }

  std::string refusal() const {
    const Result<TextFiles> files = read_text_files(dir_);
    return files ? "none" : files.error().message;
  }
  // "FILE: text", or why there is none.
  std::string chat_template() const {
    const Result<TextFiles> files = read_text_files(dir_);
    if (!files) return files.error().message;
    const Result<ChatTemplateSource>& source = files.value().chat_template;
    return source ? source.value().file + ": " + source.value().text : source.error().message;
  }

  std::string tool_template() const {
    const std::optional<ChatTemplateSource> source = read_text_files(dir_).value().tool_template;
    return source ? source->file + ": " + source->text : "none";
  }

  std::filesystem::path dir_;
};

TEST_F(TextFilesTest, Tokenizer) {
  EXPECT_THAT(refusal(), StartsWith("tokenizer.json: cannot be read"));
  write("tokenizer.json", "{");
  EXPECT_THAT(refusal(), StartsWith("tokenizer.json: is not valid JSON"));
  write("tokenizer.json", R"({"model":{"type":"Bigram"}})");
  EXPECT_EQ(refusal(),
            "tokenizer.json: model.type 'Bigram' is not supported; known: BPE, Unigram, WordPiece, WordLevel");
  write("tokenizer.json", kTokenizer);
  EXPECT_EQ(refusal(), "none");
  write("tokenizer_config.json", R"({"added_tokens_decoder":{"x":{}}})");
  EXPECT_EQ(refusal(), "tokenizer_config.json: added_tokens_decoder.x the key is not a token id");
}

// A file that was cut off is no file that is absent.
TEST_F(TextFilesTest, AnEmptyGenerationConfigIsRefused) {
  write("config.json", R"({"vocab_size":300,"max_position_embeddings":64})");
  const std::unique_ptr<ModelFiles> files = std::move(open_model_files(dir_)).value();
  EXPECT_TRUE(files->documents().ok());
  write("generation_config.json", "");
  const Result<ModelDocuments> documents = files->documents();
  ASSERT_FALSE(documents.ok());
  EXPECT_EQ(documents.error().message, "generation_config.json: is empty");
}

TEST_F(TextFilesTest, ChatTemplate) {
  write("tokenizer.json", kTokenizer);
  EXPECT_EQ(chat_template(), "tokenizer_config.json: is missing");
  write("tokenizer_config.json", "{}");
  EXPECT_EQ(chat_template(), "tokenizer_config.json: has no chat template");
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "r"}]})");
  EXPECT_EQ(chat_template(),
            "tokenizer_config.json: chat_template is neither a text nor a list with a template named 'default'");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(chat_template(), "tokenizer_config.json: d");
  write("tokenizer_config.json", R"({"chat_template": "c"})");
  EXPECT_EQ(chat_template(), "tokenizer_config.json: c");
  write("chat_template.jinja", "file");
  EXPECT_EQ(chat_template(), "chat_template.jinja: file");
}

TEST_F(TextFilesTest, ATemplateForTools) {
  write("tokenizer.json", kTokenizer);
  EXPECT_EQ(tool_template(), "none");
  write("tokenizer_config.json", R"({"chat_template": "c"})");
  EXPECT_EQ(tool_template(), "none");
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]})");
  EXPECT_EQ(chat_template(), "tokenizer_config.json: d");
  EXPECT_EQ(tool_template(), "tokenizer_config.json: t");
  std::filesystem::create_directory(dir_ / "additional_chat_templates");
  write("additional_chat_templates/tool_use.jinja", "file");
  EXPECT_EQ(tool_template(), "additional_chat_templates/tool_use.jinja: file");
  write("chat_template.jinja", "plain");
  EXPECT_EQ(chat_template(), "chat_template.jinja: plain");
}

}  // namespace
}  // namespace caudal
