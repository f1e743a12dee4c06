// See hf_components.h: the model (vocabulary and merges) and the added tokens.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <utility>

#include "common/tokenizer/hf_components.h"
#include "common/tokenizer/words/bpe.h"
#include "common/tokenizer/words/unigram.h"
#include "common/tokenizer/words/word_piece.h"

namespace caudal {
namespace {

std::vector<std::pair<std::string, TokenId>> read_vocab(const JsonNode& node) {
  std::vector<std::pair<std::string, TokenId>> vocab;
  vocab.reserve(node.object().size());
  for (const auto& [token, id] : node.object()) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() >= kMaxTokenId) {
      node.at(token).integer(0, kMaxTokenId - 1);
    }
    vocab.emplace_back(token, static_cast<TokenId>(id.get_int64()));
  }
  return vocab;
}

// Merges are pairs, in older files strings "left right".
void read_merges(const JsonNode& node, BpeConfig& config) {
  config.merges.reserve(node.size());
  for (std::size_t i = 0; i < node.size(); ++i) {
    const JsonNode merge(node.array()[i], "");
    const auto fail = [&] { node.at(i).fail("must be a pair of strings, or two words with a space between"); };
    if (merge.is_string()) {
      const std::string_view text = merge.string();
      if (text.starts_with("#version")) continue;
      const std::size_t space = text.find(' ');
      if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) fail();
      config.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else {
      if (!merge.is_array() || merge.size() != 2) fail();
      const boost::json::array& pair = merge.array();
      if (!pair[0].is_string() || !pair[1].is_string()) fail();
      config.merges.emplace_back(pair[0].get_string(), pair[1].get_string());
    }
  }
}

BpeModel read_bpe(const JsonNode& node) {
  const std::optional<JsonNode> dropout = node.find("dropout");
  if (dropout && dropout->number() != 0.0) dropout->fail("is for training only: not supported");
  BpeConfig config;
  config.vocab = read_vocab(node.at("vocab"));
  read_merges(node.at("merges"), config);
  if (const std::optional<JsonNode> unk = node.find("unk_token")) config.unk_token = unk->string();
  config.fuse_unk = node.flag("fuse_unk", false);
  config.byte_fallback = node.flag("byte_fallback", false);
  config.ignore_merges = node.flag("ignore_merges", false);
  config.continuing_prefix = node.text("continuing_subword_prefix", "");
  config.word_suffix = node.text("end_of_word_suffix", "");
  return unwrap(node, BpeModel::create(std::move(config)));
}

// The vocabulary is a list of [token, score].
UnigramModel read_unigram(const JsonNode& node) {
  UnigramConfig config;
  const JsonNode vocab = node.at("vocab");
  config.tokens.reserve(vocab.size());
  config.scores.reserve(vocab.size());
  for (std::size_t i = 0; i < vocab.size(); ++i) {
    const JsonNode entry(vocab.array()[i], "");
    if (!entry.is_array() || entry.size() != 2 || !entry.array()[0].is_string() || !entry.array()[1].is_number())
      vocab.at(i).fail("must be a token and its score");
    config.tokens.emplace_back(entry.array()[0].get_string());
    config.scores.push_back(entry.array()[1].to_number<double>());
  }
  config.unk_id = static_cast<TokenId>(node.at("unk_id").integer(0, kMaxTokenId - 1));
  config.byte_fallback = node.flag("byte_fallback", false);
  return unwrap(node, UnigramModel::create(std::move(config)));
}

WordPieceModel read_word_piece(const JsonNode& node) {
  constexpr std::int64_t kMostCharacters = 1 << 16;
  const std::optional<JsonNode> longest = node.find("max_input_chars_per_word");
  WordPieceConfig config;
  config.vocab = read_vocab(node.at("vocab"));
  config.unk_token = node.text("unk_token", "[UNK]");
  config.continuing_prefix = node.text("continuing_subword_prefix", "##");
  config.max_characters = longest ? static_cast<std::size_t>(longest->integer(1, kMostCharacters)) : 100;
  return unwrap(node, WordPieceModel::create(std::move(config)));
}

}  // namespace

std::unique_ptr<WordModel> read_model(const JsonNode& node) {
  const std::optional<JsonNode> named = node.find("type");  // absent in old files, which are all BPE
  const std::string_view type = named ? named->string() : "BPE";
  if (type == "BPE") return std::make_unique<BpeModel>(read_bpe(node));
  if (type == "Unigram") return std::make_unique<UnigramModel>(read_unigram(node));
  if (type == "WordPiece") return std::make_unique<WordPieceModel>(read_word_piece(node));
  if (type != "WordLevel") refuse_type(node, type, "BPE, Unigram, WordPiece, WordLevel");
  return std::make_unique<WordLevelModel>(
      unwrap(node, WordLevelModel::create(read_vocab(node.at("vocab")), node.text("unk_token", "<unk>"))));
}

AddedToken read_added_token(const JsonNode& node, TokenId id) {
  AddedToken token;
  token.id = id;
  const JsonNode content = node.at("content");
  token.content = content.string();
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes) {
    content.fail(fmt::format("must have 1 to {} bytes", kMaxAddedTokenBytes));
  }
  token.single_word = node.flag("single_word", false);
  token.lstrip = node.flag("lstrip", false);
  token.rstrip = node.flag("rstrip", false);
  token.special = node.flag("special", false);
  token.normalized = node.flag("normalized", !token.special);
  return token;
}

}  // namespace caudal
