// See oniguruma.h. One pass over the pattern; everything that needs no change is copied.
#include "common/text/oniguruma.h"

#include <fmt/format.h>

#include <cctype>
#include <optional>

#include "common/text/unicode.h"

namespace caudal {
namespace {

// Contents of a character class, without the brackets.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{d7ff}\x{e000}-\x{10ffff})";
// Oniguruma counts the Latin-1 superscripts and fractions as word characters.
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

// The ranges of characters newer than PCRE2's tables whose category starts with `category`.
std::string new_ranges(std::string_view category) {
  std::string ranges;
  for (const NewCharacters& entry : new_characters()) {
    if (!std::string_view(entry.category).starts_with(category)) continue;
    ranges += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<std::uint32_t>(entry.first),
                          static_cast<std::uint32_t>(entry.last));
  }
  return ranges;
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> run() {
    while (position_ < pattern_.size() && !error_) step();
    if (error_) return Error{*error_, ""};
    return std::move(output_);
  }

 private:
  void step() {
    const char c = pattern_[position_];
    if (c == '\\') {
      escape();
    } else if (in_class_) {
      class_character(c);
    } else if (c == '[') {
      open_class();
    } else if (rest().starts_with("(?")) {
      group_options();
    } else if (c == '{') {
      interval();
    } else {
      copy(1);
    }
  }

  std::string_view rest() const { return pattern_.substr(position_); }

  void copy(std::size_t count) {
    output_ += rest().substr(0, count);
    position_ += std::min(count, pattern_.size() - position_);
  }

  void replace(std::size_t count, std::string_view text) {
    output_ += text;
    position_ += count;
  }

  void fail(std::string_view what) {
    error_ = fmt::format("unsupported in a regular expression: {} at byte {}", what, position_);
  }

  // Writes a set as a class of its own, or into the class around it.
  void emit_set(std::string_view contents, bool negated) {
    if (in_class_) {
      output_ += contents;
    } else {
      output_ += fmt::format("[{}{}]", negated ? "^" : "", contents);
    }
  }

  void escape() {
    if (position_ + 1 == pattern_.size()) return fail("a trailing backslash");
    switch (pattern_[position_ + 1]) {
      case 's':
        return shorthand(kSpace, false);
      case 'S':
        return in_class_ ? shorthand(kNotSpace, false) : shorthand(kSpace, true);
      case 'd':
        return shorthand("\\p{Nd}" + new_ranges("Nd"), false);
      case 'w':
        return shorthand(word(), false);
      case 'D':
        return shorthand(in_class_ ? "\\P{Nd}" : "\\p{Nd}" + new_ranges("Nd"), true);
      case 'W':
        return in_class_ ? fail("\\W inside a class") : shorthand(word(), true);
      case 'h':
        return shorthand("0-9a-fA-F", false);
      case 'H':
        return in_class_ ? fail("\\H inside a class") : shorthand("0-9a-fA-F", true);
      case 'u':
        return code_unit();
      case 'p':
      case 'P':
        return property();
      default:
        return copy(2);
    }
  }

  static std::string word() {
    return std::string(kWord) + new_ranges("L") + new_ranges("M") + new_ranges("Nd") + new_ranges("Pc");
  }

  void shorthand(std::string_view contents, bool negated) {
    emit_set(contents, negated);
    position_ += 2;
  }

  // \uHHHH -> \x{HHHH}
  void code_unit() {
    const std::string_view digits = rest().substr(2, 4);
    for (const char digit : digits) {
      if (std::isxdigit(static_cast<unsigned char>(digit)) == 0) return fail("\\u without four hex digits");
    }
    if (digits.size() != 4) return fail("\\u without four hex digits");
    replace(6, fmt::format("\\x{{{}}}", digits));
  }

  // \p{Category}, \P{Category}, \p{^Category}: the newer characters are added to (or, negated, taken from)
  // the set.
  void property() {
    const std::size_t close = rest().find('}');
    if (rest().size() < 4 || rest()[2] != '{' || close == std::string_view::npos) return fail("\\p without {name}");
    std::string_view name = rest().substr(3, close - 3);
    bool negated = rest()[1] == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    const std::string added = name.empty() ? "" : new_ranges(name);
    if (negated && (in_class_ || added.empty())) {
      replace(close + 1, fmt::format("\\P{{{}}}", name));
    } else if (added.empty()) {
      replace(close + 1, fmt::format("\\p{{{}}}", name));
    } else {
      emit_set(fmt::format("\\p{{{}}}{}", name, added), negated);
      position_ += close + 1;
    }
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (rest().starts_with('^')) copy(1);
    if (rest().starts_with(']')) replace(1, "\\]");
  }

  void class_character(char c) {
    if (c == ']') {
      in_class_ = false;
    } else if (c == '[') {
      const std::size_t close = rest().starts_with("[:") ? rest().find(":]") : std::string_view::npos;
      if (close == std::string_view::npos) return fail("a class inside a class");
      return copy(close + 2);
    } else if (rest().starts_with("&&")) {
      return fail("an intersection of classes");
    }
    copy(1);
  }

  // (?imx-imx) and (?imx-imx:...): Oniguruma's m is PCRE2's s.
  void group_options() {
    const std::size_t end = rest().find_first_not_of("imx-", 2);
    const bool is_options = end != std::string_view::npos && end > 2 && (rest()[end] == ')' || rest()[end] == ':');
    if (!is_options) return copy(2);
    std::string options(rest().substr(0, end));
    for (char& option : options) {
      if (option == 'm') option = 's';
    }
    replace(end, options);
  }

  // {n}, {n,}, {n,m} are the same in both; {,m} is not, nor is a + behind an interval.
  void interval() {
    const std::size_t close = rest().find('}');
    const std::size_t odd = rest().find_first_not_of("0123456789,", 1);
    if (close == std::string_view::npos || odd != close || close == 1) return replace(1, "\\{");
    const bool followed_by_plus = close + 1 < rest().size() && rest()[close + 1] == '+';
    if (followed_by_plus) return fail("an interval followed by +");
    if (rest().starts_with("{,")) {
      output_ += "{0";
      ++position_;
    }
    copy(rest().find('}') + 1);
  }

  std::string_view pattern_;
  std::size_t position_ = 0;
  bool in_class_ = false;
  std::string output_;
  std::optional<std::string> error_;
};

}  // namespace

Result<std::string> translate_oniguruma(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace caudal
