#include "common/text/oniguruma_sets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <vector>

#include "common/text/unicode.h"

namespace caudal {
namespace {

constexpr std::string_view kSpace =
    R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{e}-\x{1f}\x{21}-\x{84}\x{86}-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027})"
    R"(\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{d7ff}\x{e000}-\x{10ffff})";
// Oniguruma counts the Latin-1 superscripts and fractions as word characters.
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
// \p{Han} and its like are the script of a character; PCRE2 takes them for the scripts that use it.
constexpr std::array<std::string_view, 24> kScripts{
    "Han",   "Hiragana", "Katakana", "Latin",   "Cyrillic", "Greek",    "Arabic",   "Hebrew",
    "Thai",  "Hangul",   "Bengali",  "Tamil",   "Telugu",   "Gujarati", "Kannada",  "Devanagari",
    "Khmer", "Lao",      "Myanmar",  "Tibetan", "Armenian", "Georgian", "Ethiopic", "Common"};
constexpr std::string_view kNewHan = R"(\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})";  // since PCRE2's tables

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

std::string word_contents() {
  return std::string(kWord) + new_ranges("L") + new_ranges("M") + new_ranges("Nd") + new_ranges("Pc");
}

// \p{Name}, \P{Name}, \p{^Name}
SetEscape read_property(std::string_view rest) {
  const std::size_t close = rest.find('}');
  if (rest.size() < 4 || rest[2] != '{' || close == std::string_view::npos) {
    throw UntranslatableSet{"\\p without {name}", 0};
  }
  std::string_view name = rest.substr(3, close - 3);
  bool negated = rest[1] == 'P';
  if (name.starts_with('^')) {
    negated = !negated;
    name.remove_prefix(1);
  }
  const bool script = std::ranges::find(kScripts, name) != kScripts.end();
  std::string contents = fmt::format("\\p{{{}{}}}", script ? "sc:" : "", name);
  if (name == "Han") contents += kNewHan;
  if (!script && !name.empty()) contents += new_ranges(name);
  return {{std::move(contents), negated}, close + 1};
}

// Reads a class from its bracket to the other one.
class ClassReader {
 public:
  explicit ClassReader(std::string_view text) : text_(text) {}

  ClassText read() {
    Operand all = read_class();
    return {all.alternatives.empty() ? "[" + all.contents + "]" : expression_of(all), at_};
  }

 private:
  // A union: characters and ranges, and expressions that match one character.
  struct Operand {
    std::string contents;
    std::vector<std::string> alternatives;
  };

  std::string_view rest() const { return text_.substr(at_); }

  static std::string expression_of(const Operand& operand) {
    std::vector<std::string> all = operand.alternatives;
    if (!operand.contents.empty()) all.insert(all.begin(), "[" + operand.contents + "]");
    if (all.empty()) return "(?!)";
    return all.size() == 1 ? all.front() : fmt::format("(?:{})", fmt::join(all, "|"));
  }

  Operand read_class() {
    const std::size_t begin = at_++;
    const bool negated = rest().starts_with('^');
    if (negated) ++at_;
    std::vector<Operand> operands(1);
    if (rest().starts_with(']')) {
      operands.back().contents = "\\]";
      ++at_;
    }
    while (!rest().starts_with(']')) {
      if (at_ == text_.size()) throw UntranslatableSet{"a class without its end", begin};
      if (rest().starts_with("&&")) {
        at_ += 2;
        operands.emplace_back();
      } else {
        read_item(operands.back());
      }
    }
    ++at_;
    return combine(operands, negated);
  }

  // Intersections bind loosest, and what is negated is all of them.
  static Operand combine(const std::vector<Operand>& operands, bool negated) {
    const Operand& last = operands.back();
    if (operands.size() == 1 && !negated) return last;
    if (operands.size() == 1 && last.alternatives.empty()) return {"", {"[^" + last.contents + "]"}};
    std::string expression = expression_of(last);
    if (operands.size() > 1) {
      std::string ahead;
      for (std::size_t i = 0; i + 1 < operands.size(); ++i) ahead += "(?=" + expression_of(operands[i]) + ")";
      expression = "(?:" + ahead + expression + ")";
    }
    if (negated) expression = "(?:(?!" + expression + ")(?s:.))";
    return {"", {expression}};
  }

  void read_item(Operand& operand) {
    if (rest().starts_with("[:")) {
      const std::size_t close = rest().find(":]");
      if (close == std::string_view::npos) throw UntranslatableSet{"[: without :]", at_};
      operand.contents += rest().substr(0, close + 2);
      at_ += close + 2;
      end_of_set(operand);
    } else if (rest().starts_with('[')) {
      Operand inner = read_class();
      add(operand, std::move(inner));
    } else if (rest().starts_with('\\')) {
      read_escape(operand);
    } else {
      operand.contents += text_[at_++];
    }
  }

  void add(Operand& operand, Operand inner) {
    const bool range_is_open = operand.contents.ends_with('-');
    if (range_is_open && !inner.contents.empty()) {
      operand.alternatives.push_back("[" + inner.contents + "]");
    } else {
      operand.contents += inner.contents;
    }
    operand.alternatives.insert(operand.alternatives.end(), inner.alternatives.begin(), inner.alternatives.end());
    end_of_set(operand);
  }

  // No range begins with a set: a hyphen behind one is a hyphen.
  void end_of_set(Operand& operand) {
    if (!rest().starts_with('-')) return;
    operand.contents += "\\-";
    ++at_;
  }

  void read_escape(Operand& operand) {
    if (rest().size() == 1) throw UntranslatableSet{"a trailing backslash", at_};
    const std::size_t begin = at_;
    std::optional<SetEscape> escape;
    try {
      escape = read_set_escape(rest());
      if (!escape && rest()[1] == 'u') {
        operand.contents += code_unit(rest());
        at_ += kCodeUnitBytes;
        return;
      }
    } catch (UntranslatableSet& error) {
      throw UntranslatableSet{error.what, begin + error.offset};
    }
    if (!escape) {
      operand.contents += rest().substr(0, 2);
      at_ += 2;
      return;
    }
    at_ += escape->num_bytes;
    add(operand, escape->set.negated ? Operand{"", {escape->set.as_class()}} : Operand{escape->set.contents, {}});
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<SetEscape> read_set_escape(std::string_view rest) {
  if (rest.size() < 2) return std::nullopt;
  const auto shorthand = [&](std::string contents) {
    return SetEscape{{std::move(contents), std::isupper(static_cast<unsigned char>(rest[1])) != 0}, 2};
  };
  switch (rest[1]) {
    case 's':
      return shorthand(std::string(kSpace));
    case 'S':
      return SetEscape{{std::string(kNotSpace), false}, 2};
    case 'd':
    case 'D':
      return shorthand("\\p{Nd}" + new_ranges("Nd"));
    case 'w':
    case 'W':
      return shorthand(word_contents());
    case 'h':
    case 'H':
      return shorthand("0-9a-fA-F");
    case 'p':
    case 'P':
      return read_property(rest);
    default:
      return std::nullopt;
  }
}

ClassText translate_class(std::string_view rest) { return ClassReader(rest).read(); }

std::string code_unit(std::string_view rest) {
  const std::string_view digits = rest.substr(2, 4);
  const bool hex = std::ranges::all_of(digits, [](unsigned char digit) { return std::isxdigit(digit) != 0; });
  if (digits.size() != 4 || !hex) throw UntranslatableSet{"\\u without four hex digits", 0};
  return fmt::format("\\x{{{}}}", digits);
}

}  // namespace caudal
