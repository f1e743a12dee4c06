// See rule_parser.h.
#include "common/grammar/rules/rule_parser.h"

#include "common/grammar/automata/regex_program.h"
#include "common/text/unicode.h"

namespace caudal::grammar {
namespace {

constexpr std::uint32_t kMaxRepeats = 100'000;

}  // namespace

Error error_at(std::string_view text, std::size_t place, std::string_view message) {
  place = std::min(place, text.size());
  std::size_t line = 1;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < place; ++i) {
    if (text[i] != '\n') continue;
    ++line;
    begin = i + 1;
  }
  const std::string where = fmt::format("line {}, column {}", line, place - begin + 1);
  return {fmt::format("{}: {}", where, message), where};
}

bool RuleParser::take(std::string_view word) {
  if (text_.substr(std::min(at_, text_.size()), word.size()) != word) return false;
  at_ += word.size();
  return true;
}

bool RuleParser::is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

std::string RuleParser::name() {
  const std::size_t begin = at_;
  while (!ends() && is_name(peek())) ++at_;
  return std::string(text_.substr(begin, at_ - begin));
}

std::optional<std::uint32_t> RuleParser::number() {
  if (peek() < '0' || peek() > '9') return std::nullopt;
  std::uint32_t value = 0;
  for (; peek() >= '0' && peek() <= '9'; ++at_) {
    value = value * 10 + static_cast<std::uint32_t>(peek() - '0');
    if (value > kMaxRepeats) fail("a count is too large");
  }
  return value;
}

RegexNode RuleParser::node(Kind kind, std::vector<RegexNode> children) {
  return {.kind = kind, .characters = {}, .children = std::move(children)};
}

RegexNode RuleParser::character(char32_t c) {
  return {.kind = Kind::kClass, .characters = CharacterClass(c, c).normalized(), .children = {}};
}

RegexNode RuleParser::repeat(RegexNode repeated, std::uint32_t min, std::uint32_t max) {
  RegexNode result = node(Kind::kRepeat);
  result.min = min;
  result.max = max;
  result.children.push_back(std::move(repeated));
  return result;
}

RegexNode RuleParser::literal(std::string_view text, bool any_case) {
  RegexNode result = node(Kind::kSequence);
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    i += c.num_bytes;
    result.children.push_back(character(c.value));
    if (any_case) result.children.back().characters = result.children.back().characters.both_cases();
  }
  return result;
}

char32_t RuleParser::one_character() {
  const CodePoint c = decode_utf8(text_, at_);
  at_ += c.num_bytes;
  return c.value;
}

char32_t RuleParser::escaped_character() {
  if (ends()) fail("a backslash at the end");
  const char32_t c = one_character();
  int digits = c == U'x' ? 2 : c == U'u' ? 4 : c == U'U' ? 8 : 0;
  if (digits == 0) return c == U'n' ? U'\n' : c == U'r' ? U'\r' : c == U't' ? U'\t' : c == U'f' ? U'\f' : c;
  char32_t value = 0;
  for (; digits > 0; --digits, ++at_) {
    const auto digit =
        std::string_view("0123456789abcdef").find(static_cast<char>(peek() | (peek() >= 'A' ? 0x20 : 0)));
    if (ends() || digit == std::string_view::npos) fail("a hexadecimal digit is missing");
    value = value << 4 | static_cast<char32_t>(digit);
  }
  if (value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF)) fail("not a character");
  return value;
}

std::string RuleParser::quoted(char quote) {
  std::string result;
  const std::size_t begin = at_++;
  while (peek() != quote) {
    if (ends() || peek() == '\n') fail_at(begin, "a quoted text has no end");
    append_utf8(result, take("\\") ? escaped_character() : one_character());
  }
  ++at_;
  return result;
}

std::uint32_t RuleParser::rule_of(const std::string& name, std::size_t place) {
  const auto [known, is_new] = ids_.try_emplace(name, static_cast<std::uint32_t>(rules_.rules.size()));
  if (is_new) {
    rules_.rules.push_back({name, {}, place});
    is_defined_.push_back(false);
  }
  return known->second;
}

void RuleParser::define(const std::string& name, std::size_t place, RegexNode body) {
  const std::uint32_t id = rule_of(name, place);
  if (is_defined_[id]) fail_at(place, "this rule is there twice");
  is_defined_[id] = true;
  rules_.rules[id].place = place;
  rules_.rules[id].body = std::move(body);
}

Rules RuleParser::finish(const std::string& root) {
  const auto start = ids_.find(root);
  if (start == ids_.end() || !is_defined_[start->second]) fail_at(0, fmt::format("there is no rule called {}", root));
  for (std::size_t id = 0; id < is_defined_.size(); ++id) {
    if (!is_defined_[id]) fail_at(rules_.rules[id].place, "this rule is not defined");
  }
  rules_.root = start->second;
  return std::move(rules_);
}

}  // namespace caudal::grammar
