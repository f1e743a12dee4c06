// See bpe.h.
#include "common/tokenizer/words/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "common/check.h"
#include "common/text/unicode.h"

namespace caudal {
namespace {

using Symbol = WordScratch::Symbol;

void append(std::vector<Symbol>& symbols, TokenId id) {
  const auto index = static_cast<std::int32_t>(symbols.size());
  if (index > 0) symbols.back().next = index;
  symbols.push_back({id, index - 1, -1, false});
}

}  // namespace

Result<BpeModel> BpeModel::create(BpeConfig config) {
  BpeModel model;
  Result<Vocabulary> vocabulary = Vocabulary::create(std::move(config.vocab));
  if (!vocabulary) return vocabulary.error();
  model.vocabulary_ = std::move(vocabulary).value();
  model.continuing_prefix_ = std::move(config.continuing_prefix);
  model.word_suffix_ = std::move(config.word_suffix);
  if (Result<void> added = model.add_merges(config.merges); !added) return added.error();
  if (!config.scores.empty()) model.add_merges_by_score(config.scores);
  model.add_byte_tokens();
  if (config.unk_token) {
    model.unk_id_ = model.token_to_id(*config.unk_token);
    if (!model.unk_id_) return Error{"the token is not in the vocabulary", "unk_token"};
  }
  model.fuse_unk_ = config.fuse_unk;
  model.byte_fallback_ = config.byte_fallback;
  model.ignore_merges_ = config.ignore_merges;
  return model;
}

Result<void> BpeModel::add_merges(const std::vector<std::pair<std::string, std::string>>& merges) {
  merges_ = PairTable(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const std::optional<TokenId> left_id = token_to_id(left);
    const std::optional<TokenId> right_id = token_to_id(right);
    const bool continues = right.starts_with(continuing_prefix_);
    const std::optional<TokenId> joined_id =
        continues ? token_to_id(left + right.substr(continuing_prefix_.size())) : std::nullopt;
    if (!left_id || !right_id || !joined_id) {
      return Error{"a part or the result of the merge is not in the vocabulary", fmt::format("merges[{}]", rank)};
    }
    merges_.set(*left_id, *right_id, {static_cast<std::uint32_t>(rank), *joined_id});
  }
  return {};
}

// Tokens of one score have one rank, so that of two places where they can be made the left one comes first.
void BpeModel::add_merges_by_score(const std::vector<double>& scores) {
  CHECK(std::ssize(scores) >= end_id());
  std::vector<TokenId> by_score;
  for (TokenId id = 0; id < end_id(); ++id)
    if (!id_to_token(id).empty() && std::isfinite(scores[id])) by_score.push_back(id);
  std::ranges::stable_sort(by_score, std::greater<>(), [&](TokenId id) { return scores[id]; });
  struct Merge {
    TokenId left, right;
    PairTable::Merge merge;
  };
  std::vector<Merge> merges;
  std::uint32_t rank = 0;
  for (std::size_t i = 0; i < by_score.size(); ++i) {
    const TokenId joined = by_score[i];
    if (i > 0 && scores[joined] != scores[by_score[i - 1]]) ++rank;
    const std::string_view token = id_to_token(joined);
    for (std::size_t cut = decode_utf8(token, 0).num_bytes; cut < token.size();
         cut += decode_utf8(token, cut).num_bytes) {
      const std::optional<TokenId> left = token_to_id(token.substr(0, cut)), right = token_to_id(token.substr(cut));
      if (left && right) merges.push_back({*left, *right, {rank, joined}});
    }
  }
  merges_ = PairTable(merges.size());
  for (const Merge& m : merges) merges_.set(m.left, m.right, m.merge);
}

void BpeModel::add_byte_tokens() {
  for (int byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = token_to_id(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
  for (char32_t c = 0; c < small_character_ids_.size(); ++c) {
    std::string character;
    append_utf8(character, c);
    small_character_ids_[c] = token_to_id(character).value_or(-1);
  }
}

TokenId BpeModel::character_id(std::string_view character) const {
  const char32_t value = decode_utf8(character, 0).value;
  if (value < small_character_ids_.size()) return small_character_ids_[value];
  return token_to_id(character).value_or(-1);
}

bool BpeModel::append_bytes(std::string_view character, std::vector<Symbol>& symbols) const {
  const auto id_of = [&](char byte) { return byte_ids_[static_cast<std::uint8_t>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char byte) { return id_of(byte) < 0; })) return false;
  for (const char byte : character) append(symbols, id_of(byte));
  return true;
}

// An unknown character waits in `unknown` until the next known one (so that a run can be fused); as in the
// reference implementation, byte tokens overtake it.
void BpeModel::split_characters(std::string_view word, std::vector<Symbol>& symbols) const {
  symbols.clear();
  bool unknown = false;
  const bool affixes = !continuing_prefix_.empty() || !word_suffix_.empty();
  std::string affixed;
  for (std::size_t i = 0; i < word.size();) {
    std::string_view character = word.substr(i, decode_utf8(word, i).num_bytes);
    const bool first = i == 0;
    i += character.size();
    if (affixes) {
      affixed = first ? "" : continuing_prefix_;
      affixed += character;
      if (i == word.size()) affixed += word_suffix_;
      character = affixed;
    }
    const TokenId id = affixes ? token_to_id(character).value_or(-1) : character_id(character);
    if (id >= 0) {
      if (unknown) append(symbols, *unk_id_);
      unknown = false;
      append(symbols, id);
    } else if (byte_fallback_ && append_bytes(character, symbols)) {
      continue;
    } else if (unk_id_) {
      if (unknown && !fuse_unk_) append(symbols, *unk_id_);
      unknown = true;
    }
  }
  if (unknown) append(symbols, *unk_id_);
}

// Puts the pair of `left` and the symbol after it at the end of the heap's array, if it joins.
bool BpeModel::push_candidate(WordScratch& scratch, std::int32_t left) const {
  const Symbol& symbol = scratch.symbols[left];
  if (symbol.next < 0) return false;
  const PairTable::Merge* merge = merges_.find(symbol.id, scratch.symbols[symbol.next].id);
  if (merge == nullptr) return false;
  scratch.heap.push_back(static_cast<std::uint64_t>(merge->rank) << 32 | static_cast<std::uint32_t>(left));
  return true;
}

void BpeModel::merge(WordScratch& scratch) const {
  std::vector<Symbol>& symbols = scratch.symbols;
  std::vector<std::uint64_t>& heap = scratch.heap;
  const std::greater<> later;  // the standard algorithms put the largest first
  heap.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) push_candidate(scratch, static_cast<std::int32_t>(i));
  std::make_heap(heap.begin(), heap.end(), later);

  const auto offer = [&](std::int32_t left) {
    if (push_candidate(scratch, left)) std::push_heap(heap.begin(), heap.end(), later);
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const std::uint64_t candidate = heap.back();
    heap.pop_back();
    const auto position = static_cast<std::int32_t>(candidate & 0xFFFFFFFF);
    Symbol& left = symbols[position];
    if (left.removed || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    const PairTable::Merge* current = merges_.find(left.id, right.id);
    if (current == nullptr || current->rank != candidate >> 32) continue;  // the pair has changed since

    left.id = current->joined_id;
    left.next = right.next;
    right.removed = true;
    if (left.next >= 0) symbols[left.next].previous = position;
    if (left.previous >= 0) offer(left.previous);
    offer(position);
  }
}

void BpeModel::encode(std::string_view word, WordScratch& scratch, std::vector<TokenId>& output) const {
  if (ignore_merges_) {
    if (const std::optional<TokenId> id = token_to_id(word)) {
      output.push_back(*id);
      return;
    }
  }
  split_characters(word, scratch.symbols);
  if (scratch.symbols.size() > 1) merge(scratch);
  for (const Symbol& symbol : scratch.symbols) {
    if (!symbol.removed) output.push_back(symbol.id);
  }
}

}  // namespace caudal
