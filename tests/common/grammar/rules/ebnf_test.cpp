// Both forms of EBNF: what their grammars accept, and what is refused where.
#include "common/grammar/rules/ebnf.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/common/grammar/accepts.h"

namespace caudal::grammar {
namespace {

bool accepts(GrammarKind kind, std::string_view grammar, std::string_view text) {
  const auto compiled = Grammar::compile(kind, grammar);
  EXPECT_TRUE(compiled) << grammar << "\n" << compiled.error().message;
  if (!compiled) return false;
  return accepts(*compiled.value(), text);
}

bool gbnf(std::string_view grammar, std::string_view text) { return accepts(GrammarKind::kGbnf, grammar, text); }
bool lark(std::string_view grammar, std::string_view text) { return accepts(GrammarKind::kLark, grammar, text); }

std::string refusal(GrammarKind kind, std::string_view grammar) {
  const auto compiled = Grammar::compile(kind, grammar);
  return compiled ? "" : compiled.error().message;
}

constexpr const char* kArithmetic = R"EBNF(# a comment
root  ::= expr "=" ws term "\n"
expr  ::= term ([-+*/] term)*
term  ::= ident | num |
          ("(" ws
           expr ")" ws)
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
)EBNF";

TEST(Gbnf, FollowsRules) {
  EXPECT_TRUE(gbnf(kArithmetic, "x1 +(3*y)=5\n"));
  EXPECT_TRUE(gbnf(kArithmetic, "((((x))))=5\n"));
  EXPECT_FALSE(gbnf(kArithmetic, "((x)=5\n"));
  EXPECT_FALSE(gbnf(kArithmetic, "x+=5\n"));
}

TEST(Gbnf, RepeatsAndClasses) {
  EXPECT_TRUE(gbnf(R"EBNF(root ::= "a"{2,3} [^b]{1} ("c" | "d")?)EBNF", "aa\xC3\xA9"));
  EXPECT_TRUE(gbnf(R"EBNF(root ::= "a"{2,3} [^b]{1} ("c" | "d")?)EBNF", "aaaxd"));
  EXPECT_FALSE(gbnf(R"EBNF(root ::= "a"{2,3} [^b]{1})EBNF", "aab"));
  EXPECT_TRUE(gbnf(R"EBNF(root ::= [\x41-\u0043\]] "\"" .)EBNF", "B\"\xF0\x9F\x98\x80"));
  EXPECT_TRUE(gbnf("root ::= (\"a\"*)* | \"\"", ""));
}

TEST(Gbnf, RightRecursionTakesNoStack) {
  EXPECT_TRUE(gbnf("root ::= \"a\" root | \"b\"", std::string(50'000, 'a') + "b"));
}

// a^n b^n, and texts that read the same backwards: against the definition.
TEST(Gbnf, CountsLikeAStack) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string a(random() % 6, 'a');
    const std::string b(random() % 6, 'b');
    EXPECT_EQ(gbnf("root ::= \"a\" root \"b\" | \"\"", a + b), a.size() == b.size());
    std::string text;
    for (std::size_t n = random() % 7; n > 0; --n) text += "ab"[random() % 2];
    EXPECT_EQ(gbnf("root ::= \"a\" root \"a\" | \"b\" root \"b\" | \"a\" | \"b\" | \"\"", text),
              std::equal(text.begin(), text.end(), text.rbegin()));
  }
}

TEST(Gbnf, SaysWhatItRefusesAndWhere) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"root ::= a\na ::= a \"x\" | \"y\"", "line 2, column 1: this rule begins with itself (left recursion)"},
      {"root ::= b root \"x\" | \"y\"\nb ::= \"z\"?",
       "line 1, column 1: this rule begins with itself (left recursion)"},
      {"root ::= \"a\"\nother ::= \"b\"", "line 2, column 1: this rule is not used"},
      {"root ::= \"a\" root", "line 1, column 1: this rule never ends"},
      {"root ::= missing", "line 1, column 10: this rule is not defined"},
      {"root ::= \"a", "line 1, column 10: a quoted text has no end"},
      {"root ::= (\"a\"", "line 1, column 14: a '(' without its ')'"},
      {"start ::= \"a\"", "line 1, column 1: there is no rule called root"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: this rule is there twice"},
      {"root ::= \"a\"{3,2}", "line 1, column 18: a count whose end is below its beginning"}};
  for (const auto& [grammar, message] : cases) EXPECT_EQ(refusal(GrammarKind::kGbnf, grammar), message);
  std::string nested = "root ::= ";
  for (int i = 0; i < 100'000; ++i) nested += "(";
  EXPECT_EQ(refusal(GrammarKind::kGbnf, nested), "line 1, column 110: nested too deeply");
  EXPECT_EQ(refusal(GrammarKind::kGbnf, "root ::= ((\"a\"{1000}){1000}){1000}"),
            "it is too large: it takes more than 50000 instructions");
}

// Chains of rules, whichever way they are written, take time in proportion.
TEST(Gbnf, LongChainsTakeLittle) {
  for (const bool forwards : {true, false}) {
    std::string rules = "root ::= r0\n";
    for (int i = 0; i < 20'000; ++i) {
      const int n = forwards ? i : 19'999 - i;
      rules += fmt::format("r{} ::= r{}\n", n, n + 1);
    }
    const auto compiled = Grammar::compile(GrammarKind::kGbnf, rules + "r20000 ::= \"a\"");
    EXPECT_TRUE(compiled) << compiled.error().message;
  }
}

constexpr const char* kCalls = R"EBNF(
start: call+
call: NAME "(" [args] ")" -> a_call
args: value ("," value)*
value: NUMBER | "true"i | call
NAME: /[a-z_]\w*/
NUMBER.2: "-"? ("0".."9")+ ("." /\d{1,3}/)?
%ignore /[ \t]+/
%ignore "#" /[^\n]*/ "\n"
)EBNF";

TEST(Lark, FollowsRulesAndTerminals) {
  EXPECT_TRUE(lark(kCalls, "f(1, -2.50,TRUE)"));
  EXPECT_TRUE(lark(kCalls, "  f ( g( ) , h(1) )   k() "));
  EXPECT_TRUE(lark(kCalls, "f(# one\n 1)"));
  EXPECT_FALSE(lark(kCalls, "f(1,)"));
  EXPECT_FALSE(lark(kCalls, "f(1 2)"));
  EXPECT_FALSE(lark(kCalls, "f(1.2345)"));
}

TEST(Lark, CountsAndFlags) {
  EXPECT_TRUE(lark("start: \"a\" ~ 2..3 \"b\"~1", "aab"));
  EXPECT_FALSE(lark("start: \"a\" ~ 2..3", "aaaa"));
  EXPECT_TRUE(lark("start: /a.c/is", "A\nC"));
  EXPECT_FALSE(lark("start: /a.c/", "a\nc"));
  EXPECT_TRUE(lark("?start: A\n     | B // a comment\nA: \"a\"\nB: \"b\"", "b"));
}

TEST(Lark, SaysWhatItRefusesAndWhere) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"start: \"a\"\n%import common.WS", "line 2, column 1: only %ignore is supported"},
      {"start: a\na: a \"x\" | \"y\"", "line 2, column 1: this rule begins with itself (left recursion)"},
      {"start: /a(?=b)/", "line 1, column 9: anchors and look-ahead are not supported in a terminal"},
      {"start: /a/x", "line 1, column 11: this flag of an expression is not supported"},
      {"start: A\nA: b\nb: \"c\"", "line 2, column 4: a terminal cannot refer to a rule"},
      {"start: \"a\"\nA: \"b\"", "line 2, column 1: this rule is not used"}};
  for (const auto& [grammar, message] : cases) EXPECT_EQ(refusal(GrammarKind::kLark, grammar), message);
}

}  // namespace
}  // namespace caudal::grammar
