// The kinds of grammars, each with its machine.
#include "common/grammar/grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "common/grammar/regex_machine.h"
#include "common/grammar/rules/ebnf.h"
#include "common/grammar/rules/rule_machine.h"
#include "common/grammar/schema/compiler.h"
#include "common/grammar/schema_machine/schema_machine.h"
#include "common/grammar/tags/tag_machine.h"
#include "common/json/strict_json.h"
#include "common/text/unicode.h"

namespace caudal::grammar {
namespace {

using Compiled = Result<std::shared_ptr<const Grammar>>;

class SchemaGrammar final : public Grammar {
 public:
  SchemaGrammar(SchemaSet set, const GrammarLimits& limits)
      : set_(std::make_shared<const SchemaSet>(std::move(set))), limits_(limits) {}
  std::unique_ptr<Machine> machine() const override { return std::make_unique<SchemaMachine>(set_, limits_); }

 private:
  std::shared_ptr<const SchemaSet> set_;  // also its machines'
  GrammarLimits limits_;
};

class RegexGrammar final : public Grammar {
 public:
  RegexGrammar(RegexProgram program, const GrammarLimits& limits)
      : program_(std::make_shared<const RegexProgram>(std::move(program))), limits_(limits) {}
  std::unique_ptr<Machine> machine() const override {
    return std::make_unique<RegexMachine>(program_, limits_.max_states);
  }

 private:
  std::shared_ptr<const RegexProgram> program_;  // also its machines'
  GrammarLimits limits_;
};

class RuleGrammar final : public Grammar {
 public:
  RuleGrammar(RuleProgram program, std::uint32_t root, const GrammarLimits& limits)
      : program_(std::make_shared<const RuleProgram>(std::move(program))), root_(root), limits_(limits) {}
  std::unique_ptr<Machine> machine() const override { return std::make_unique<RuleMachine>(program_, root_, limits_); }

 private:
  std::shared_ptr<const RuleProgram> program_;  // also its machines'
  std::uint32_t root_;
  GrammarLimits limits_;
};

Compiled compile_schema_grammar(std::string_view text, const GrammarLimits& limits) {
  Result<SchemaSet> set = compile_schema(text, limits);
  if (!set) return set.error();
  auto grammar = std::make_shared<SchemaGrammar>(std::move(set).value(), limits);
  const std::unique_ptr<Machine> machine = grammar->machine();
  Arena arena;
  const State start = machine->start(arena);
  State next;
  const auto begins = [&](char c) { return machine->step(start, static_cast<std::uint8_t>(c), arena, next); };
  if (std::ranges::none_of(std::string_view("ntf-0123456789\"[{"), begins))
    return Error{"the schema: no value satisfies it", ""};
  return std::shared_ptr<const Grammar>(std::move(grammar));
}

Compiled compile_regex_grammar(std::string_view text, const GrammarLimits& limits) {
  Result<RegexProgram> program = compile_regex(text, RegexExtent::kWhole, limits.max_pattern_instructions);
  if (!program) return program.error();
  if (program.value().can_match[program.value().start] == 0) return Error{"no text matches the expression", ""};
  return std::shared_ptr<const Grammar>(std::make_shared<RegexGrammar>(std::move(program).value(), limits));
}

Compiled compile_rule_grammar(const Result<Rules>& rules, std::string_view text, const GrammarLimits& limits) {
  if (!rules) return rules.error();
  if (const Result<void> checked = check_rules(rules.value(), text); !checked) return checked.error();
  std::vector<RegexNode> bodies;
  for (const Rule& rule : rules.value().rules) bodies.push_back(rule.body);
  Result<RuleProgram> program = compile_rules(bodies, limits.max_pattern_instructions);
  if (!program) return program.error();
  auto grammar = std::make_shared<RuleGrammar>(std::move(program).value(), rules.value().root, limits);
  const std::unique_ptr<Machine> machine = grammar->machine();
  Arena arena;
  State next;
  bool begins = machine->is_complete(machine->start(arena), arena);
  for (int byte = 0; byte < 256 && !begins; ++byte)
    begins = machine->step(machine->start(arena), static_cast<std::uint8_t>(byte), arena, next);
  if (!begins) return Error{"the rules are too large for an automaton", ""};
  return std::shared_ptr<const Grammar>(std::move(grammar));
}

Compiled compile_choices(std::string_view text, const GrammarLimits& limits) {
  const auto list = parse_strict_json(text, {.max_depth = 1, .max_members = 0, .allows_nul = true});
  if (!list) return list.error();
  std::vector<std::string> words;
  if (!list.value().is_array() || list.value().get_array().empty()) return Error{"must be a list of choices", ""};
  for (const auto& word : list.value().get_array()) {
    if (!word.is_string() || word.get_string().empty())
      return Error{fmt::format("/{}: a choice must be a string that is not empty", words.size()),
                   fmt::format("/{}", words.size())};
    words.emplace_back(word.get_string());
  }
  return std::shared_ptr<const Grammar>(std::make_shared<RegexGrammar>(compile_words(words), limits));
}

class TagGrammar final : public Grammar {
 public:
  explicit TagGrammar(TagProgram program) : program_(std::make_shared<const TagProgram>(std::move(program))) {}
  std::unique_ptr<Machine> machine() const override { return std::make_unique<TagMachine>(program_); }

 private:
  std::shared_ptr<const TagProgram> program_;  // also its machines'
};

Compiled compile_tag_grammar(std::string_view text, const GrammarLimits& limits) {
  const CompilePart part = [&](GrammarKind kind, std::string_view written) -> Result<MakeMachine> {
    Compiled grammar = Grammar::compile(kind, written, limits);
    if (!grammar) return grammar.error();
    return MakeMachine([kept = std::move(grammar).value()] { return kept->machine(); });
  };
  Result<TagProgram> program = compile_tags(text, limits, part);
  if (!program) return program.error();
  return std::shared_ptr<const Grammar>(std::make_shared<TagGrammar>(std::move(program).value()));
}

}  // namespace

Result<std::shared_ptr<const Grammar>> Grammar::compile(GrammarKind kind, std::string_view text,
                                                        const GrammarLimits& limits) {
  if (text.size() > limits.max_text_bytes)
    return Error{fmt::format("the grammar has {} bytes; at most {} are allowed", text.size(), limits.max_text_bytes),
                 ""};
  if (!is_valid_utf8(text)) return Error{"the grammar is not UTF-8", ""};
  switch (kind) {
    case GrammarKind::kJsonSchema:
      return compile_schema_grammar(text, limits);
    case GrammarKind::kRegex:
      return compile_regex_grammar(text, limits);
    case GrammarKind::kChoices:
      return compile_choices(text, limits);
    case GrammarKind::kGbnf:
    case GrammarKind::kLark:
      return compile_rule_grammar(kind == GrammarKind::kGbnf ? parse_gbnf(text) : parse_lark(text), text, limits);
    case GrammarKind::kTags:
      return compile_tag_grammar(text, limits);
    case GrammarKind::kNone:
      break;
  }
  return Error{"an unknown kind of grammar", ""};
}

}  // namespace caudal::grammar
