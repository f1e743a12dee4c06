// What tokenizers search text for: a literal string, a regular expression (PCRE2 with JIT), or a class of characters.
// Immutable after compile; a Matches belongs to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

// Bytes [begin, end) of a text.
struct Span {
  std::size_t begin;
  std::size_t end;

  bool empty() const { return begin == end; }
  std::string_view of(std::string_view text) const { return text.substr(begin, end - begin); }
};

class Pattern {
 public:
  // Errors: `expression` (Oniguruma's dialect) does not compile, is longer than 64 KiB, or uses a construct
  // that cannot be translated.
  static Result<Pattern> regex(std::string_view expression);
  static Result<Pattern> literal(std::string_view text);
  // Single characters that `is_member` affirms.
  static Pattern character(bool (*is_member)(char32_t));

  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // The first match that starts at or after `from`, `from <= text.size()`; `text` is valid UTF-8. Also
  // nothing when the expression exceeds the match limit, which only a hostile expression does.
  std::optional<Span> find(std::string_view text, std::size_t from) const;

 private:
  struct Code;
  Pattern(std::string literal, std::unique_ptr<Code> code);

  // Of the three one is there.
  std::string literal_;
  std::unique_ptr<Code> code_;  // compiled expression
  bool (*is_member_)(char32_t) = nullptr;
};

// All matches from left to right, not overlapping. An empty match right behind the previous match is skipped.
class Matches {
 public:
  Matches(const Pattern& pattern, std::string_view text) : pattern_(pattern), text_(text) {}
  std::optional<Span> next();

 private:
  const Pattern& pattern_;
  std::string_view text_;
  std::size_t from_ = 0;
  std::optional<std::size_t> last_end_;
};

}  // namespace caudal
