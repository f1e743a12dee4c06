// Errors name their line and their cause.
#include <gtest/gtest.h>

#include "tests/coordinator/gateway/jinja/render.h"

namespace caudal::jinja {
namespace {

struct Malformed {
  const char* source;
  int line;
  const char* message;
};

TEST(Syntax, MalformedTemplatesNameTheLine) {
  const Malformed cases[] = {
      {"a\n{{ 1 + }}", 2, "expected an expression, got end of the expression"},
      {"a\nb\n{{ x", 3, "a tag is never closed"},
      {"\n{% if x %}\n", 2, "expected 'endif', got end of the template"},
      {"{% for x y %}", 1, "expected 'in', got 'y'"},
      {"\n{# x", 2, "a comment is never closed"},
      {"\n\n{% raw %} x", 3, "'raw' is never closed"},
      {"{{ 'abc }}", 1, "a string is never closed"},
      {"{{ (1] }}", 1, "unexpected ']'"},
      {"\n{% nonsense %}", 2, "unknown tag 'nonsense'"},
      {"{% endif %}", 1, "unknown tag 'endif'"},
      {"{% break %}", 1, "'break' outside of a loop"},
      {"{{ 99999999999999999999 }}", 1, "an integer is too large"},
      {"{{ f(a=1, 2) }}", 1, "a positional argument follows a named one"},
      {"{% set none = 1 %}", 1, "cannot assign to 'none'"},
      {"{% macro f(a=1, b) %}{% endmacro %}", 1, "a parameter without default follows one with a default"},
      {"{{ '\\ud800' }}", 1, "a string holds an invalid escape"},
      {"{{ $ }}", 1, "unexpected character '$'"},
      {"\xff", 0, "the chat template is not valid UTF-8"},
  };
  for (const auto& [source, line, message] : cases) {
    const Outcome outcome = render(source);
    EXPECT_FALSE(outcome.ok) << source;
    EXPECT_EQ(outcome.text, message) << source;
    EXPECT_EQ(outcome.line, line) << source;
  }
}

TEST(Syntax, FailuresWhileRenderingNameTheLine) {
  const Malformed cases[] = {
      {"a\n{{ nope.x }}", 2, "'nope' is undefined"},
      {"\n\n{{ 'a' + 1 }}", 3, "an operator cannot combine str and int"},
      {"{{ 1 // 0 }}", 1, "division by zero"},
      {"\n{{ 1 | nope }}", 2, "there is no filter 'nope'"},
      {"{{ 1 is nope }}", 1, "there is no test 'nope'"},
      {"{{ 9223372036854775807 + 1 }}", 1, "an integer is too large"},
      {"{% set a, b = [1] %}", 1, "cannot unpack a value: wrong number of items"},
      {"{% set a.b = 1 %}", 1, "cannot assign to an attribute of anything but a namespace"},
      {"{{ {}['key'].x }}", 1, "'key' is undefined"},
      {"{{ raise_exception('no: ' ~ 3) }}", 1, "no: 3"},
  };
  for (const auto& [source, line, message] : cases) {
    const Outcome outcome = render(source);
    EXPECT_FALSE(outcome.ok) << source;
    EXPECT_EQ(outcome.text, message) << source;
    EXPECT_EQ(outcome.line, line) << source;
  }
}

TEST(Syntax, LineEndsAndTheLastOne) {
  EXPECT_EQ(render("a\r\nb\rc\n").text, "a\nb\nc");
  EXPECT_EQ(render("a\n\n").text, "a\n");
  EXPECT_EQ(render("").text, "");
}

TEST(Syntax, IntegersOfTheInputBeyond64BitsAreRefused) {
  EXPECT_EQ(render("{{ x }}", {{"x", UINT64_MAX}}).text, "an integer of the input needs more than 64 bits");
}

}  // namespace
}  // namespace caudal::jinja
