// The part of find_format that looks for calls.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/gateway/tools/format/find_format.h"

namespace caudal {

// Marks found before, which stand in front of a call and are no part of it.
struct MarksInFront {
  std::string reasoning_close;
  std::vector<std::string> silent;
};

// Empty where the template prints no calls.
std::optional<ToolFormat> find_calls(const RenderChat& render, const MarksInFront& in_front);

// What is printed behind the user's words: an assistant's whole turn, and what opens it.
std::optional<std::string> render_turn(const RenderChat& render, const boost::json::array& messages, bool thinks);
std::string turn_opening(const RenderChat& render, bool thinks);

// A turn with reasoning and a call, without content.
struct BeforeCall {
  std::string in_front;  // of the reasoning
  std::string between;   // it and the call, with the marks of the call
};
std::optional<BeforeCall> reasoning_before_call(const RenderChat& render);

}  // namespace caudal
