// The tokenizers of GGUF files against those of the same models' tokenizer.json, against `tokenizers` and
// `sentencepiece` (tests/reference/tokenizers/make_gguf.py), and what of a file is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "common/model_files/model_files.h"
#include "tests/common/gguf/gguf_writer.h"
#include "tests/common/tokenizer/generated_text.h"
#include "tests/sanitized.h"
#include "tests/temporary_dir.h"

namespace caudal {
namespace {

using test::SequenceHash;
using test::TextGenerator;
using ::testing::HasSubstr;

constexpr std::int32_t kNormal = 1, kControl = 3, kUserDefined = 4;

boost::json::value read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return boost::json::parse(std::string((std::istreambuf_iterator<char>(file)), {}));
}

boost::json::value reference() {
  return read_json(std::filesystem::path(CAUDAL_TEST_DATA) / "reference/gguf/tokenizers.json");
}

// The vocabulary of a family's tokenizer.json.
GgufWriter family(const std::string& name, const std::string& pre) {
  const boost::json::value document = read_json(test::family_dir(name) / "tokenizer.json");
  std::vector<std::string> tokens, merges;
  std::vector<std::int32_t> types;
  const auto place = [&](const auto& id) {
    const auto i = static_cast<std::size_t>(id.as_int64());
    tokens.resize(std::max(tokens.size(), i + 1));
    types.resize(tokens.size(), kNormal);
    return i;
  };
  for (const auto& [token, id] : document.at("model").at("vocab").as_object()) tokens[place(id)] = token;
  for (const auto& added : document.at("added_tokens").as_array()) {
    const std::size_t i = place(added.at("id"));
    tokens[i] = std::string(added.at("content").as_string());
    types[i] = added.at("special").as_bool() ? kControl : kUserDefined;
  }
  for (const auto& merge : document.at("model").at("merges").as_array())
    merges.push_back(merge.is_string() ? std::string(merge.as_string())
                                       : std::string(merge.at(0).as_string()) + " " + merge.at(1).as_string().c_str());
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", pre);
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.token_type", types);
  writer.add("tokenizer.ggml.merges", merges);
  return writer;
}

Result<TextFiles> load(const GgufWriter& writer) {
  const TemporaryDir dir;
  dir.write("m.gguf", writer.image());
  return std::move(open_model_files(dir.path())).value()->text();
}

std::unique_ptr<Tokenizer> tokenizer(const GgufWriter& writer) {
  Result<TextFiles> text = load(writer);
  EXPECT_TRUE(text.ok()) << text.error().message;
  return std::move(text.value().tokenizer);
}

std::string refusal(const GgufWriter& writer) {
  const Result<TextFiles> text = load(writer);
  return text ? "none" : text.error().message;
}

TEST(GgufText, SameIdsAsTokenizerJson) {
  const TextGenerator generator;
  for (const auto& [name, pre, bos] : {std::tuple("gpt2", "gpt-2", false), std::tuple("llama3", "llama-bpe", true),
                                       std::tuple("qwen2", "qwen2", false)}) {
    const std::unique_ptr<Tokenizer> published = test::load_family(name);
    GgufWriter writer = family(name, pre);
    if (bos)
      writer.add("tokenizer.ggml.bos_token_id",
                 static_cast<std::uint32_t>(*published->token_to_id("<|begin_of_text|>")));
    const std::unique_ptr<Tokenizer> ours = tokenizer(writer);
    EXPECT_EQ(ours->vocab_size(), published->vocab_size());
    for (std::uint64_t i = 0; i < (test::kSanitized ? 100 : 3000); ++i) {
      const std::string text = generator.text(7, i);
      const EncodeOptions options{.add_special_tokens = i % 2 == 0, .parse_special = i % 3 != 0};
      const std::vector<TokenId> ids = published->encode(text, options);
      ASSERT_EQ(ours->encode(text, options), ids) << name << ": " << text;
      ASSERT_EQ(ours->decode(ids, i % 2 == 0), published->decode(ids, i % 2 == 0)) << name << ": " << text;
    }
  }
}

void expect_hashes(const boost::json::value& hashes, const boost::json::value& all,
                   const std::function<void(const std::string&, SequenceHash&)>& add) {
  const TextGenerator generator;
  const auto chunk = static_cast<std::uint64_t>(all.at("chunk").as_int64());
  const auto seed = static_cast<std::uint64_t>(all.at("text_seed").as_int64());
  for (std::uint64_t c = 0; c < (test::kSanitized ? 1 : hashes.as_array().size()); ++c) {
    SequenceHash hash;
    for (std::uint64_t i = c * chunk; i < (c + 1) * chunk; ++i) add(generator.text(seed, i), hash);
    EXPECT_EQ(hash.hex(), std::string(hashes.at(c).as_string())) << "chunk " << c;
  }
}

constexpr EncodeOptions kPlain{.add_special_tokens = false, .parse_special = false};

void add_ids(const std::vector<TokenId>& ids, SequenceHash& hash) {
  for (const TokenId id : ids) hash.add(static_cast<std::uint32_t>(id));
  hash.end_sequence();
}

TEST(GgufText, NamedPreTokenizers) {
  const boost::json::value all = reference();
  for (const auto& [pre, hashes] : all.at("kinds").as_object()) {
    SCOPED_TRACE(std::string(pre));
    const std::unique_ptr<Tokenizer> ours = tokenizer(family("gpt2", pre));
    expect_hashes(hashes, all,
                  [&](const std::string& text, SequenceHash& hash) { add_ids(ours->encode(text, kPlain), hash); });
  }
}

GgufWriter sentence_piece(const boost::json::value& model) {
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", "llama");
  writer.add("tokenizer.ggml.tokens", boost::json::value_to<std::vector<std::string>>(model.at("tokens")));
  writer.add("tokenizer.ggml.scores", boost::json::value_to<std::vector<float>>(model.at("scores")));
  writer.add("tokenizer.ggml.token_type", boost::json::value_to<std::vector<std::int32_t>>(model.at("types")));
  writer.add("tokenizer.ggml.unknown_token_id", 0U);
  writer.add("tokenizer.ggml.bos_token_id", 1U);
  writer.add("tokenizer.ggml.eos_token_id", 2U);
  return writer;
}

TEST(GgufText, SentencePiece) {
  const boost::json::value all = reference(), model = all.at("sentencepiece");
  const std::unique_ptr<Tokenizer> ours = tokenizer(sentence_piece(model));
  expect_hashes(model.at("hashes"), all,
                [&](const std::string& text, SequenceHash& hash) { add_ids(ours->encode(text, kPlain), hash); });
  expect_hashes(model.at("decoded"), all, [&](const std::string& text, SequenceHash& hash) {
    for (const char byte : ours->decode(ours->encode(text, kPlain), false)) hash.add(static_cast<std::uint8_t>(byte));
    hash.end_sequence();
  });
  EXPECT_EQ(ours->encode("").front(), 1);  // BOS, as nothing says otherwise
  EXPECT_EQ(ours->named_tokens().eos, 2);
  EXPECT_EQ(ours->encode("</s>", {.add_special_tokens = false}), std::vector<TokenId>{2});

  GgufWriter writer = sentence_piece(model);
  writer.add("tokenizer.ggml.add_space_prefix", false);
  writer.add("tokenizer.ggml.add_bos_token", false);
  writer.add("tokenizer.ggml.add_eos_token", true);
  const std::unique_ptr<Tokenizer> bare = tokenizer(writer);
  const std::vector<TokenId> ids = bare->encode("the");
  EXPECT_EQ(bare->decode(ids, true), "the");
  EXPECT_EQ(ids.back(), 2);
  EXPECT_NE(ids.front(), 1);
}

TEST(GgufText, ChatTemplate) {
  GgufWriter writer = family("gpt2", "gpt-2");
  EXPECT_EQ(load(writer).value().chat_template.error().message, "m.gguf: tokenizer.chat_template is missing");
  // A list of names without a default, as for a model that can only call tools.
  writer.add("tokenizer.chat_templates", std::vector<std::string>{"rag", "tool_use"});
  writer.add("tokenizer.chat_template.tool_use", "{{ tools }}");
  writer.add("tokenizer.chat_template.rag", "{{ documents }}");
  EXPECT_EQ(load(writer).value().chat_template.error().message,
            "m.gguf: tokenizer.chat_template is missing; none of rag, tool_use is called default");
  EXPECT_EQ(load(writer).value().tool_template.value().text, "{{ tools }}");
  GgufWriter spelled_out = writer;
  spelled_out.add("tokenizer.chat_template.default", "{{ bos_token }}");
  EXPECT_EQ(load(spelled_out).value().chat_template.value().text, "{{ bos_token }}");
  writer.add("tokenizer.chat_template", "{{ messages }}");
  const ChatTemplateSource source = load(writer).value().chat_template.value();
  EXPECT_EQ(source.text, "{{ messages }}");
  EXPECT_EQ(source.file, "m.gguf");
}

TEST(GgufText, RefusesWhatItDoesNotKnowAndWhatLies) {
  EXPECT_EQ(refusal(GgufWriter()), "m.gguf: tokenizer.ggml.model is missing");
  EXPECT_THAT(refusal(family("gpt2", "gpt-5")), HasSubstr("tokenizer.ggml.pre is not known; known are default, gpt-2"));
  const auto with = [](const auto& damage) {
    GgufWriter writer;
    writer.add("tokenizer.ggml.model", "gpt2");
    damage(writer);
    return refusal(writer);
  };
  const std::vector<std::string> tokens = {"a", "b", "ab"};
  EXPECT_EQ(with([](GgufWriter&) {}), "m.gguf: tokenizer.ggml.tokens is missing");
  EXPECT_EQ(with([&](GgufWriter& w) { w.add("tokenizer.ggml.tokens", tokens); }),
            "m.gguf: tokenizer.ggml.merges is missing");
  const auto vocabulary = [&](const std::vector<std::int32_t>& types, const std::vector<std::string>& merges,
                              std::uint32_t eos = 0) {
    return with([&](GgufWriter& w) {
      w.add("tokenizer.ggml.tokens", tokens);
      w.add("tokenizer.ggml.token_type", types);
      w.add("tokenizer.ggml.merges", merges);
      w.add("tokenizer.ggml.eos_token_id", eos);
    });
  };
  EXPECT_EQ(vocabulary({1, 1, 1}, {"a b"}), "none");
  EXPECT_EQ(vocabulary({1, 1, 1}, {"ab"}), "m.gguf: tokenizer.ggml.merges[0] must be two tokens with a space between");
  EXPECT_THAT(vocabulary({1, 1, 1}, {"b a"}), HasSubstr("merges[0] a part or the result of the merge"));
  EXPECT_EQ(vocabulary({1, 1}, {"a b"}), "m.gguf: tokenizer.ggml.token_type must have an entry for each of 3 tokens");
  EXPECT_EQ(vocabulary({1, 1, 7}, {}), "m.gguf: tokenizer.ggml.token_type[2] must be from 1 to 6");
  EXPECT_EQ(vocabulary({1, 1, 1}, {}, 3), "m.gguf: tokenizer.ggml.eos_token_id must be an integer from 0 to 2");
  EXPECT_EQ(with([](GgufWriter& w) {
              w.add("tokenizer.ggml.tokens", std::vector<std::string>{"<x>", "<x>"});
              w.add("tokenizer.ggml.token_type", std::vector<std::int32_t>{kControl, kControl});
              w.add("tokenizer.ggml.merges", std::vector<std::string>{});
            }),
            "m.gguf: tokenizer.ggml.tokens[1] is there twice");
}

}  // namespace
}  // namespace caudal
