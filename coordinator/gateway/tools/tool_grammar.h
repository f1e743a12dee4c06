// Writes the grammar (GrammarKind::kTags) that holds a model's output to calls whose arguments fit the schemas of their
// functions. Pure.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

struct GrammarRequest {
  const OutputFormat& format;
  const boost::json::array& tools;            // as the request has them, checked
  std::string_view only{};                    // the one function that may be called; "": all
  bool required = false;                      // a call must be made
  bool parallel = true;                       // more than one may be
  bool in_reasoning = false;                  // the prompt has opened it
  bool may_reason = false;                    // the model may open it
  std::span<const std::string> special{};     // texts of special tokens, which are told from the same text by a mark
  std::span<const std::string> end_tokens{};  // texts of tokens that end the sequence: nothing is written from them on
};

// Whether a tool asks for it.
bool has_strict_tool(const boost::json::array& tools);

// The calls. `content` is the format of what may be written instead of them (null: free text, or nothing where calls
// are required). An error names the first strict tool: the format has no mark at which a grammar could begin.
Result<std::string> tool_grammar(const GrammarRequest& request, const boost::json::object* content);

// `content`, behind reasoning where the model reasons first.
std::string content_grammar(const GrammarRequest& request, const boost::json::object& content);

}  // namespace caudal
