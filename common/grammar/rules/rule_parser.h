// What the parsers of both forms of EBNF have in common. They throw RuleFault.
#pragma once

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/grammar/rules/ebnf.h"

namespace caudal::grammar {

struct RuleFault {
  std::string message;
  std::size_t place;
};

class RuleParser {
 public:
  explicit RuleParser(std::string_view text) : text_(text) {}

 protected:
  using Kind = RegexNode::Kind;

  [[noreturn]] void fail(std::string_view message) const { throw RuleFault{std::string(message), at_}; }
  [[noreturn]] static void fail_at(std::size_t place, std::string_view message) {
    throw RuleFault{std::string(message), place};
  }

  bool ends() const { return at_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool take(std::string_view word);
  static bool is_name(char c);
  std::string name();  // empty where there is none
  std::optional<std::uint32_t> number();

  static RegexNode node(Kind kind, std::vector<RegexNode> children = {});
  static RegexNode character(char32_t c);
  static RegexNode repeat(RegexNode node, std::uint32_t min, std::uint32_t max);
  // A sequence of the characters of UTF-8 text.
  static RegexNode literal(std::string_view text, bool any_case);
  // Between two of this quote, with escapes.
  std::string quoted(char quote);
  char32_t escaped_character();  // behind the backslash
  char32_t one_character();      // of the text

  // The rule of this name, which may be defined later.
  std::uint32_t rule_of(const std::string& name, std::size_t place);
  void define(const std::string& name, std::size_t place, RegexNode body);
  // All rules that were named must be defined.
  Rules finish(const std::string& root);

  class Nesting {
   public:
    explicit Nesting(RuleParser& parser) : parser_(parser) {
      if (++parser.nesting_ > 100) parser.fail("nested too deeply");
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    RuleParser& parser_;
  };

  std::string_view text_;
  std::size_t at_ = 0;
  Rules rules_;

 private:
  std::map<std::string, std::uint32_t> ids_;
  std::vector<bool> is_defined_;
  int nesting_ = 0;
};

}  // namespace caudal::grammar
