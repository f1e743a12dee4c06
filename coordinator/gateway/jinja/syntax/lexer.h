// Template text -> tokens. White space control happens here: `{%-`, `-%}`, `{%+`, `+%}`, and always
// Jinja's trim_blocks and lstrip_blocks, which published chat templates are written for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caudal::jinja {

enum class TokenKind {
  data,            // text between tags
  block_begin,     // {%
  block_end,       // %}
  variable_begin,  // {{
  variable_end,    // }}
  name,
  string,   // unescaped
  integer,  // digits
  real,
  symbol,  // operator or bracket
  end,
};

struct Token {
  TokenKind kind;
  std::string text;
  int line;  // 1-based
};

// Ends with a token of kind `end`. Throws TemplateError with the line of what it cannot read.
std::vector<Token> tokenize(std::string_view source);

}  // namespace caudal::jinja
