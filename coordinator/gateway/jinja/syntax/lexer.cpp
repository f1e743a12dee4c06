#include "coordinator/gateway/jinja/syntax/lexer.h"

#include <algorithm>
#include <array>

#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

bool ascii_digit(char c) { return c >= '0' && c <= '9'; }
bool name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0; }
bool name_part(char c) { return name_start(c) || ascii_digit(c); }

// One kind of line end, and without the last one, as Jinja does by default.
std::string normalise(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalise(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) text_until_tag();
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }
  bool looking_at(std::string_view text) const { return rest().starts_with(text); }
  void add(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  void advance(std::size_t bytes) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes), '\n'));
    at_ += bytes;
  }
  void skip_space() { advance(rest().size() - strip_left(rest()).size()); }

  std::size_t next_tag() const;
  void text_until_tag();
  void add_text(std::size_t end, char sign, bool strips_line);
  bool raw_tag();
  std::size_t keyword_tag(std::string_view keyword, std::size_t at) const;
  void comment();
  void expression(TokenKind begin);
  bool tag_end(TokenKind begin);
  void expression_token();
  void string_token(char quote);
  void number_token();
  void symbol_token();
  void balance(char symbol);

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
  std::string open_;  // closing brackets still expected inside the current tag
};

std::size_t Lexer::next_tag() const {
  for (std::size_t i = source_.find('{', at_); i != std::string::npos; i = source_.find('{', i + 1)) {
    const char kind = i + 1 < source_.size() ? source_[i + 1] : '\0';
    if (kind == '{' || kind == '%' || kind == '#') return i;
  }
  return source_.size();
}

// Emits [at_, end) as the text before a tag, stripped as the tag's sign or lstrip_blocks demands.
void Lexer::add_text(std::size_t end, char sign, bool strips_line) {
  std::string_view text = std::string_view(source_).substr(at_, end - at_);
  const bool starts_line = at_ == 0 || source_[at_ - 1] == '\n';
  if (sign == '-') {
    text = strip_right(text);
  } else if (sign != '+' && strips_line) {
    const std::size_t line_start = text.rfind('\n') + 1;  // 0 when there is none
    if ((line_start > 0 || starts_line) && strip_left(text.substr(line_start)).empty()) {
      text = text.substr(0, line_start);
    }
  }
  if (!text.empty()) add(TokenKind::kData, std::string(text));
  advance(end - at_);
}

void Lexer::text_until_tag() {
  const std::size_t tag = next_tag();
  if (tag == source_.size()) return add_text(tag, '+', false);
  const char kind = source_[tag + 1];
  const char after = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
  const char sign = after == '-' || after == '+' ? after : '\0';
  add_text(tag, sign, kind != '{');
  if (kind == '%' && raw_tag()) return;
  advance(sign ? 3 : 2);
  if (kind == '#') return comment();
  expression(kind == '%' ? TokenKind::kBlockBegin : TokenKind::kVariableBegin);
}

// The bytes of the tag `{% keyword` at `at`, up to where its end mark begins; 0 if it is another tag.
std::size_t Lexer::keyword_tag(std::string_view keyword, std::size_t at) const {
  std::string_view tag = std::string_view(source_).substr(at);
  if (!tag.starts_with("{%")) return 0;
  const std::size_t size = tag.size();
  tag.remove_prefix(2);
  if (tag.starts_with('-') || tag.starts_with('+')) tag.remove_prefix(1);
  tag = strip_left(tag);
  if (!tag.starts_with(keyword)) return 0;
  tag = strip_left(tag.substr(keyword.size()));
  return size - tag.size();
}

bool Lexer::raw_tag() {
  const std::size_t begin = keyword_tag("raw", at_);
  const std::string_view mark = begin ? std::string_view(source_).substr(at_ + begin) : "";
  if (!mark.starts_with("-%}") && !mark.starts_with("%}")) return false;
  const int line = line_;
  advance(begin + (mark[0] == '-' ? 3 : 2));
  if (mark[0] == '-') skip_space();
  for (std::size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
    const std::size_t end = keyword_tag("endraw", tag);
    const std::string_view end_mark = end ? std::string_view(source_).substr(tag + end) : "";
    if (!end_mark.starts_with("%}") && !end_mark.starts_with("-%}") && !end_mark.starts_with("+%}")) continue;
    add_text(tag, source_[tag + 2], true);
    advance(end);
    tag_end(TokenKind::kBlockBegin);
    tokens_.pop_back();
    return true;
  }
  fail("'raw' is never closed", line);
}

void Lexer::comment() {
  const std::size_t end = source_.find("#}", at_);
  if (end == std::string::npos) fail("a comment is never closed", line_);
  const char sign = end > at_ ? source_[end - 1] : '\0';
  advance(end + 2 - at_);
  if (sign == '-') {
    skip_space();
  } else if (sign != '+' && looking_at("\n")) {
    advance(1);
  }
}

void Lexer::expression(TokenKind begin) {
  add(begin, "");
  const int line = line_;
  open_.clear();
  while (!tag_end(begin)) {
    if (at_ >= source_.size()) fail("a tag is never closed", line);
    expression_token();
  }
}

// Reads the end of a tag, with the white space it swallows. Inside brackets `}}` is no tag end.
bool Lexer::tag_end(TokenKind begin) {
  if (!open_.empty()) return false;
  const bool block = begin == TokenKind::kBlockBegin;
  const std::string_view mark = block ? "%}" : "}}";
  const bool dash = looking_at("-") && rest().substr(1).starts_with(mark);
  const bool plus = block && looking_at("+") && rest().substr(1).starts_with(mark);
  if (!dash && !plus && !looking_at(mark)) return false;
  add(block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, "");
  advance(dash || plus ? 3 : 2);
  if (dash) skip_space();
  if (!dash && !plus && block && looking_at("\n")) advance(1);
  return true;
}

void Lexer::expression_token() {
  const char c = source_[at_];
  std::size_t peek = at_;
  if (is_space(next_code_point(source_, peek))) return skip_space();
  if (c == '\'' || c == '"') return string_token(c);
  if (ascii_digit(c)) return number_token();
  if (!name_start(c)) return symbol_token();
  const auto end = std::find_if_not(source_.begin() + static_cast<std::ptrdiff_t>(at_), source_.end(), name_part);
  const std::string name(source_.begin() + static_cast<std::ptrdiff_t>(at_), end);
  add(TokenKind::kName, name);
  advance(name.size());
}

// Digits, perhaps a fraction and an exponent. After a dot (`a.0.1`) only digits: an index.
void Lexer::number_token() {
  const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
  std::size_t end = at_;
  std::string text;
  const auto digit_at = [&](std::size_t i) { return i < source_.size() && ascii_digit(source_[i]); };
  const auto digits = [&] {
    while (digit_at(end) || (end < source_.size() && source_[end] == '_' && digit_at(end + 1))) {
      if (source_[end] != '_') text += source_[end];
      ++end;
    }
  };
  digits();
  bool real = false;
  if (!after_dot && end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
    real = true;
    text += source_[end++];
    digits();
  }
  if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
    const bool sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
    if (digit_at(end + 1 + (sign ? 1 : 0))) {
      real = true;
      text += source_[end++];
      if (sign) text += source_[end++];
      digits();
    }
  }
  if (!real && text.size() > 1 && text[0] == '0' && text.find_first_not_of('0') != std::string::npos) {
    fail("a number must not begin with 0", line_);
  }
  add(real ? TokenKind::kReal : TokenKind::kInteger, text);
  advance(end - at_);
}

// The value of the escape after a backslash at text[i]; moves `i` past it. As Python's string
// literals have them, except \N{name}; an unknown escape stays as it is.
void append_unescaped(std::string& out, std::string_view text, std::size_t& i, int line) {
  static constexpr std::string_view kLetters = "abfnrtv\\'\"";
  static constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"";
  const char c = text[i++];
  if (c == '\n') return;
  if (const std::size_t known = kLetters.find(c); known != std::string_view::npos) {
    out += kValues[known];
    return;
  }
  const bool octal = c >= '0' && c <= '7';
  const std::size_t width = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  if (!octal && width == 0) {
    out += '\\';
    out += c;
    return;
  }
  if (octal) --i;
  const std::string_view alphabet = octal ? std::string_view("01234567") : std::string_view("0123456789abcdefABCDEF");
  const std::size_t max_digits = octal ? 3 : width;
  std::size_t count = 0;
  while (count < max_digits && i + count < text.size() && alphabet.find(text[i + count]) != std::string_view::npos) {
    ++count;
  }
  if (!octal && count < width) fail("a string holds a truncated \\x, \\u or \\U escape", line);
  const unsigned long value = std::stoul(std::string(text.substr(i, count)), nullptr, octal ? 8 : 16);
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail("a string holds an invalid escape", line);
  append_code_point(out, static_cast<char32_t>(value));
  i += count;
}

void Lexer::string_token(char quote) {
  std::size_t end = at_ + 1;
  while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) fail("a string is never closed", line_);
  const std::string_view body = std::string_view(source_).substr(at_ + 1, end - at_ - 1);
  std::string text;
  for (std::size_t i = 0; i < body.size();) {
    if (body[i] == '\\') {
      append_unescaped(text, body, ++i, line_);
    } else {
      text += body[i++];
    }
  }
  add(TokenKind::kString, std::move(text));
  advance(end + 1 - at_);
}

void Lexer::symbol_token() {
  static constexpr std::array<std::string_view, 6> kPairs = {"//", "**", "==", "!=", ">=", "<="};
  static constexpr std::string_view kSingles = "+-*/%~[](){}><=.:|,;";
  const std::string_view two = rest().substr(0, 2);
  if (std::find(kPairs.begin(), kPairs.end(), two) != kPairs.end()) {
    add(TokenKind::kSymbol, std::string(two));
    return advance(2);
  }
  const char c = source_[at_];
  if (kSingles.find(c) == std::string_view::npos) fail(std::string("unexpected character '") + c + "'", line_);
  balance(c);
  add(TokenKind::kSymbol, std::string(1, c));
  advance(1);
}

void Lexer::balance(char symbol) {
  static constexpr std::string_view kOpening = "([{";
  static constexpr std::string_view kClosing = ")]}";
  if (const std::size_t bracket = kOpening.find(symbol); bracket != std::string_view::npos) {
    open_ += kClosing[bracket];
  } else if (kClosing.find(symbol) != std::string_view::npos) {
    if (open_.empty() || open_.back() != symbol) fail(std::string("unexpected '") + symbol + "'", line_);
    open_.pop_back();
  }
}

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace caudal::jinja
