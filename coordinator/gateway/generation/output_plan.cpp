#include "coordinator/gateway/generation/output_plan.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

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

// Any grammar of a request as a part of a structural tag. What cannot be read is found when the whole is compiled.
json::object as_tag(const GrammarParams& grammar) {
  boost::system::error_code failed;
  switch (grammar.kind) {
    case GrammarKind::kJsonSchema:
      return format_of("json_schema", "json_schema", json::parse(grammar.text, failed));
    case GrammarKind::kRegex:
      return format_of("regex", "pattern", json::string(grammar.text));
    case GrammarKind::kGbnf:
      return format_of("grammar", "grammar", json::string(grammar.text));
    case GrammarKind::kLark:
      return format_of("lark", "grammar", json::string(grammar.text));
    case GrammarKind::kChoices:
      return format_of("choices", "choices", json::parse(grammar.text, failed));
    case GrammarKind::kTags:
    case GrammarKind::kNone:
      break;
  }
  const json::value whole = json::parse(grammar.text, failed);
  const json::value* format = whole.is_object() ? whole.get_object().if_contains("format") : nullptr;
  return format != nullptr && format->is_object() ? format->get_object() : json::object{{"type", "any_text"}};
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

OutputPlanner::OutputPlanner(const ModelContext& model, const MarkTokens& marks, const ChatInput& chat)
    : model_(model),
      marks_(marks),
      tools_(chat.tools),
      choice_(chat.tool_choice),
      named_tool_(chat.named_tool),
      parallel_(chat.parallel_tool_calls),
      include_reasoning_(chat.include_reasoning) {}

bool OutputPlanner::holds_calls() const {
  return !tools_.empty() &&
         (choice_ == ToolChoice::kRequired || choice_ == ToolChoice::kNamed || has_strict_tool(tools_));
}

// A prompt may end inside the reasoning, or behind one that is empty.
ThinkingState OutputPlanner::thinking(std::span<const TokenId> prompt) const {
  if (!model_.output_format.reasoning) return ThinkingState::kNone;
  const ReasoningFormat& reasoning = *model_.output_format.reasoning;
  const std::string text = model_.tokenizer->decode(prompt.last(std::min(prompt.size(), kPromptEnd)), false);
  const std::string_view end = trimmed_right(text);
  if (end.ends_with(reasoning.close)) return ThinkingState::kClosed;
  return visible(reasoning.open) && end.ends_with(reasoning.open) ? ThinkingState::kOpen : ThinkingState::kMayOpen;
}

std::shared_ptr<const OutputPlan> OutputPlanner::plan(std::span<const TokenId> prompt) const {
  const OutputFormat& format = model_.output_format;
  const bool reads_calls = !tools_.empty() && format.tools.has_value();
  if (!reads_calls && !format.reasoning && format.content_open.empty()) return nullptr;
  auto plan = std::make_shared<OutputPlan>();
  plan->format = &format;
  plan->parser.tools = reads_calls;
  plan->parser.in_reasoning = thinking(prompt) == ThinkingState::kOpen;
  plan->parser.known = known_tools(tools_);
  plan->mark_tokens = marks_.ids;
  plan->include_reasoning = include_reasoning_;
  plan->parallel = parallel_;
  return plan;
}

Result<void> OutputPlanner::constrain(std::span<const TokenId> prompt, SamplingParams& params) const {
  const ThinkingState state = thinking(prompt);
  if (const auto done = set_grammar(state, params.grammar); !done) return done.error();
  return set_thinking(state, params.thinking);
}

Result<void> OutputPlanner::set_grammar(ThinkingState state, GrammarParams& grammar) const {
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
  const json::object content = shaped ? as_tag(grammar) : json::object();
  std::optional<std::string> text;
  if (calls && (shaped || holds_calls())) {
    text = tool_grammar(request, shaped ? &content : nullptr);
  } else if (shaped && (model_.output_format.reasoning || !model_.output_format.content_open.empty())) {
    text = content_grammar(request, content);
  }
  if (text) grammar = {GrammarKind::kTags, std::move(*text)};
  return {};
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
