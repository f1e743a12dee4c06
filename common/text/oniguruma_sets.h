// The sets of characters of Oniguruma's dialect as contents of a class of PCRE2: \s, \w, \p{...} and their like, and
// classes with all that may stand in them. Part of oniguruma.cpp.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace caudal {

// Thrown for what cannot be translated; `offset` is that of the construct in the text that was read.
struct UntranslatableSet {
  std::string what;
  std::size_t offset;
};

struct CharacterSet {
  std::string contents;  // of a class, without the brackets
  bool negated = false;

  std::string as_class() const { return (negated ? "[^" : "[") + contents + "]"; }
};

struct SetEscape {
  CharacterSet set;
  std::size_t num_bytes;  // of the escape
};
// The set that an escape at the front of `rest`, a backslash and more, stands for; none when it is no set.
std::optional<SetEscape> read_set_escape(std::string_view rest, bool in_class);

struct ClassText {
  std::string expression;  // of PCRE2, matches one character; may be followed by a quantifier
  std::size_t num_bytes;
};
// A class at the front of `rest`, with classes inside and intersections.
ClassText translate_class(std::string_view rest);

// \uHHHH -> \x{HHHH}
std::string code_unit(std::string_view rest);
inline constexpr std::size_t kCodeUnitBytes = 6;

}  // namespace caudal
