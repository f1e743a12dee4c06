// What one request wants of its output besides text: calls of tools and reasoning, and the grammars and limits that
// follow. Made once per request, on the work pool, when its prompt is known; then immutable and shared by its choices.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/generation_params.h"
#include "common/result.h"
#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/chat/model_context.h"
#include "coordinator/gateway/tools/output_parser.h"

namespace caudal {

struct OutputPlan {
  const OutputFormat* format = nullptr;  // the model's
  ParserOptions parser;
  std::vector<TokenId> mark_tokens;  // special tokens that are part of a mark, sorted: their text is read
  bool include_reasoning = true;
  bool parallel = true;  // more than one call
};

// Which special tokens are part of a mark of the model's format. Of one model, once.
struct MarkTokens {
  explicit MarkTokens(const ModelContext& model);

  std::vector<TokenId> ids;        // sorted
  std::vector<std::string> texts;  // of the same

  // Those of some of the marks.
  std::vector<TokenId> part_of(std::span<const std::string> marks) const;
};

// How a chat begins, as its prompt leaves it.
enum class ThinkingState : std::uint8_t { kNone, kOpen, kClosed, kMayOpen };

// What makes the plan of a chat. `tools` are those that its template was told of.
class OutputPlanner {
 public:
  OutputPlanner(const ModelContext& model, const MarkTokens& marks, const ChatInput& chat);

  // Null where the output is nothing but text.
  std::shared_ptr<const OutputPlan> plan(std::span<const TokenId> prompt) const;
  // Puts the grammar of the calls and the limit of the reasoning into the parameters. Errors name the field;
  // `grammar_field` is that of the grammar which is there.
  Result<void> constrain(std::span<const TokenId> prompt, const std::string& grammar_field,
                         SamplingParams& params) const;
  // The first function whose schema cannot be held to, in the client's words. None: it is not a schema's fault.
  std::optional<Error> wrong_schema() const;
  // Whether the grammar comes from the tools.
  bool holds_calls() const;

 private:
  ThinkingState thinking(std::span<const TokenId> prompt) const;
  Result<void> set_grammar(ThinkingState state, const std::string& field, GrammarParams& grammar) const;
  Result<void> set_thinking(ThinkingState state, ThinkingParams& thinking) const;

  const ModelContext& model_;
  const MarkTokens& marks_;
  const boost::json::array tools_;  // a copy: the chat is moved into the template
  const ToolChoice choice_;
  const std::string named_tool_;
  const bool parallel_;
  const bool include_reasoning_;
  const std::string continued_;  // the message that the model goes on with
};

}  // namespace caudal
