// Formats are read from their end to their beginning: each is compiled with the instruction that follows it.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "common/grammar/rules/ebnf_kind.h"
#include "common/grammar/tags/structures.h"
#include "common/grammar/tags/tag_program.h"
#include "common/json/json_node.h"
#include "common/json/strict_json.h"

namespace caudal::grammar {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxParts = 4096;                // grammars of one format
constexpr std::string_view kWritten = "\xEF\xBF\xBF";  // U+FFFF, how JSON writes kSpecialToken

std::string with_special_tokens(std::string_view text) {
  std::string result(text);
  for (auto at = result.find(kWritten); at != std::string::npos; at = result.find(kWritten, at + 1))
    result.replace(at, kWritten.size(), 1, kSpecialToken);
  return result;
}

class TagCompiler {
 public:
  using Op = TagInstruction::Op;

  TagCompiler(const GrammarLimits& limits, const CompilePart& compile) : limits_(limits), compile_part_(compile) {}

  TagProgram compile(const JsonNode& root) {
    const std::uint32_t match = add({.op = Op::kMatch}, root);
    const bool has_format = root.has("format");
    program_.start = has_format ? format(root.at("format"), match) : structures(root, match);
    return std::move(program_);
  }

 private:
  std::uint32_t add(const TagInstruction& instruction, const JsonNode& at) {
    if (program_.code.size() >= limits_.max_pattern_instructions) at.fail("It is too large.");
    program_.code.push_back(instruction);
    return static_cast<std::uint32_t>(program_.code.size() - 1);
  }

  std::uint32_t literal(std::string_view text, std::uint32_t next, const JsonNode& at) {
    for (auto byte = text.rbegin(); byte != text.rend(); ++byte)
      next = add({.op = Op::kByte, .byte = static_cast<std::uint8_t>(*byte), .next = next}, at);
    return next;
  }

  std::uint32_t any_of(const std::vector<std::uint32_t>& ways, const JsonNode& at) {
    std::uint32_t result = ways.back();
    for (auto way = ways.rbegin() + 1; way != ways.rend(); ++way)
      result = add({.op = Op::kSplit, .next = *way, .other = result}, at);
    return result;
  }

  using Words = std::vector<std::pair<std::string, std::uint32_t>>;
  std::uint32_t text(const Words& words, std::uint32_t next, const JsonNode& at) {
    program_.texts.emplace_back(words);
    num_text_states_ += program_.texts.back().num_states();
    if (num_text_states_ > limits_.max_pattern_instructions) at.fail("It is too large.");
    const auto index = static_cast<std::uint32_t>(program_.texts.size() - 1);
    return add({.op = Op::kText, .next = next, .index = index}, at);
  }

  std::uint32_t grammar(GrammarKind kind, const std::string& text, const JsonNode& at, std::uint32_t next) {
    if (program_.grammars.size() >= kMaxParts) at.fail("There are too many grammars.");
    Result<MakeMachine> part = compile_part_(kind, text);
    if (!part) at.fail(part.error().message);
    program_.grammars.push_back(std::move(part).value());
    const auto index = static_cast<std::uint32_t>(program_.grammars.size() - 1);
    return add({.op = Op::kGrammar, .next = next, .index = index}, at);
  }

  // A text, or a list of at least one.
  static std::vector<std::string> texts(const JsonNode& node, bool may_be_empty = false) {
    std::vector<std::string> result;
    if (node.is_string()) {
      result.push_back(with_special_tokens(node.string()));
    } else {
      for (std::size_t i = 0; i < node.size(); ++i) result.push_back(with_special_tokens(node.at(i).string()));
    }
    if (result.empty()) node.fail("It must hold at least one text.");
    if (!may_be_empty && std::ranges::find(result, "") != result.end()) node.fail("It must not be empty.");
    return result;
  }

  static Words excluded(const JsonNode& node) {
    Words words;
    const std::optional<JsonNode> excludes = node.find("excludes");
    if (excludes && !(excludes->is_array() && excludes->size() == 0)) {
      for (std::string& word : texts(*excludes)) words.emplace_back(std::move(word), TagProgram::kForbidden);
    }
    return words;
  }

  static void check_members(const JsonNode& node, std::initializer_list<std::string_view> known) {
    for (const auto& [name, value] : node.object()) {
      if (name != "type" && std::ranges::find(known, std::string_view(name)) == known.end())
        node.fail_at(name, "It is not supported here.");
    }
  }

  std::uint32_t format(const JsonNode& node, std::uint32_t next) {
    const std::string_view type = node.at("type").string();
    if (type == "sequence" || type == "or") return elements(node, type == "or", next);
    if (type == "tag") return tag(node, 0, next);
    if (type == "triggered_tags") return triggered_tags(node, next);
    if (type == "tags_with_separator") return separated_tags(node, next);
    if (type == "optional" || type == "plus" || type == "star") return repeated(node, type, next);
    if (type == "const_string") {
      check_members(node, {"value"});
      return literal(with_special_tokens(node.at("value").string()), next, node);
    }
    if (type == "any_text") {
      check_members(node, {"excludes"});
      return text(excluded(node), next, node);
    }
    return grammar_of(node, type, next);
  }

  std::uint32_t grammar_of(const JsonNode& node, std::string_view type, std::uint32_t next) {
    if (type == "json_schema") {
      check_members(node, {"json_schema", "style"});
      if (node.text("style", "json") != "json") node.fail_at("style", "Only 'json' is supported.");
      const JsonNode schema = node.at("json_schema");
      return grammar(GrammarKind::kJsonSchema, json::serialize(schema.value()), schema, next);
    }
    if (type == "choices") {
      check_members(node, {"choices"});
      const JsonNode choices = node.at("choices");
      return grammar(GrammarKind::kChoices, json::serialize(choices.value()), choices, next);
    }
    const bool is_regex = type == "regex";
    if (!is_regex && type != "grammar" && type != "lark") node.fail_at("type", "This type is not supported.");
    const std::string_view member = is_regex ? "pattern" : "grammar";
    check_members(node, {member});
    const JsonNode written = node.at(member);
    const GrammarKind kind = is_regex         ? GrammarKind::kRegex
                             : type == "lark" ? GrammarKind::kLark
                                              : kind_of_ebnf(written.string());
    return grammar(kind, std::string(written.string()), written, next);
  }

  std::uint32_t elements(const JsonNode& node, bool is_any, std::uint32_t next) {
    check_members(node, {"elements"});
    const JsonNode list = node.at("elements");
    if (list.size() == 0) list.fail("It must hold at least one format.");
    std::vector<std::uint32_t> ways;
    for (std::size_t i = list.size(); i-- > 0;) {
      const std::uint32_t begin = format(list.at(i), next);
      if (is_any) {
        ways.insert(ways.begin(), begin);
      } else {
        next = begin;
      }
    }
    return is_any ? any_of(ways, node) : next;
  }

  std::uint32_t repeated(const JsonNode& node, std::string_view type, std::uint32_t next) {
    check_members(node, {"content"});
    if (type == "optional") return any_of({format(node.at("content"), next), next}, node);
    const std::uint32_t again = add({.op = Op::kSplit, .other = next}, node);
    const std::uint32_t content = format(node.at("content"), again);
    program_.code[again].next = content;
    return type == "star" ? again : content;
  }

  // Without the first `num_begun` bytes of its begin.
  std::uint32_t tag(const JsonNode& node, std::size_t num_begun, std::uint32_t next) {
    check_members(node, {"begin", "content", "end"});
    if (node.has("type") && node.at("type").string() != "tag") node.fail_at("type", "It must be 'tag'.");
    const std::string begin = with_special_tokens(node.at("begin").string());
    const std::vector<std::string> ends = texts(node.at("end"), true);
    const JsonNode content = node.at("content");
    const bool is_text = content.at("type").string() == "any_text" && ends.front() != "";
    std::uint32_t body = 0;
    if (is_text) {
      check_members(content, {"excludes"});
      Words words = excluded(content);
      for (const std::string& end : ends) words.emplace_back(end, next);
      if (std::ranges::find(ends, "") != ends.end()) node.fail_at("end", "It must not be empty.");
      body = text(words, kNowhere, content);
    } else {
      std::vector<std::uint32_t> ways;
      ways.reserve(ends.size());
      for (const std::string& end : ends) ways.push_back(literal(end, next, node));
      body = format(content, any_of(ways, node));
    }
    return literal(std::string_view(begin).substr(num_begun), body, node);
  }

  // Free text, and tags wherever it has one of their triggers.
  std::uint32_t triggered_tags(const JsonNode& node, std::uint32_t next) {
    check_members(node, {"triggers", "tags", "at_least_one", "stop_after_first", "excludes"});
    const std::vector<std::string> triggers = texts(node.at("triggers"));
    const bool stops = node.flag("stop_after_first", false);
    // Behind a tag there is text again, which is compiled when all else is.
    const std::uint32_t behind = add({.op = Op::kSplit, .other = next}, node);
    Words words = excluded(node);
    for (const std::string& trigger : triggers)
      words.emplace_back(trigger, tags_behind(node.at("tags"), trigger, stops ? next : behind));
    check_triggers(node.at("tags"), triggers);
    const std::uint32_t free = text(words, next, node);
    program_.code[behind].next = free;
    return node.flag("at_least_one", false) ? text(words, kNowhere, node) : free;
  }

  std::uint32_t tags_behind(const JsonNode& tags, const std::string& trigger, std::uint32_t next) {
    std::vector<std::uint32_t> ways;
    for (std::size_t i = 0; i < tags.size(); ++i) {
      if (with_special_tokens(tags.at(i).at("begin").string()).starts_with(trigger))
        ways.push_back(tag(tags.at(i), trigger.size(), next));
    }
    return ways.empty() ? TagProgram::kForbidden : any_of(ways, tags);
  }

  static void check_triggers(const JsonNode& tags, const std::vector<std::string>& triggers) {
    for (std::size_t i = 0; i < tags.size(); ++i) {
      const std::string begin = with_special_tokens(tags.at(i).at("begin").string());
      if (std::ranges::none_of(triggers, [&](const auto& trigger) { return begin.starts_with(trigger); }))
        tags.at(i).fail_at("begin", "It must begin with one of the triggers.");
    }
  }

  std::uint32_t separated_tags(const JsonNode& node, std::uint32_t next) {
    check_members(node, {"tags", "separator", "at_least_one", "stop_after_first"});
    const JsonNode tags = node.at("tags");
    if (tags.size() == 0) tags.fail("It must hold at least one tag.");
    const std::uint32_t behind = add({.op = Op::kSplit, .other = next}, node);
    const std::uint32_t after = node.flag("stop_after_first", false) ? next : behind;
    std::vector<std::uint32_t> ways;
    for (std::size_t i = 0; i < tags.size(); ++i) ways.push_back(tag(tags.at(i), 0, after));
    const std::uint32_t first = any_of(ways, node);
    const std::uint32_t separator = literal(with_special_tokens(node.at("separator").string()), first, node);
    program_.code[behind].next = separator;
    return node.flag("at_least_one", false) ? first : any_of({first, next}, node);
  }

  std::uint32_t structures(const JsonNode& root, std::uint32_t next) {
    written_ = format_of_structures(root);
    return format(JsonNode(written_), next);
  }

  const GrammarLimits& limits_;
  const CompilePart& compile_part_;
  TagProgram program_;
  std::size_t num_text_states_ = 0;
  json::value written_;  // an older form in the words of the newer
};

}  // namespace

Result<TagProgram> compile_tags(std::string_view text, const GrammarLimits& limits, const CompilePart& compile) {
  const JsonRules rules{.max_depth = limits.max_depth, .allows_nul = true};
  const Result<json::value> document = parse_strict_json(text, rules);
  if (!document) return document.error();
  try {
    return TagCompiler(limits, compile).compile(JsonNode(document.value()));
  } catch (const JsonError& error) {
    const char* const separator = error.path.empty() ? "" : ": ";
    return Error{fmt::format("{}{}{}", error.path, separator, error.message), error.path};
  }
}

}  // namespace caudal::grammar
