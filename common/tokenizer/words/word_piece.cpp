#include "common/tokenizer/words/word_piece.h"

#include <algorithm>

namespace caudal {
namespace {

bool continues_character(char byte) { return (static_cast<std::uint8_t>(byte) & 0xC0) == 0x80; }

const Error kNoUnknown{"the token is not in the vocabulary", "unk_token"};

}  // namespace

Result<WordPieceModel> WordPieceModel::create(WordPieceConfig config) {
  Result<Vocabulary> vocabulary = Vocabulary::create(std::move(config.vocab));
  if (!vocabulary) return vocabulary.error();
  const std::optional<TokenId> unk_id = vocabulary.value().token_to_id(config.unk_token);
  if (!unk_id) return kNoUnknown;
  return WordPieceModel(std::move(vocabulary).value(), std::move(config), *unk_id);
}

WordPieceModel::WordPieceModel(Vocabulary vocabulary, WordPieceConfig config, TokenId unk_id)
    : WordModel(std::move(vocabulary)),
      continuing_prefix_(std::move(config.continuing_prefix)),
      max_characters_(config.max_characters),
      unk_id_(unk_id) {
  for (TokenId id = 0; id < end_id(); ++id) longest_ = std::max(longest_, id_to_token(id).size());
}

std::pair<TokenId, std::size_t> WordPieceModel::longest_token(std::string_view rest, std::string_view prefix,
                                                              std::string& spelled) const {
  spelled = prefix;
  spelled += rest.substr(0, longest_);
  while (spelled.size() > prefix.size()) {
    const std::size_t size = spelled.size() - prefix.size();
    const bool whole = size == rest.size() || !continues_character(rest[size]);
    if (const auto id = whole ? token_to_id(spelled) : std::nullopt) return {*id, size};
    spelled.pop_back();
  }
  return {-1, 0};
}

void WordPieceModel::encode(std::string_view word, WordScratch&, std::vector<TokenId>& output) const {
  const auto num_characters = word.size() - static_cast<std::size_t>(std::ranges::count_if(word, continues_character));
  const std::size_t before = output.size();
  std::string spelled;
  std::size_t done = num_characters > max_characters_ ? std::string_view::npos : 0;
  while (done < word.size()) {
    const auto [id, size] = longest_token(word.substr(done), done == 0 ? "" : continuing_prefix_, spelled);
    done = size == 0 ? std::string_view::npos : done + size;
    output.push_back(id);
  }
  if (done == word.size()) return;
  output.resize(before);
  output.push_back(unk_id_);
}

Result<WordLevelModel> WordLevelModel::create(std::vector<std::pair<std::string, TokenId>> vocab,
                                              std::string_view unk_token) {
  Result<Vocabulary> vocabulary = Vocabulary::create(std::move(vocab));
  if (!vocabulary) return vocabulary.error();
  const std::optional<TokenId> unk_id = vocabulary.value().token_to_id(unk_token);
  if (!unk_id) return kNoUnknown;
  return WordLevelModel(std::move(vocabulary).value(), *unk_id);
}

void WordLevelModel::encode(std::string_view word, WordScratch&, std::vector<TokenId>& output) const {
  output.push_back(token_to_id(word).value_or(unk_id_));
}

}  // namespace caudal
