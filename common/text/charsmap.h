// The character map that SentencePiece compiles into its models ("precompiled_charsmap"): rewrites graphemes and
// characters by a table, which is searched with a double-array trie (darts-clone). Immutable; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace caudal {

class CharsMap {
 public:
  // The bytes of the map. Errors: they are not one.
  static Result<CharsMap> parse(std::string_view bytes);

  // `text` is valid UTF-8.
  std::string apply(std::string_view text) const;

 private:
  // What the shortest prefix of `piece` in the map becomes; a null view when none is there.
  std::string_view find(std::string_view piece) const;

  std::vector<std::uint32_t> units_;  // of the trie
  std::string texts_;                 // each ends with a NUL; the trie's values are offsets into it
};

// Standard alphabet, with padding (RFC 4648, section 4).
Result<std::string> decode_base64(std::string_view text);

}  // namespace caudal
