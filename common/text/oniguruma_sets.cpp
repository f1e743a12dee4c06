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
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
// Oniguruma counts the Latin-1 superscripts and fractions as word characters, but not in a class.
constexpr std::string_view kWordAlone = R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";
// \p{Han} and its like are the script of a character; PCRE2 takes them for the scripts that use it.
constexpr std::array<std::string_view, 24> kScripts{
    "han",   "hiragana", "katakana", "latin",   "cyrillic", "greek",    "arabic",   "hebrew",
    "thai",  "hangul",   "bengali",  "tamil",   "telugu",   "gujarati", "kannada",  "devanagari",
    "khmer", "lao",      "myanmar",  "tibetan", "armenian", "georgian", "ethiopic", "common"};
// Long names of categories, which PCRE2 does not know.
constexpr std::pair<std::string_view, std::string_view> kCategories[] = {{"letter", "L"},
                                                                         {"mark", "M"},
                                                                         {"number", "N"},
                                                                         {"punctuation", "P"},
                                                                         {"punct", "P"},
                                                                         {"symbol", "S"},
                                                                         {"separator", "Z"},
                                                                         {"other", "C"},
                                                                         {"uppercaseletter", "Lu"},
                                                                         {"lowercaseletter", "Ll"},
                                                                         {"titlecaseletter", "Lt"},
                                                                         {"modifierletter", "Lm"},
                                                                         {"otherletter", "Lo"},
                                                                         {"decimalnumber", "Nd"},
                                                                         {"nonspacingmark", "Mn"}};
constexpr std::string_view kNewHan = R"(\x{2b739}\x{2ebf0}-\x{2ee5d}\x{31350}-\x{323af})";  // since PCRE2's tables

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

std::string word_contents(bool in_class) {
  return std::string(kWord) + std::string(in_class ? "" : kWordAlone) + new_ranges("L") + new_ranges("M") +
         new_ranges("Nd") + new_ranges("Pc");
}

// The sets that go by the names of POSIX, in brackets and as properties.
std::optional<std::string> posix_set(std::string_view name) {
  const std::string alphabetic = R"(\p{Alphabetic}\x{363}-\x{36f})" + new_ranges("L");
  const std::string digits = R"(\p{Nd})" + new_ranges("Nd");
  if (name == "alpha" || name == "alphabetic") return alphabetic;
  if (name == "digit") return digits;
  if (name == "alnum") return alphabetic + digits;
  if (name == "word") return word_contents(/*in_class=*/true);
  if (name == "space" || name == "whitespace") return std::string(kSpace);
  if (name == "blank") return R"(\x{9}\p{Zs})";
  if (name == "upper" || name == "uppercase") return R"(\p{Uppercase})" + new_ranges("Lu");
  if (name == "lower" || name == "lowercase") return R"(\p{Lowercase})" + new_ranges("Ll");
  if (name == "punct") return R"(\p{P}\p{S})" + new_ranges("P") + new_ranges("S");
  if (name == "cntrl") return R"(\p{Cc})";
  if (name == "xdigit") return "0-9a-fA-F";
  return std::nullopt;
}

// Names of properties are the same with capitals, spaces, hyphens and underscores or without.
std::string plain_name(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

std::string property_contents(std::string_view name) {
  const std::string plain = plain_name(name);
  if (plain == "word") return word_contents(/*in_class=*/false);
  const bool punctuation = plain == "punct";  // as a property the category, in brackets symbols, too
  if (const auto set = punctuation ? std::nullopt : posix_set(plain)) return *set;
  if (std::ranges::find(kScripts, plain) != kScripts.end()) {
    return fmt::format("\\p{{sc:{}}}{}", plain, plain == "han" ? kNewHan : "");
  }
  const auto* const category =
      std::ranges::find(kCategories, plain, &std::pair<std::string_view, std::string_view>::first);
  std::string known(category != std::end(kCategories) ? category->second : name);
  if (known.size() <= 2 && !known.empty()) {
    known = plain_name(known);
    known[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(known[0])));
  }
  return fmt::format("\\p{{{}}}{}", known, known.empty() ? "" : new_ranges(known));
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
  return {{property_contents(name), negated}, close + 1};
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
      read_posix(operand);
    } else if (rest().starts_with('[')) {
      Operand inner = read_class();
      add(operand, std::move(inner));
    } else if (rest().starts_with('\\')) {
      read_escape(operand);
    } else {
      operand.contents += text_[at_++];
    }
  }

  // [:name:] and [:^name:]
  void read_posix(Operand& operand) {
    const std::size_t close = rest().find(":]");
    if (close == std::string_view::npos) throw UntranslatableSet{"[: without :]", at_};
    std::string_view name = rest().substr(2, close - 2);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const bool printable = name == "print" || name == "graph";  // of which PCRE2 knows all but the newest
    const std::optional<std::string> set = printable ? fmt::format("[:{}:]", name) : posix_set(name);
    if (!set) throw UntranslatableSet{"[:name:] with a name that is not known", at_};
    at_ += close + 2;
    add(operand, negated ? Operand{"", {"[^" + *set + "]"}} : Operand{*set, {}});
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
      escape = read_set_escape(rest(), /*in_class=*/true);
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

std::optional<SetEscape> read_set_escape(std::string_view rest, bool in_class) {
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
      return shorthand(word_contents(in_class));
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
