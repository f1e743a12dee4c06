// A vocabulary of all bytes and of some longer tokens as real ones have them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/grammar/token_vocabulary.h"

namespace caudal::grammar {

inline std::shared_ptr<const TokenVocabulary> small_vocabulary() {
  std::vector<std::string> tokens{""};  // 0 ends
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"\":",       "\",",   "\":\"",  "\",\"",   "\"}",
                            "\"]",       "{\"",   "[\"",    "},",      "],",
                            "}}",        "  ",    "\n",     "\n  ",    ": ",
                            ", ",        ": \"",  "true",   "false",   "null",
                            "12",        "123",   "0.",     "-1",      "e+",
                            "abc",       "name",  "a\"",    "b\":",    "ab\",\"",
                            "\\n",       "\\u00", "\\\"",   "c\\\"d",  "\xC3\xA9",
                            "\xC3\xA9t", "x\xC3", "\xA9",   "ab",      "{}",
                            "[]",        "[[",    "\"a\":", "\"b\":1", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"})
    tokens.emplace_back(token);
  return std::make_shared<const TokenVocabulary>(std::move(tokens), std::vector<TokenId>{0});
}

inline bool has(const std::vector<std::uint64_t>& mask, TokenId token) {
  return (mask[static_cast<std::size_t>(token) / 64] >> (token % 64) & 1) != 0;
}

}  // namespace caudal::grammar
