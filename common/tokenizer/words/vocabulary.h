// The tokens of a model by id and by text. Immutable after creation; safe from any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/result.h"
#include "common/types.h"

namespace caudal {

// Ids must be below this; no published vocabulary comes near.
inline constexpr TokenId kMaxTokenId = 1 << 22;

class Vocabulary {
 public:
  // Errors (field "vocab"): an id out of range, an id or a text used twice, an empty text.
  static Result<Vocabulary> create(std::vector<std::pair<std::string, TokenId>>&& tokens);

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) noexcept = default;
  Vocabulary& operator=(Vocabulary&&) noexcept = default;

  std::optional<TokenId> token_to_id(std::string_view token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  // Empty view for an id that has no token.
  std::string_view id_to_token(TokenId id) const {
    return id >= 0 && id < end_id() ? std::string_view(tokens_[id]) : std::string_view();
  }
  // One more than the largest id.
  TokenId end_id() const { return static_cast<TokenId>(tokens_.size()); }

 private:
  std::vector<std::string> tokens_;                    // by id; empty where the id is not used
  std::unordered_map<std::string_view, TokenId> ids_;  // views into tokens_
};

}  // namespace caudal
