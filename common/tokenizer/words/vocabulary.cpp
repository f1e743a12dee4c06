#include "common/tokenizer/words/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>

namespace caudal {

Result<Vocabulary> Vocabulary::create(std::vector<std::pair<std::string, TokenId>>&& tokens) {
  std::size_t num_ids = 0;
  for (const auto& [token, id] : tokens) {
    if (id < 0 || id >= kMaxTokenId) return Error{fmt::format("id {} is out of range", id), "vocab"};
    if (token.empty()) return Error{fmt::format("the token of id {} is empty", id), "vocab"};
    num_ids = std::max(num_ids, static_cast<std::size_t>(id) + 1);
  }
  Vocabulary vocabulary;
  vocabulary.tokens_.resize(num_ids);
  vocabulary.ids_.reserve(tokens.size());
  for (auto& [token, id] : tokens) {
    std::string& place = vocabulary.tokens_[id];
    if (!place.empty()) return Error{fmt::format("id {} is given to two tokens", id), "vocab"};
    place = std::move(token);
    if (!vocabulary.ids_.emplace(place, id).second)
      return Error{fmt::format("the token of id {} appears twice", id), "vocab"};
  }
  return vocabulary;
}

}  // namespace caudal
