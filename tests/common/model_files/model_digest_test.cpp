// Two models are told apart by any of config, tokenizer and weights.
#include "common/model_files/model_digest.h"

#include <gtest/gtest.h>

#include "common/model_files/model_files.h"
#include "tests/temporary_dir.h"

namespace caudal {
namespace {

class ModelDigestTest : public testing::Test {
 protected:
  ModelDigestTest() {
    write("config.json", R"({"vocab_size":5,"hidden_size":4,"max_position_embeddings":16})");
    write("tokenizer.json", "{}");
    write("model-1.safetensors", std::string(kBytes, 'a'));
    write("model-2.safetensors", std::string(kBytes, 'b'));
  }
  void write(const std::string& name, const std::string& content) { dir_.write(name, content); }
  std::string digest() const {
    Result<std::unique_ptr<ModelFiles>> files = open_model_files(dir_.path());
    return std::move(files.value()->documents()).value().digest;
  }

  static constexpr std::size_t kBytes = 1 << 20;
  TemporaryDir dir_;
};

TEST_F(ModelDigestTest, IsThatOfTheFiles) {
  const std::string before = digest();
  EXPECT_EQ(digest(), before);
  EXPECT_EQ(before.size(), 129U);
  EXPECT_EQ(before[64], ':');
  write("chat_template.jinja", "the coordinator's alone");
  EXPECT_EQ(digest(), before);
}

TEST_F(ModelDigestTest, AnyOfThemChangesIt) {
  std::string before = digest();
  const auto expect_change = [&](const std::string& name, const std::string& content) {
    write(name, content);
    const std::string now = digest();
    EXPECT_NE(now, before) << name;
    before = now;
  };
  expect_change("config.json", R"({"vocab_size":5,"hidden_size":4,"max_position_embeddings":17})");
  expect_change("tokenizer.json", "{ }");
  expect_change("model-2.safetensors", std::string(kBytes, 'b') + "b");
  expect_change("model-2.safetensors", std::string(kBytes, 'c'));
  expect_change("model-2.safetensors", std::string(kBytes - 1, 'c') + "d");
  // Fine-tuning changes values all over; a run of changed ones longer than the way between samples is seen, too.
  std::string middle(kBytes, 'c');
  middle.replace(kBytes / 2, kBytes / 32, kBytes / 32, 'e');
  expect_change("model-2.safetensors", middle);
  expect_change("model-3.safetensors", "more");
}

TEST_F(ModelDigestTest, WithoutWeightsTheRestIsTheSame) {
  const std::string whole = digest();
  std::filesystem::remove(dir_.path() / "model-1.safetensors");
  std::filesystem::remove(dir_.path() / "model-2.safetensors");
  EXPECT_EQ(digest(), whole.substr(0, 65) + "-");
  std::filesystem::create_directory(dir_.path() / "model-1.safetensors");  // no file that anybody could read
  EXPECT_EQ(digest(), whole.substr(0, 65) + "-");
}

}  // namespace
}  // namespace caudal
