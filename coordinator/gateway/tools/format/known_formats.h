// Formats by name, for --tool-call-parser and --reasoning-parser, and for templates that print no calls.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

// None: there is no such name.
std::optional<ToolFormat> known_tool_format(std::string_view name);
std::vector<std::string_view> known_tool_format_names();
// The format whose marks stand in a template that tells of calls without printing them; hermes where none do.
ToolFormat guessed_tool_format(std::string_view text);

std::optional<ReasoningFormat> known_reasoning_format(std::string_view name);
std::vector<std::string_view> known_reasoning_names();
std::span<const ReasoningFormat> known_reasoning_marks();

}  // namespace caudal
