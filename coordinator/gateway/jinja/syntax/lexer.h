// Template text -> tokens. White space control happens here: `{%-`, `-%}`, `{%+`, `+%}`, and always
// Jinja's trim_blocks and lstrip_blocks, which published chat templates are written for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caudal::jinja {

enum class TokenKind {
  kData,           // text between tags
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kName,
  kString,   // unescaped
  kInteger,  // digits
  kReal,
  kSymbol,  // operator or bracket
  kEnd,
};

struct Token {
  TokenKind kind;
  std::string text;
  int line;  // 1-based
};

// Ends with a token of kind `end`. Throws TemplateError with the line of what it cannot read.
std::vector<Token> tokenize(std::string_view source);

}  // namespace caudal::jinja
