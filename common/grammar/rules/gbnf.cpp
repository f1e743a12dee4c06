// GBNF, as llama.cpp documents it.
#include "common/grammar/automata/regex_program.h"
#include "common/grammar/rules/rule_parser.h"

namespace caudal::grammar {
namespace {

class GbnfParser final : public RuleParser {
 public:
  using RuleParser::RuleParser;

  Rules parse() {
    for (skip(true); !ends(); skip(true)) {
      const std::size_t place = at_;
      const std::string name = this->name();
      if (name.empty()) fail("the name of a rule is missing");
      skip(false);
      if (!take("::=")) fail("'::=' is missing");
      skip(true);
      define(name, place, alternatives(false));
      if (!ends() && peek() != '\n') fail("a rule ends with its line");
    }
    return finish("root");
  }

 private:
  // White space and comments; in parentheses also line breaks.
  void skip(bool lines) {
    while (!ends()) {
      if (peek() == '#') {
        while (!ends() && peek() != '\n') ++at_;
      } else if (peek() == ' ' || peek() == '\t' || peek() == '\r' || (lines && peek() == '\n')) {
        ++at_;
      } else {
        return;
      }
    }
  }

  RegexNode alternatives(bool in_group) {
    const Nesting nesting(*this);
    RegexNode result = node(Kind::kAlternatives);
    do {
      skip(true);
      result.children.push_back(sequence(in_group));
      skip(in_group);
    } while (take("|"));
    return result;
  }

  RegexNode sequence(bool in_group) {
    RegexNode result = node(Kind::kSequence);
    for (skip(in_group); !ends() && peek() != '|' && peek() != ')' && peek() != '\n'; skip(in_group))
      result.children.push_back(repeated(item()));
    return result;
  }

  RegexNode item() {
    if (peek() == '"') return literal(quoted('"'), false);
    if (take("[")) return bracket();
    if (take(".")) return {.kind = Kind::kClass, .characters = CharacterClass::any(), .children = {}};
    if (take("(")) {
      RegexNode group = alternatives(true);
      if (!take(")")) fail("a '(' without its ')'");
      return group;
    }
    const std::size_t place = at_;
    const std::string name = this->name();
    if (name.empty()) fail("a text, a class, a group or a rule is missing");
    RegexNode result = node(Kind::kRule);
    result.min = rule_of(name, place);
    return result;
  }

  RegexNode bracket() {
    const std::size_t begin = at_ - 1;
    const bool is_negated = take("^");
    CharacterClass characters;
    while (!take("]")) {
      if (ends()) fail_at(begin, "a '[' without its ']'");
      const char32_t first = take("\\") ? escaped_character() : one_character();
      char32_t last = first;
      if (peek() == '-' && peek(1) != ']' && at_ + 1 < text_.size()) {
        ++at_;
        last = take("\\") ? escaped_character() : one_character();
        if (last < first) fail("a range out of order");
      }
      characters.add(first, last);
    }
    return {.kind = Kind::kClass,
            .characters = is_negated ? characters.complement() : characters.normalized(),
            .children = {}};
  }

  RegexNode repeated(RegexNode inner) {
    while (true) {
      if (take("*")) {
        inner = repeat(std::move(inner), 0, kNoBound);
      } else if (take("+")) {
        inner = repeat(std::move(inner), 1, kNoBound);
      } else if (take("?")) {
        inner = repeat(std::move(inner), 0, 1);
      } else if (take("{")) {
        const std::uint32_t min = number().value_or(0);
        const std::uint32_t max = take(",") ? number().value_or(kNoBound) : min;
        if (!take("}")) fail("a '{' without its '}'");
        if (min > max) fail("a count whose end is below its beginning");
        inner = repeat(std::move(inner), min, max);
      } else {
        return inner;
      }
    }
  }
};

}  // namespace

Result<Rules> parse_gbnf(std::string_view text) {
  try {
    return GbnfParser(text).parse();
  } catch (const RuleFault& fault) {
    return error_at(text, fault.place, fault.message);
  }
}

}  // namespace caudal::grammar
