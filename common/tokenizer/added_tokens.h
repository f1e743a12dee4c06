// Tokens that are found in text as such, before BPE: special tokens like <|im_start|> and tokens added
// after training. Matching is leftmost-longest, as in the reference implementation.
// Immutable after construction; safe from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/text/pattern.h"
#include "common/types.h"

namespace caudal {

inline constexpr std::size_t kMaxAddedTokenBytes = 1024;

struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  // not next to a word character
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;       // and on its right
  bool normalized = false;   // looked for after normalization, in its normalized form
  bool special = false;      // left out of decoded text on request
};

// A stretch of text that is one added token, or lies between such tokens (token = -1).
struct Section {
  Span span;
  std::int32_t token;  // index into AddedTokens::tokens()
};

class AddedTokens {
 public:
  using Normalize = std::function<std::string(std::string_view)>;

  AddedTokens() = default;
  // Contents are not empty; no id and no content is there twice.
  AddedTokens(std::vector<AddedToken> tokens, const Normalize& normalize);

  enum class Stage : std::uint8_t { kRaw, kNormalized };
  // Cuts `text` at the added tokens of this stage; with `parse_special` false, special tokens stay text, and so do
  // those that begin at one of the offsets `plain_at` (ascending).
  // Sections cover the text except for what a following section took again (lstrip, rstrip).
  std::vector<Section> find(std::string_view text, Stage stage, bool parse_special,
                            std::span<const std::size_t> plain_at = {}) const;
  // Whether any special token is looked for after normalization.
  bool normalizes_special() const { return normalizes_special_; }

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedToken* by_id(TokenId id) const;
  const AddedToken* by_content(std::string_view content) const;

 private:
  // A byte trie; node 0 is the root.
  class Trie {
   public:
    void insert(std::string_view key, std::int32_t token);
    // The longest key at the front of `text`: its token and length; token -1 when there is none.
    std::pair<std::int32_t, std::size_t> longest_prefix(std::string_view text) const;

   private:
    static constexpr std::uint64_t edge(std::uint32_t node, char byte) {
      return static_cast<std::uint64_t>(node) << 8 | static_cast<std::uint8_t>(byte);
    }
    std::array<bool, 256> starts_{};                         // bytes that some key starts with
    std::unordered_map<std::uint64_t, std::uint32_t> next_;  // edge -> node
    std::vector<std::int32_t> token_{-1};                    // by node
  };

  bool stands_alone(std::string_view text, Span match) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<TokenId, std::size_t> index_by_id_;
  std::unordered_map<std::string, std::size_t> index_by_content_;
  std::array<Trie, 2> tries_;  // by Stage
  bool normalizes_special_ = false;
};

}  // namespace caudal
