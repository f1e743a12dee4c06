// Lark's grammar language, as its documentation has it.
#include <algorithm>

#include "common/grammar/automata/regex_program.h"
#include "common/grammar/rules/rule_parser.h"

namespace caudal::grammar {
namespace {

class LarkParser final : public RuleParser {
 public:
  using RuleParser::RuleParser;

  Rules parse() {
    for (skip(); !ends(); skip()) {
      take("%") ? directive() : definition();
    }
    ignore_between_terminals();
    return finish("start");
  }

 private:
  static bool is_terminal(std::string_view name) {
    return std::ranges::none_of(name, [](char c) { return c >= 'a' && c <= 'z'; });
  }

  // White space, line breaks and comments.
  void skip() {
    while (!ends()) {
      if (peek() == '#' || (peek() == '/' && peek(1) == '/')) {
        while (!ends() && peek() != '\n') ++at_;
      } else if (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n') {
        ++at_;
      } else {
        return;
      }
    }
  }
  // The same, but a line break counts unless the next line goes on with '|'.
  void skip_in_line() {
    const std::size_t begin = at_;
    skip();
    const bool has_line = text_.substr(begin, at_ - begin).find('\n') != std::string_view::npos;
    if (has_line && peek() != '|' && groups_ == 0) at_ = text_.find('\n', begin);
  }

  void directive() {
    const std::size_t place = at_ - 1;
    if (name() != "ignore") fail_at(place, "only %ignore is supported");
    skip_in_line();
    in_terminal_ = true;
    ignored_.push_back(alternatives());
  }

  void definition() {
    while (take("?") || take("!")) {
    }
    const std::size_t place = at_;
    const std::string name = this->name();
    if (name.empty()) fail("the name of a rule or terminal is missing");
    if (take(".") && !number()) fail("a priority is missing");
    if (peek() == '{') fail("templates are not supported");
    skip();
    if (!take(":")) fail("':' is missing");
    in_terminal_ = is_terminal(name);
    skip();
    define(name, place, alternatives());
    terminals_.resize(rules_.rules.size(), false);
    terminals_[rule_of(name, place)] = in_terminal_;
  }

  RegexNode alternatives() {
    const Nesting nesting(*this);
    RegexNode result = node(Kind::kAlternatives);
    do {
      result.children.push_back(sequence());
      skip_in_line();
    } while (take("|"));
    return result;
  }

  RegexNode sequence() {
    RegexNode result = node(Kind::kSequence);
    for (skip_in_line(); !ends() && std::string_view("|)]\n").find(peek()) == std::string_view::npos; skip_in_line()) {
      if (take("->")) {
        skip_in_line();
        name();
        continue;
      }
      result.children.push_back(repeated(item()));
    }
    return result;
  }

  RegexNode group(std::string_view end) {
    ++groups_;
    skip();
    RegexNode inner = alternatives();
    if (!take(end)) fail("a group has no end");
    --groups_;
    return inner;
  }

  RegexNode item() {
    const std::size_t place = at_;
    if (take("(")) return group(")");
    if (take("[")) return repeat(group("]"), 0, 1);
    if (peek() == '"') return terminal(text());
    if (peek() == '/') return terminal(expression());
    const std::string name = this->name();
    if (name.empty()) fail("a text, an expression, a group or a rule is missing");
    if (in_terminal_ && !is_terminal(name)) fail_at(place, "a terminal cannot refer to a rule");
    RegexNode result = node(Kind::kRule);
    result.min = rule_of(name, place);
    return result;
  }

  // In a rule; what is ignored may stand before it.
  RegexNode terminal(RegexNode inner) {
    if (in_terminal_) return inner;
    std::vector<RegexNode> parts;
    parts.push_back(std::move(inner));
    RegexNode result = node(Kind::kSequence, std::move(parts));
    result.max = kMarked;
    return result;
  }

  RegexNode text() {
    const std::string first = quoted('"');
    if (take("..")) {
      if (peek() != '"') fail("the end of a range is missing");
      const std::string last = quoted('"');
      RegexNode low = literal(first, false);
      const RegexNode high = literal(last, false);
      if (low.children.size() != 1 || high.children.size() != 1) fail("a range is from one character to another");
      const std::uint32_t from = low.children[0].characters.ranges()[0].first;
      const std::uint32_t to = high.children[0].characters.ranges()[0].first;
      if (to < from) fail("a range out of order");
      low.children[0].characters = CharacterClass(from, to).normalized();
      return low;
    }
    const bool any_case = peek() == 'i' && !is_name(peek(1)) && take("i");
    return literal(first, any_case);
  }

  RegexNode expression() {
    const std::size_t begin = ++at_;
    bool in_class = false;
    for (; peek() != '/' || in_class; ++at_) {
      if (ends() || peek() == '\n') fail_at(begin - 1, "an expression has no end");
      if (peek() == '[') in_class = true;
      if (peek() == ']') in_class = false;
      if (peek() == '\\') ++at_;
    }
    const std::string_view pattern = text_.substr(begin, at_++ - begin);
    bool any_case = false;
    bool any_line = false;
    for (; is_name(peek()); ++at_) {
      if (peek() != 'i' && peek() != 's') fail("this flag of an expression is not supported");
      (peek() == 'i' ? any_case : any_line) = true;
    }
    Result<RegexNode> parsed = parse_regex(pattern);
    if (!parsed) fail_at(begin, parsed.error().message);
    adapt(parsed.value(), any_case, any_line, begin);
    return std::move(parsed).value();
  }

  void adapt(RegexNode& inner, bool any_case, bool any_line, std::size_t place) const {
    const bool is_plain = inner.kind == Kind::kClass || inner.kind == Kind::kSequence || inner.kind == Kind::kRepeat ||
                          inner.kind == Kind::kAlternatives;
    if (!is_plain) fail_at(place, "anchors and look-ahead are not supported in a terminal");
    if (inner.kind == Kind::kClass && any_line && inner.is_dot) inner.characters = CharacterClass::any();
    if (inner.kind == Kind::kClass && any_case) inner.characters = inner.characters.both_cases();
    for (RegexNode& child : inner.children) adapt(child, any_case, any_line, place);
  }

  RegexNode repeated(RegexNode inner) {
    if (take("*")) return repeat(std::move(inner), 0, kNoBound);
    if (take("+")) return repeat(std::move(inner), 1, kNoBound);
    if (take("?")) return repeat(std::move(inner), 0, 1);
    const std::size_t begin = at_;
    skip_in_line();
    if (!take("~")) {
      at_ = begin;
      return inner;
    }
    skip();
    const auto min = number();
    if (!min) fail("a count is missing");
    const auto max = take("..") ? number() : min;
    if (!max || *max < *min) fail("the end of a count is missing or below its beginning");
    return repeat(std::move(inner), *min, *max);
  }

  // What is ignored may stand before every terminal of a rule, and behind the last one.
  void ignore_between_terminals() {
    if (ignored_.empty()) return;
    terminals_.resize(rules_.rules.size(), false);
    RegexNode ignored = repeat(node(Kind::kAlternatives, std::move(ignored_)), 0, kNoBound);
    const std::string name = "%ignore";  // no rule can be called so
    RegexNode call = node(Kind::kRule);
    call.min = rule_of(name, 0);
    define(name, 0, std::move(ignored));
    for (std::uint32_t id = 0; id < call.min; ++id) {
      if (terminals_[id]) continue;
      RegexNode& body = rules_.rules[id].body;
      add_ignored(body, call);
      if (rules_.rules[id].name != "start") continue;
      std::vector<RegexNode> parts;
      parts.push_back(std::move(body));
      parts.push_back(call);
      body = node(Kind::kSequence, std::move(parts));
    }
  }

  void add_ignored(RegexNode& inner, const RegexNode& call) {
    const bool is_call_of_terminal =
        inner.kind == Kind::kRule && inner.min < terminals_.size() && terminals_[inner.min];
    if (is_call_of_terminal || (inner.kind == Kind::kSequence && inner.max == kMarked)) {
      std::vector<RegexNode> parts{call};
      inner.max = 0;
      parts.push_back(std::move(inner));
      inner = node(Kind::kSequence, std::move(parts));
      return;
    }
    for (RegexNode& child : inner.children) add_ignored(child, call);
  }

  static constexpr std::uint32_t kMarked = 1;  // RegexNode::max of a sequence: a terminal within a rule

  bool in_terminal_ = false;
  int groups_ = 0;
  std::vector<RegexNode> ignored_;
  std::vector<bool> terminals_;  // by rule
};

}  // namespace

Result<Rules> parse_lark(std::string_view text) {
  try {
    return LarkParser(text).parse();
  } catch (const RuleFault& fault) {
    return error_at(text, fault.place, fault.message);
  }
}

}  // namespace caudal::grammar
