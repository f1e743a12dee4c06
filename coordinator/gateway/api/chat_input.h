// What the chat template sees. JSON, because templates reach into it freely; its shape has been checked. Apart from
// ApiRequest, so that few files read Boost.JSON's headers.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace caudal {

enum class ToolChoice : std::uint8_t {
  kAuto,
  kNone,      // the model is not told of the tools
  kRequired,  // one or more calls
  kNamed,     // of named_tool
};

struct ChatInput {
  // Not empty. Each has a `role` and a `content`, a string or a list of text parts; tool arguments are objects; no
  // member is null.
  boost::json::array messages;
  boost::json::array tools;  // names differ
  ToolChoice tool_choice = ToolChoice::kAuto;
  std::string named_tool;
  bool parallel_tool_calls = true;
  bool include_reasoning = true;        // in the answer
  std::optional<bool> enable_thinking;  // a variable of the template, too
  boost::json::object template_kwargs;
  std::string reasoning_effort;  // a variable of the template, too; "": not given
  bool add_generation_prompt = true;
  bool continue_final_message = false;
};

}  // namespace caudal
