#include "common/model_files/gguf_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <limits>
#include <set>

#include "common/model_files/gguf_tokenizer_kinds.h"
#include "common/tokenizer/hf_components.h"
#include "common/tokenizer/hf_tokenizer.h"
#include "common/tokenizer/words/bpe.h"

namespace caudal {
namespace {

// tokenizer.ggml.token_type
enum class TokenType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

constexpr std::string_view kTokens = "tokenizer.ggml.tokens";

using Texts = std::vector<std::string_view>;

const Texts& texts(const GgufFile& file, std::string_view key) {
  const auto found = file.header().texts.find(key);
  if (found == file.header().texts.end()) file.metadata().fail_at(key, "is missing");
  return found->second;
}

// A list with a number for each token.
const boost::json::array& numbers(const GgufFile& file, std::string_view key) {
  const JsonNode node = file.metadata().at(key);
  const std::size_t num_tokens = texts(file, kTokens).size();
  if (node.size() != num_tokens) node.fail(fmt::format("must have an entry for each of {} tokens", num_tokens));
  return node.array();
}

std::vector<TokenType> token_types(const GgufFile& file) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  std::vector<TokenType> types(texts(file, kTokens).size(), TokenType::kNormal);
  if (!file.metadata().has(kKey)) return types;
  const boost::json::array& list = numbers(file, kKey);
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::int64_t* type = list[i].if_int64();
    if (type == nullptr || *type < 1 || *type > static_cast<std::int64_t>(TokenType::kByte))
      file.metadata().at(kKey).fail_at(i, "must be from 1 to 6");
    types[i] = static_cast<TokenType>(*type);
  }
  return types;
}

// Control tokens are never made of text by the model; other tokens that were added are found in any text.
std::vector<AddedToken> added_tokens(const GgufFile& file) {
  const Texts& tokens = texts(file, kTokens);
  const std::vector<TokenType> types = token_types(file);
  std::vector<AddedToken> added;
  std::set<std::string_view> known;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const bool special = types[i] == TokenType::kControl || types[i] == TokenType::kUnknown;
    if (!special && types[i] != TokenType::kUserDefined) continue;
    const auto fail = [&](const std::string& what) {
      file.metadata().fail_at(fmt::format("{}[{}]", kTokens, i), what);
    };
    if (tokens[i].empty() || tokens[i].size() > kMaxAddedTokenBytes)
      fail(fmt::format("must have 1 to {} bytes", kMaxAddedTokenBytes));
    if (!known.insert(tokens[i]).second) fail("is there twice");
    added.push_back({.id = static_cast<TokenId>(i), .content = std::string(tokens[i]), .special = special});
  }
  return added;
}

// The tokens that BPE makes of text.
std::vector<std::pair<std::string, TokenId>> vocabulary(const Texts& tokens, const std::vector<TokenType>& types) {
  std::vector<std::pair<std::string, TokenId>> vocab;
  vocab.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (types[i] == TokenType::kNormal || types[i] == TokenType::kByte)
      vocab.emplace_back(tokens[i], static_cast<TokenId>(i));
  }
  return vocab;
}

void read_merges(const GgufFile& file, BpeConfig& config) {
  constexpr std::string_view kKey = "tokenizer.ggml.merges";
  const Texts& merges = texts(file, kKey);
  config.merges.reserve(merges.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const std::size_t space = merges[i].find(' ', 1);
    if (space == std::string_view::npos)
      file.metadata().fail_at(fmt::format("{}[{}]", kKey, i), "must be two tokens with a space between");
    config.merges.emplace_back(merges[i].substr(0, space), merges[i].substr(space + 1));
  }
}

void read_scores(const GgufFile& file, const std::vector<TokenType>& types, BpeConfig& config) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  const boost::json::array& list = numbers(file, kKey);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_double()) file.metadata().at(kKey).fail_at(i, "must be a float");
    const bool joined = types[i] == TokenType::kNormal;
    config.scores.push_back(joined ? list[i].get_double() : -std::numeric_limits<double>::infinity());
  }
}

std::optional<TokenId> token_id(const JsonNode& metadata, std::string_view role, std::int64_t num_tokens) {
  const auto node = metadata.find(fmt::format("tokenizer.ggml.{}_token_id", role));
  if (!node) return std::nullopt;
  return static_cast<TokenId>(node->integer(0, num_tokens - 1));
}

NamedTokens named_tokens(const GgufFile& file) {
  const JsonNode metadata = file.metadata();
  const std::int64_t num_tokens = std::ssize(texts(file, kTokens));
  const auto id = [&](std::string_view role) { return token_id(metadata, role, num_tokens); };
  return {.bos = id("bos"), .eos = id("eos"), .pad = id("padding"), .unk = id("unknown")};
}

SurroundingTokens surrounding(const JsonNode& metadata, const NamedTokens& named, bool add_bos) {
  SurroundingTokens tokens;
  const auto apply = [&](std::string_view key, bool fallback, std::optional<TokenId> id, std::vector<TokenId>& side) {
    if (!metadata.flag(key, fallback)) return;
    if (!id) metadata.fail_at(key, "is true, but there is no such token");
    side.push_back(*id);
  };
  apply("tokenizer.ggml.add_bos_token", add_bos && named.bos, named.bos, tokens.before);
  apply("tokenizer.ggml.add_eos_token", false, named.eos, tokens.after);
  return tokens;
}

// `error` has the names of tokenizer.json.
[[noreturn]] void fail_on_vocabulary(const GgufFile& file, const Error& error) {
  file.metadata().fail_at("tokenizer.ggml." + (error.field == "vocab" ? "tokens" : error.field), error.message);
}

BpeModel bpe_model(const GgufFile& file, const GgufTokenizerKind& kind, bool by_scores, const NamedTokens& named) {
  const Texts& tokens = texts(file, kTokens);
  const std::vector<TokenType> types = token_types(file);
  BpeConfig config;
  config.vocab = vocabulary(tokens, types);
  config.ignore_merges = kind.ignore_merges;
  if (by_scores) {
    read_scores(file, types, config);
    config.byte_fallback = config.fuse_unk = true;
    if (named.unk && !tokens[*named.unk].empty()) {
      config.unk_token = std::string(tokens[*named.unk]);
      if (types[*named.unk] != TokenType::kNormal) config.vocab.emplace_back(*config.unk_token, *named.unk);
    }
  } else {
    read_merges(file, config);
  }
  Result<BpeModel> model = BpeModel::create(std::move(config));
  if (!model) fail_on_vocabulary(file, model.error());
  return unwrap(file.metadata(), std::move(model));
}

// A component of the tokenizer, from what its kind says of it.
template <typename Component>
Component component(std::string_view json, Component (*read)(const JsonNode&)) {
  if (json.empty()) return Component();
  const boost::json::value document = boost::json::parse(json);
  return read(JsonNode(document));
}

std::unique_ptr<Tokenizer> read_tokenizer(const GgufFile& file) {
  const JsonNode metadata = file.metadata();
  const JsonNode model = metadata.at("tokenizer.ggml.model");
  const bool by_scores = model.string() == "llama";
  if (!by_scores && model.string() != "gpt2")
    model.fail("is not supported; known are gpt2 (byte-level BPE) and llama (SentencePiece BPE)");
  const GgufTokenizerKind kind = by_scores ? sentence_piece_kind(metadata) : bpe_kind(metadata);
  const NamedTokens named = named_tokens(file);
  HfParts parts{.added = {},
                .normalizer = component(kind.normalizer, read_normalizer),
                .pre_tokenizer = component(kind.pre_tokenizer, read_pre_tokenizer),
                .model = std::make_unique<BpeModel>(bpe_model(file, kind, by_scores, named)),
                .surrounding = surrounding(metadata, named, kind.add_bos),
                .decoder = component(kind.decoder, read_decoder),
                .named = named};
  parts.added =
      AddedTokens(added_tokens(file), [&](std::string_view token) { return parts.normalizer.normalize(token); });
  return std::make_unique<HfTokenizer>(std::move(parts));
}

// Converters write the default template under the bare key, the others under their names, which
// "tokenizer.chat_templates" lists.
constexpr const char* kTemplateKey = "tokenizer.chat_template";

std::optional<ChatTemplateSource> named_template(const GgufFile& file, const char* name) {
  const auto node = file.metadata().find(fmt::format("{}.{}", kTemplateKey, name));
  if (!node) return std::nullopt;
  return ChatTemplateSource{std::string(node->string()), file.name()};
}

Result<ChatTemplateSource> default_template(const GgufFile& file) {
  if (const auto node = file.metadata().find(kTemplateKey))
    return ChatTemplateSource{std::string(node->string()), file.name()};
  if (auto named = named_template(file, kDefaultTemplate)) return std::move(*named);
  std::string message = fmt::format("{}: {} is missing", file.name(), kTemplateKey);
  const auto others = file.header().texts.find("tokenizer.chat_templates");
  if (others != file.header().texts.end())
    message += fmt::format("; none of {} is called default", fmt::join(others->second, ", "));
  return Error{message, kTemplateKey};
}

}  // namespace

TextFiles gguf_text(const GgufFile& file) {
  return {read_tokenizer(file), default_template(file), named_template(file, kToolTemplate)};
}

}  // namespace caudal
