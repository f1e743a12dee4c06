// Loading: what is wrong with a file is said with file and field, nothing crashes, and
// tokenizer_config.json has its say.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <functional>
#include <iterator>

#include "common/model_files/model_files.h"
#include "tests/common/tokenizer/generated_text.h"

namespace caudal {
namespace {

namespace json = boost::json;

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class HfJson : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  void write(const std::string& name, const std::string& text) { std::ofstream(dir_ / name) << text; }

  // Loads the family's file after `edit`.
  Result<std::unique_ptr<Tokenizer>> load(const std::string& family, const std::function<void(json::object&)>& edit) {
    json::value document = json::parse(read_file(test::family_dir(family) / "tokenizer.json"));
    edit(document.as_object());
    write("tokenizer.json", json::serialize(document));
    return load_tokenizer(dir_);
  }

  std::string error_of(const std::string& family, const std::function<void(json::object&)>& edit) {
    const auto tokenizer = load(family, edit);
    return tokenizer ? "no error" : tokenizer.error().message;
  }

  std::filesystem::path dir_;
};

json::object& model(json::object& root) { return root["model"].as_object(); }

TEST_F(HfJson, EveryErrorNamesFileAndField) {
  struct Case {
    std::string expected;
    std::function<void(json::object&)> edit;
  };
  const std::vector<Case> cases = {
      {"model is missing", [](auto& root) { root.erase("model"); }},
      {"model.type 'Bigram' is not supported; known: BPE, Unigram", [](auto& root) { model(root)["type"] = "Bigram"; }},
      {"model.vocab must be a list", [](auto& root) { model(root)["type"] = "Unigram"; }},
      {"model.vocab[1] must be a token and its score",
       [](auto& root) {
         model(root)["type"] = "Unigram";
         model(root)["vocab"] = json::parse(R"([["a",-1],["b"]])");
       }},
      {"model.unk_id is missing",
       [](auto& root) {
         model(root)["type"] = "Unigram";
         model(root)["vocab"] = json::parse(R"([["a",-1]])");
       }},
      {"model.unk_id the id is not in the vocabulary",
       [](auto& root) {
         model(root)["type"] = "Unigram";
         model(root)["vocab"] = json::parse(R"([["a",-1]])");
         model(root)["unk_id"] = 1;
       }},
      {"model.vocab the token of id 1 appears twice",
       [](auto& root) {
         model(root)["type"] = "Unigram";
         model(root)["vocab"] = json::parse(R"([["a",-1],["a",-2]])");
         model(root)["unk_id"] = 0;
       }},
      {"model.unk_token the token is not in the vocabulary", [](auto& root) { model(root)["type"] = "WordPiece"; }},
      {"model.unk_token the token is not in the vocabulary", [](auto& root) { model(root)["type"] = "WordLevel"; }},
      {"model.vocab must be an object", [](auto& root) { model(root)["vocab"] = 1; }},
      {"model.vocab.x must be an integer", [](auto& root) { model(root)["vocab"].as_object()["x"] = -1; }},
      {"model.vocab.x must be an integer", [](auto& root) { model(root)["vocab"].as_object()["x"] = 1LL << 40; }},
      {"model.vocab id 5 is given to two tokens", [](auto& root) { model(root)["vocab"].as_object()["x y"] = 5; }},
      {"model.merges[1] must be a pair", [](auto& root) { model(root)["merges"].as_array()[1] = 3; }},
      {"model.merges[1] must be a pair", [](auto& root) { model(root)["merges"].as_array()[1] = {"a"}; }},
      {"model.merges[1] must be a pair", [](auto& root) { model(root)["merges"].as_array()[1] = "a b c"; }},
      {"model.merges[1] a part or the result",
       [](auto& root) {
         model(root)["merges"].as_array()[1] = {"a", "Ġzzz"};
       }},
      {"model.unk_token the token is not", [](auto& root) { model(root)["unk_token"] = "nope"; }},
      {"model.dropout is for training only", [](auto& root) { model(root)["dropout"] = 0.1; }},
      {"model.merges[0] a part or the result", [](auto& root) { model(root)["continuing_subword_prefix"] = "##"; }},
      {"model.byte_fallback must be true or false", [](auto& root) { model(root)["byte_fallback"] = "yes"; }},
      {"normalizer.type 'Uppercase' is not supported; known: Sequence, NFC",
       [](auto& root) {
         root["normalizer"] = {{"type", "Uppercase"}};
       }},
      {"normalizer.precompiled_charsmap is not base64",
       [](auto& root) {
         root["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "AA?="}};
       }},
      {"normalizer.precompiled_charsmap is damaged",
       [](auto& root) {
         root["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "/////w=="}};
       }},
      {"normalizer.normalizers[0].prepend is missing",
       [](auto& root) {
         root["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}}}}};
       }},
      {"pre_tokenizer.pretokenizers[0].pattern.Regex the regular expression does not compile",
       [](auto& root) {
         root["pre_tokenizer"].at("pretokenizers").as_array()[0].as_object()["pattern"] = {{"Regex", "("}};
       }},
      {"pre_tokenizer.pretokenizers[0].behavior must be",
       [](auto& root) { root["pre_tokenizer"].at("pretokenizers").as_array()[0].as_object()["behavior"] = "x"; }},
      {"pre_tokenizer.type 'FixedLength' is not supported",
       [](auto& root) {
         root["pre_tokenizer"] = {{"type", "FixedLength"}};
       }},
      {"decoder.type 'CTC' is not supported",
       [](auto& root) {
         root["decoder"] = {{"type", "CTC"}};
       }},
      {"decoder.content must be one character",
       [](auto& root) {
         root["decoder"] = {{"type", "Strip"}, {"content", "ab"}, {"start", 1}, {"stop", 0}};
       }},
      {"post_processor.type 'PairProcessing'",
       [](auto& root) {
         root["post_processor"] = {{"type", "PairProcessing"}};
       }},
      {"post_processor.cls must be a token and its id",
       [](auto& root) {
         root["post_processor"] = json::parse(R"({"type":"BertProcessing","sep":["a",1],"cls":["b"]})");
       }},
      {"post_processor.special_tokens.x is missing",
       [](auto& root) {
         root["post_processor"] = {{"type", "TemplateProcessing"},
                                   {"single", {{{"SpecialToken", {{"id", "x"}}}}}},
                                   {"special_tokens", json::object()}};
       }},
      {"added_tokens[0].id must be an integer",
       [](auto& root) { root["added_tokens"].as_array()[0].as_object()["id"] = 1e9; }},
      {"added_tokens[0] has id 7, but",
       [](auto& root) {
         root["added_tokens"] = {{{"id", 7}, {"content", "a"}, {"special", true}}};
       }},
      {"added_tokens[0].content must have 1 to 1024 bytes",
       [](auto& root) {
         root["added_tokens"] = {{{"id", 9999}, {"content", std::string(2000, 'x')}}};
       }},
      {"added_tokens[1] contradicts",
       [](auto& root) {
         root["added_tokens"] = {{{"id", 9999}, {"content", "<x>"}}, {{"id", 9999}, {"content", "<y>"}}};
       }},
  };
  for (const Case& c : cases) {
    const std::string message = error_of("llama3", c.edit);
    EXPECT_TRUE(message.starts_with("tokenizer.json: " + c.expected)) << message << "\nexpected: " << c.expected;
  }
}

TEST_F(HfJson, MissingAndBrokenFiles) {
  EXPECT_EQ(load_tokenizer(dir_).error().field, "tokenizer.json");
  const std::string whole = read_file(test::family_dir("llama2") / "tokenizer.json");
  for (std::size_t size = 0; size + 2 < whole.size(); size += whole.size() / 40) {
    write("tokenizer.json", whole.substr(0, size));
    EXPECT_TRUE(load_tokenizer(dir_).error().message.starts_with("tokenizer.json: is not valid JSON"));
  }
  write("tokenizer.json", "[]");
  EXPECT_FALSE(load_tokenizer(dir_).ok());
  write("tokenizer.json", std::string(100'000, '['));
  EXPECT_FALSE(load_tokenizer(dir_).ok());
}

// Whatever single byte is changed, loading and encoding end without a crash.
TEST_F(HfJson, RandomDamage) {
  const std::vector<std::string> families = {"mistral", "unigram", "bert", "gpt1", "words"};
  for (std::uint64_t i = 0; i < 400; ++i) {
    const std::string whole = read_file(test::family_dir(families[i % families.size()]) / "tokenizer.json");
    test::Random rng(11, i);
    std::string damaged = whole;
    // Half of the changes hit the components in front of the vocabulary.
    const std::size_t position = rng.below(2) != 0 ? rng.below(2500) : rng.below(whole.size());
    damaged[position] = static_cast<char>(32 + rng.below(95));
    write("tokenizer.json", damaged);
    if (const auto tokenizer = load_tokenizer(dir_)) {
      const std::vector<TokenId> ids = tokenizer.value()->encode("<s>a [INST] b\U0001F600 \n word");
      tokenizer.value()->decode(ids, false);
    }
  }
}

TEST_F(HfJson, NormalizedSpecialTokensAreFoundAfterNormalization) {
  const auto tokenizer = load("llama2", [](json::object& root) {
    for (auto& token : root["added_tokens"].as_array()) token.as_object()["normalized"] = true;
  });
  ASSERT_TRUE(tokenizer.ok());
  // In its normalized form the token starts with a space, so it is found at the start and after spaces.
  const EncodeOptions bare{.add_special_tokens = false};
  EXPECT_EQ(tokenizer.value()->encode("</s>", bare), std::vector<TokenId>{2});
  EXPECT_EQ(tokenizer.value()->encode("a </s>", bare).back(), 2);
  EXPECT_NE(tokenizer.value()->encode("a</s>", bare).back(), 2);
}

TEST_F(HfJson, ConfigNamesTokensAndAddsThem) {
  write("tokenizer_config.json", R"({"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|eot_id|>"},
    "pad_token": null, "unk_token": "<|nowhere|>", "add_bos_token": false, "add_eos_token": true,
    "added_tokens_decoder": {"5000": {"content": "<|extra|>", "special": true}}})");
  const auto loaded = load("llama3", [](json::object&) {});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const Tokenizer& tokenizer = *loaded.value();
  EXPECT_EQ(tokenizer.named_tokens().bos, tokenizer.token_to_id("<|begin_of_text|>"));
  EXPECT_EQ(tokenizer.named_tokens().eos, tokenizer.token_to_id("<|eot_id|>"));
  EXPECT_EQ(tokenizer.named_tokens().pad, std::nullopt);
  EXPECT_EQ(tokenizer.named_tokens().unk, std::nullopt);
  EXPECT_EQ(tokenizer.vocab_size(), 5001);
  EXPECT_EQ(tokenizer.id_to_token(4999), std::nullopt);
  EXPECT_EQ(tokenizer.encode("<|extra|>"), (std::vector<TokenId>{5000, tokenizer.named_tokens().eos.value()}));
}

TEST_F(HfJson, ConfigErrorsNameTheConfig) {
  for (const auto& [config, expected] : std::vector<std::pair<std::string, std::string>>{
           {"{", "is not valid JSON"},
           {R"({"bos_token": 3})", "bos_token must be a string"},
           {R"({"add_bos_token": true})", "add_bos_token is true, but there is no such token"},
           {R"({"added_tokens_decoder": {"x": {"content": "a"}}})", "added_tokens_decoder.x the key is not a token id"},
           {R"({"added_tokens_decoder": {"9": {}}})", "added_tokens_decoder.9.content is missing"}}) {
    write("tokenizer_config.json", config);
    const std::string message = error_of("llama3", [](json::object&) {});
    EXPECT_TRUE(message.starts_with("tokenizer_config.json: " + expected)) << message;
  }
}

TEST_F(HfJson, WithoutDecoderTokensAreJoinedBySpaces) {
  const auto tokenizer = load("metaspace", [](json::object& root) { root["decoder"] = nullptr; });
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_EQ(tokenizer.value()->decode(std::vector<TokenId>{1, 2, 1}, false), "<s> </s> <s>");
}

}  // namespace
}  // namespace caudal
