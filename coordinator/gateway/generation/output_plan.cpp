#include "coordinator/gateway/generation/output_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "common/grammar/grammar.h"
#include "common/grammar/tags/structures.h"
#include "common/json/json_node.h"
#include "common/json/strict_json.h"
#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/tool_grammar.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::size_t kPromptEnd = 48;  // tokens, in which the mark of reasoning is looked for

json::object format_of(std::string_view type, std::string_view member, json::value value) {
  json::object format;
  format["type"] = type;
  format[member] = std::move(value);
  return format;
}

// As deep as a grammar may be.
json::value read_json(std::string_view text) {
  const JsonRules rules{.max_depth = grammar::GrammarLimits{}.max_depth, .allows_nul = true};
  Result<json::value> value = parse_strict_json(text, rules);
  if (!value) throw JsonError{value.error().message, value.error().field};
  return std::move(value).value();
}

json::object part_of(const GrammarParams& grammar) {
  switch (grammar.kind) {
    case GrammarKind::kJsonSchema:
      return format_of("json_schema", "json_schema", read_json(grammar.text));
    case GrammarKind::kRegex:
      return format_of("regex", "pattern", json::string(grammar.text));
    case GrammarKind::kGbnf:
      return format_of("grammar", "grammar", json::string(grammar.text));
    case GrammarKind::kLark:
      return format_of("lark", "grammar", json::string(grammar.text));
    case GrammarKind::kChoices:
      return format_of("choices", "choices", read_json(grammar.text));
    case GrammarKind::kTags:
    case GrammarKind::kNone:
      break;
  }
  const json::value whole = read_json(grammar.text);
  const JsonNode root(whole);
  return root.has("format") ? root.at("format").object() : grammar::format_of_structures(root);
}

// Any grammar of a request as a part of a structural tag, of which `field` is the request's.
Result<json::object> as_tag(const GrammarParams& grammar, const std::string& field) {
  try {
    return part_of(grammar);
  } catch (const JsonError& error) {
    return Error{error.path.empty() ? error.message : error.path + ": " + error.message, field};
  }
}

// A message's text, of which there may be parts.
std::string text_of(const json::value& message) {
  const json::value& content = message.at("content");
  if (content.is_string()) return std::string(content.get_string());
  std::string text;
  const json::array* parts = content.if_array();
  for (std::size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
    const json::value* part = parts->at(i).is_object() ? parts->at(i).get_object().if_contains("text") : nullptr;
    if (part != nullptr && part->is_string()) text += part->get_string();
  }
  return text;
}

std::vector<std::string> end_texts(const ModelContext& model) {
  std::vector<std::string> texts;
  for (const TokenId id : model.card.eos_token_ids) {
    if (const auto text = model.tokenizer->id_to_token(id)) texts.emplace_back(*text);
  }
  return texts;
}

}  // namespace

MarkTokens::MarkTokens(const ModelContext& model) {
  const std::vector<std::string> marks = model.output_format.marks();
  if (marks.empty()) return;
  for (TokenId id = 0; id < model.tokenizer->vocab_size(); ++id) {
    const auto text = model.tokenizer->is_special(id) ? model.tokenizer->id_to_token(id) : std::nullopt;
    if (!text || text->empty()) continue;
    const bool used =
        std::ranges::any_of(marks, [&](const std::string& mark) { return mark.find(*text) != mark.npos; });
    if (!used) continue;
    ids.push_back(id);
    texts.emplace_back(*text);
  }
}

std::vector<TokenId> MarkTokens::part_of(std::span<const std::string> marks) const {
  std::vector<TokenId> found;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const bool used =
        std::ranges::any_of(marks, [&](const std::string& mark) { return mark.find(texts[i]) != mark.npos; });
    if (used) found.push_back(ids[i]);
  }
  return found;
}

OutputPlanner::OutputPlanner(const ModelContext& model, const MarkTokens& marks, const ChatInput& chat)
    : model_(model),
      marks_(marks),
      tools_(chat.tools),
      choice_(chat.tool_choice),
      named_tool_(chat.named_tool),
      parallel_(chat.parallel_tool_calls),
      include_reasoning_(chat.include_reasoning),
      continued_(chat.continue_final_message ? text_of(chat.messages.back()) : "") {}

bool OutputPlanner::holds_calls() const {
  return !tools_.empty() &&
         (choice_ == ToolChoice::kRequired || choice_ == ToolChoice::kNamed || has_strict_tool(tools_));
}

// A prompt may end inside the reasoning, or behind one that is empty; a message that is continued has both anywhere.
ThinkingState OutputPlanner::thinking(std::span<const TokenId> prompt) const {
  if (!model_.output_format.reasoning) return ThinkingState::kNone;
  const std::string_view open = trimmed(model_.output_format.reasoning->open);
  const std::string_view close = trimmed(model_.output_format.reasoning->close);
  const std::size_t in_turn = kPromptEnd + continued_.size();  // each token has at least one byte
  const std::string text = model_.tokenizer->decode(prompt.last(std::min(prompt.size(), in_turn)), false);
  const std::string_view end = trimmed_right(text);
  if (end.ends_with(close)) return ThinkingState::kClosed;
  if (!open.empty() && end.ends_with(open)) return ThinkingState::kOpen;
  if (continued_.empty()) return ThinkingState::kMayOpen;
  const std::size_t said = end.rfind(trimmed(continued_));
  const std::string_view front = end.substr(0, std::min(said, end.size()));
  const bool opened = !open.empty() && trimmed_right(front).ends_with(open);
  const std::string_view turn = opened ? end.substr(front.rfind(open)) : end.substr(front.size());
  const std::size_t last_open = open.empty() ? turn.npos : turn.rfind(open), last_close = turn.rfind(close);
  if (last_open == turn.npos && last_close == turn.npos) return ThinkingState::kMayOpen;
  const bool is_open = last_close == turn.npos || (last_open != turn.npos && last_open > last_close);
  return is_open ? ThinkingState::kOpen : ThinkingState::kClosed;
}

std::shared_ptr<const OutputPlan> OutputPlanner::plan(std::span<const TokenId> prompt) const {
  const OutputFormat& format = model_.output_format;
  const bool reads_calls = !tools_.empty() && format.tools.has_value();
  if (!reads_calls && !format.reasoning && format.content_open.empty()) return nullptr;
  auto plan = std::make_shared<OutputPlan>();
  plan->format = &format;
  plan->parser.tools = reads_calls;
  plan->parser.in_reasoning = thinking(prompt) == ThinkingState::kOpen;
  plan->parser.held = holds_calls();
  plan->parser.known = known_tools(tools_);
  OutputFormat active = format;
  if (!reads_calls) active.tools.reset();
  plan->mark_tokens = marks_.part_of(active.marks());
  plan->include_reasoning = include_reasoning_;
  plan->parallel = parallel_;
  return plan;
}

Result<void> OutputPlanner::constrain(std::span<const TokenId> prompt, const std::string& grammar_field,
                                      SamplingParams& params) const {
  const ThinkingState state = thinking(prompt);
  if (const auto done = set_grammar(state, grammar_field, params.grammar); !done) return done.error();
  return set_thinking(state, params.thinking);
}

Result<void> OutputPlanner::set_grammar(ThinkingState state, const std::string& field, GrammarParams& grammar) const {
  const bool shaped = grammar.kind != GrammarKind::kNone;
  const bool calls = !tools_.empty() && model_.output_format.tools;
  const bool required = choice_ == ToolChoice::kRequired || choice_ == ToolChoice::kNamed;
  if (shaped && calls && required) {
    return Error{"A call is required, so that the output cannot have another shape.", "tool_choice"};
  }
  const std::vector<std::string> ends = end_texts(model_);
  const GrammarRequest request{.format = model_.output_format,
                               .tools = tools_,
                               .only = named_tool_,
                               .required = required,
                               .parallel = parallel_,
                               .in_reasoning = state == ThinkingState::kOpen,
                               .may_reason = state == ThinkingState::kMayOpen,
                               .special = marks_.texts,
                               .end_tokens = ends};
  const bool wraps = model_.output_format.reasoning || !model_.output_format.content_open.empty();
  if (!(calls && (shaped || holds_calls())) && !(shaped && wraps)) return {};
  Result<json::object> content = shaped ? as_tag(grammar, field) : json::object();
  if (!content) return content.error();
  Result<std::string> text =
      calls ? tool_grammar(request, shaped ? &content.value() : nullptr) : content_grammar(request, content.value());
  if (!text) return text.error();
  grammar = {GrammarKind::kTags, std::move(text).value()};
  return {};
}

std::optional<Error> OutputPlanner::wrong_schema() const {
  for (std::size_t i = 0; i < tools_.size(); ++i) {
    const json::object& function = tools_[i].at("function").get_object();
    const bool required = choice_ == ToolChoice::kRequired || function.at("name").get_string() == named_tool_;
    const json::value* schema = function.if_contains("parameters");
    if (schema == nullptr || !(required || has_strict_tool({tools_[i]}))) continue;
    const auto compiled = grammar::Grammar::compile(GrammarKind::kJsonSchema, json::serialize(*schema));
    if (!compiled) return Error{compiled.error().message, fmt::format("tools[{}].function.parameters", i)};
  }
  return std::nullopt;
}

Result<void> OutputPlanner::set_thinking(ThinkingState state, ThinkingParams& thinking) const {
  if (thinking.budget < 0) return {};
  if (state == ThinkingState::kNone) return Error{"The served model does not think.", "thinking_token_budget"};
  const ReasoningFormat& reasoning = *model_.output_format.reasoning;
  const EncodeOptions options{.add_special_tokens = false};
  thinking.end = model_.tokenizer->encode(reasoning.close, options);
  if (state == ThinkingState::kMayOpen) thinking.begin = model_.tokenizer->encode(reasoning.open, options);
  if (state == ThinkingState::kClosed || thinking.end.empty()) thinking = {};
  return {};
}

}  // namespace caudal
