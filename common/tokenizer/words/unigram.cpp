#include "common/tokenizer/words/unigram.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/text/unicode.h"

namespace caudal {
namespace {

constexpr double kUnknownPenalty = 10.0;  // below the worst token

// Bytes that two texts begin with alike.
std::size_t common_prefix(std::string_view a, std::string_view b) {
  const std::size_t size = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(size), b.begin()).first - a.begin());
}

}  // namespace

Result<UnigramModel> UnigramModel::create(UnigramConfig config) {
  const auto num_tokens = static_cast<TokenId>(config.tokens.size());
  if (config.unk_id < 0 || config.unk_id >= num_tokens) return Error{"the id is not in the vocabulary", "unk_id"};
  std::vector<std::pair<std::string, TokenId>> tokens;
  tokens.reserve(config.tokens.size());
  for (TokenId id = 0; id < num_tokens; ++id) tokens.emplace_back(std::move(config.tokens[id]), id);
  Result<Vocabulary> vocabulary = Vocabulary::create(std::move(tokens));
  if (!vocabulary) return vocabulary.error();
  return UnigramModel(std::move(vocabulary).value(), std::move(config));
}

UnigramModel::UnigramModel(Vocabulary vocabulary, UnigramConfig config)
    : WordModel(std::move(vocabulary)),
      scores_(std::move(config.scores)),
      unk_id_(config.unk_id),
      unk_score_(*std::ranges::min_element(scores_) - kUnknownPenalty),
      byte_fallback_(config.byte_fallback) {
  for (int byte = 0; byte < 256; ++byte) byte_ids_[byte] = token_to_id(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  add_tries();
}

// In sorted order a token shares the nodes of the longest prefix that it has in common with the one before.
void UnigramModel::add_tries() {
  std::vector<TokenId> sorted(end_id());
  for (TokenId id = 0; id < end_id(); ++id) sorted[id] = id;
  std::ranges::sort(sorted, {}, [&](TokenId id) { return id_to_token(id); });
  std::size_t num_nodes = 1;
  std::string_view previous;
  for (const TokenId id : sorted) {
    num_nodes += id_to_token(id).size() - common_prefix(previous, id_to_token(id));
    previous = id_to_token(id);
  }
  edges_ = PairTable(num_nodes);
  token_of_node_.assign(1, -1);
  std::vector<TokenId> way;  // nodes of the token before; way[i] is behind its byte i
  previous = {};
  for (const TokenId id : sorted) {
    const std::string_view token = id_to_token(id);
    way.resize(common_prefix(previous, token));
    while (way.size() < token.size()) {
      const auto node = static_cast<TokenId>(token_of_node_.size());
      edges_.set(way.empty() ? 0 : way.back(), static_cast<std::uint8_t>(token[way.size()]), {0, node});
      token_of_node_.push_back(-1);
      way.push_back(node);
    }
    token_of_node_[way.back()] = id;
    previous = token;
  }
}

void UnigramModel::find_path(std::string_view word, std::vector<WordScratch::PathEnd>& path) const {
  path.assign(word.size() + 1, {0.0, -1, -1});
  const auto offer = [&](std::size_t start, std::size_t end, double score, TokenId token) {
    WordScratch::PathEnd& best = path[end];
    const double sum = score + path[start].score;
    if (best.start < 0 || sum > best.score) best = {sum, static_cast<std::int32_t>(start), token};
  };
  for (std::size_t start = 0; start < word.size();) {
    const std::size_t character = decode_utf8(word, start).num_bytes;
    bool has_character = false;
    TokenId node = 0;
    for (std::size_t end = start; end < word.size();) {
      const PairTable::Merge* edge = edges_.find(node, static_cast<std::uint8_t>(word[end]));
      if (edge == nullptr) break;
      node = edge->joined_id;
      ++end;
      const TokenId token = token_of_node_[node];
      if (token < 0) continue;
      offer(start, end, scores_[token], token);
      if (end - start == character) has_character = true;
    }
    if (!has_character) offer(start, start + character, unk_score_, unk_id_);
    start += character;
  }
}

// The tokens of a stretch that is in no vocabulary, last first.
void UnigramModel::push_unknown(std::string_view text, std::vector<TokenId>& backwards) const {
  const auto id_of = [&](char byte) { return byte_ids_[static_cast<std::uint8_t>(byte)]; };
  if (byte_fallback_ && std::ranges::all_of(text, [&](char byte) { return id_of(byte) >= 0; })) {
    for (auto byte = text.rbegin(); byte != text.rend(); ++byte) backwards.push_back(id_of(*byte));
  } else {
    backwards.push_back(unk_id_);
  }
}

// Adjacent unknown characters are one.
void UnigramModel::encode(std::string_view word, WordScratch& scratch, std::vector<TokenId>& output) const {
  find_path(word, scratch.path);
  scratch.backwards.clear();
  for (std::size_t end = word.size(); end > 0;) {
    std::size_t start = scratch.path[end].start;
    const TokenId token = scratch.path[end].token;
    if (token != unk_id_) {
      scratch.backwards.push_back(token);
    } else {
      while (start > 0 && scratch.path[start].token == unk_id_) start = scratch.path[start].start;
      const std::string_view text = word.substr(start, end - start);
      if (const auto known = token_to_id(text)) {
        scratch.backwards.push_back(*known);
      } else {
        push_unknown(text, scratch.backwards);
      }
    }
    end = start;
  }
  output.insert(output.end(), scratch.backwards.rbegin(), scratch.backwards.rend());
}

}  // namespace caudal
