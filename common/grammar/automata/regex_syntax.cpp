// A parser by recursive descent. It throws Fault, which parse_regex() catches.
#include "common/grammar/automata/regex_syntax.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

#include "common/grammar/automata/regex_program.h"
#include "common/text/unicode.h"

namespace caudal::grammar {
namespace {

constexpr int kMaxNesting = 200;
constexpr std::uint32_t kMaxCount = 100'000;

struct Fault {
  std::string message;
};

class RegexParser {
 public:
  explicit RegexParser(std::string_view pattern) {
    for (std::size_t at = 0; at < pattern.size();) {
      const CodePoint c = decode_utf8(pattern, at);
      text_.push_back(c.value);
      at += c.num_bytes;
    }
  }

  RegexNode parse() {
    RegexNode node = alternatives();
    if (at_ < text_.size()) fail("a ')' without its '('");
    return node;
  }

 private:
  using Kind = RegexNode::Kind;

  [[noreturn]] void fail(std::string_view why) const { throw Fault{fmt::format("{} at character {}", why, at_ + 1)}; }
  bool ends() const { return at_ == text_.size(); }
  char32_t peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : char32_t{0}; }
  bool take(char32_t c) {
    if (ends() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take(std::u32string_view word) {
    if (text_.compare(at_, word.size(), word) != 0) return false;
    at_ += word.size();
    return true;
  }

  RegexNode alternatives() {
    if (++nesting_ > kMaxNesting) fail("groups nested too deeply");
    RegexNode node{.kind = Kind::kAlternatives, .characters = {}, .children = {}};
    do {
      node.children.push_back(sequence());
    } while (take(U'|'));
    --nesting_;
    if (node.children.size() > 1) return node;
    RegexNode only = std::move(node.children.front());
    return only;
  }

  RegexNode sequence() {
    RegexNode node;
    while (!ends() && peek() != U'|' && peek() != U')') node.children.push_back(repeated());
    return node;
  }

  RegexNode repeated() {
    RegexNode item = atom();
    const auto counts = quantifier();
    if (!counts) return item;
    if (item.kind == Kind::kStart || item.kind == Kind::kEnd) fail("nothing to repeat");
    take(U'?');  // lazy: the same texts
    if (quantifier()) fail("nothing to repeat");
    RegexNode node{
        .kind = Kind::kRepeat, .min = counts->first, .max = counts->second, .characters = {}, .children = {}};
    node.children.push_back(std::move(item));
    return node;
  }

  std::optional<std::pair<std::uint32_t, std::uint32_t>> quantifier() {
    if (take(U'*')) return {{0, kNoBound}};
    if (take(U'+')) return {{1, kNoBound}};
    if (take(U'?')) return {{0, 1}};
    if (peek() != U'{') return std::nullopt;
    const std::size_t begin = at_++;
    const auto min = number();
    if (!min) {
      at_ = begin;
      return std::nullopt;
    }
    std::optional<std::uint32_t> max = min;
    if (take(U',')) {
      max = number();
      if (!max) max = kNoBound;
    }
    if (!take(U'}')) {
      at_ = begin;
      return std::nullopt;
    }
    if (*min > *max) fail("a count whose end is below its beginning");
    return {{*min, *max}};
  }

  std::optional<std::uint32_t> number() {
    if (peek() < U'0' || peek() > U'9') return std::nullopt;
    std::uint32_t value = 0;
    for (; peek() >= U'0' && peek() <= U'9'; ++at_) {
      value = value * 10 + static_cast<std::uint32_t>(peek() - U'0');
      if (value > kMaxCount) fail("a count is too large");
    }
    return value;
  }

  static RegexNode of(const CharacterClass& characters) {
    return {.kind = Kind::kClass, .characters = characters.normalized(), .children = {}};
  }
  static RegexNode of(char32_t c) { return of(CharacterClass(c, c)); }
  static RegexNode of(Kind kind) { return {.kind = kind, .characters = {}, .children = {}}; }

  RegexNode atom() {
    const char32_t c = peek();
    if (c == U'*' || c == U'+' || c == U'?') fail("nothing to repeat");
    ++at_;
    switch (c) {
      case U'(':
        return group();
      case U'[':
        return of(bracket());
      case U'.': {
        RegexNode dot = of(CharacterClass::no_newline());
        dot.is_dot = true;
        return dot;
      }
      case U'^':
        return of(Kind::kStart);
      case U'$':
        return of(Kind::kEnd);
      case U'\\':
        return escape();
      default:
        return of(c);
    }
  }

  RegexNode group() {
    Kind kind = Kind::kSequence;
    if (take(U"?=")) {
      kind = Kind::kAhead;
    } else if (take(U"?!")) {
      kind = Kind::kNotAhead;
    } else if (take(U"?<=") || take(U"?<!")) {
      fail("look-behind is not supported");
    } else if (take(U"?<") || take(U"?P<")) {
      while (!ends() && peek() != U'>') ++at_;
      if (!take(U'>')) fail("a group's name has no end");
    } else if (!take(U"?:") && peek() == U'?') {
      fail("this kind of group is not supported");
    }
    RegexNode node = of(kind);
    node.children.push_back(alternatives());
    if (!take(U')')) fail("a '(' without its ')'");
    return node;
  }

  RegexNode escape() {
    switch (peek()) {
      case U'b':
      case U'B':
        fail("word boundaries are not supported");
      case U'A':
        ++at_;
        return of(Kind::kStart);
      case U'Z':
      case U'z':
        ++at_;
        return of(Kind::kEnd);
      default:
        break;
    }
    if ((peek() >= U'1' && peek() <= U'9') || peek() == U'k') fail("back references are not supported");
    return of(escaped());
  }

  // What follows a backslash, in a class or outside.
  CharacterClass escaped() {
    if (ends()) fail("a backslash at the end");
    const char32_t c = text_[at_++];
    switch (c) {
      case U'd':
        return CharacterClass::digits();
      case U'D':
        return CharacterClass::digits().complement();
      case U'w':
        return CharacterClass::words();
      case U'W':
        return CharacterClass::words().complement();
      case U's':
        return CharacterClass::spaces();
      case U'S':
        return CharacterClass::spaces().complement();
      case U'p':
      case U'P':
        return property(c == U'P');
      default: {
        const char32_t one = escaped_character(c);
        return {one, one};
      }
    }
  }

  char32_t escaped_character(char32_t c) {
    static constexpr std::u32string_view kNames = U"tnvfr0ae";
    static constexpr std::u32string_view kValues = U"\t\n\v\f\r\0\a\x1B";
    if (const auto found = kNames.find(c); found != std::u32string_view::npos) return kValues[found];
    if (c == U'x') return hexadecimal(2);
    if (c == U'u') return unicode();
    if (c == U'c' && !ends()) return text_[at_++] & 0x1F;
    const bool is_letter = (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z') || (c >= U'1' && c <= U'9');
    if (is_letter) fail("an unknown escape");
    return c;
  }

  char32_t unicode() {
    if (take(U'{')) {
      char32_t value = 0;
      while (!ends() && peek() != U'}') {
        value = value << 4 | hexadecimal(1);
        if (value > kMaxCodePoint) fail("not a character");
      }
      if (!take(U'}')) fail("a '{' without its '}'");
      return value;
    }
    const char32_t high = hexadecimal(4);
    if (high < 0xD800 || high > 0xDBFF || peek() != U'\\' || peek(1) != U'u') return high;
    at_ += 2;
    return 0x10000 + ((high - 0xD800) << 10) + (hexadecimal(4) - 0xDC00);
  }

  char32_t hexadecimal(int digits) {
    char32_t value = 0;
    for (; digits > 0; --digits, ++at_) {
      const char32_t c = peek();
      const bool is_digit = c >= U'0' && c <= U'9';
      const char32_t lower = c | 0x20;
      if (!is_digit && (lower < U'a' || lower > U'f')) fail("a hexadecimal digit is missing");
      value = value << 4 | (is_digit ? c - U'0' : lower - U'a' + 10);
    }
    return value;
  }

  CharacterClass property(bool negated) {
    if (!take(U'{')) fail("a property has no '{'");
    std::string name;
    while (!ends() && peek() != U'}') name += static_cast<char>(text_[at_++]);
    if (!take(U'}')) fail("a '{' without its '}'");
    const CharacterClass found = CharacterClass::property(name);
    if (found.ranges().empty()) fail("an unknown property");
    return negated ? found.complement() : found;
  }

  CharacterClass bracket() {
    const bool negated = take(U'^');
    CharacterClass result;
    while (true) {
      if (ends()) fail("a '[' without its ']'");
      if (take(U']')) break;
      const CharacterClass first = class_atom();
      const bool is_range = peek() == U'-' && peek(1) != U']' && at_ + 1 < text_.size() && is_one(first);
      if (!is_range) {
        result.add(first);
        continue;
      }
      ++at_;
      const CharacterClass last = class_atom();
      if (!is_one(last)) {  // a class: the hyphen stands for itself
        result.add(first);
        result.add('-', '-');
        result.add(last);
        continue;
      }
      if (last.ranges().front().first < first.ranges().front().first) fail("a range out of order");
      result.add(first.ranges().front().first, last.ranges().front().first);
    }
    return negated ? result.complement() : result;
  }

  static bool is_one(const CharacterClass& c) {
    return c.ranges().size() == 1 && c.ranges().front().first == c.ranges().front().last;
  }

  CharacterClass class_atom() {
    if (take(U'\\')) {
      if (take(U'b')) return {'\b', '\b'};
      return escaped();
    }
    const char32_t c = text_[at_++];
    return {c, c};
  }

  std::u32string text_;
  std::size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace

Result<RegexNode> parse_regex(std::string_view pattern) {
  if (!is_valid_utf8(pattern)) return Error{"is not UTF-8", ""};
  try {
    return RegexParser(pattern).parse();
  } catch (const Fault& fault) {
    return Error{fault.message, ""};
  }
}

}  // namespace caudal::grammar
