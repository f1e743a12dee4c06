// Finds how a model writes calls and reasoning by rendering short conversations with its chat template and looking at
// what stands around the words of them. Done once at load. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

// A conversation to render.
struct ProbeChat {
  const boost::json::array& messages;
  const boost::json::array* tools;  // null: none
  bool add_generation_prompt = false;
  bool thinks = false;  // the variables that switch thinking on are set
};
using RenderChat = std::function<std::optional<std::string>(const ProbeChat& chat)>;  // none: the template fails

// `source` is the template's. What the template does not print is not found: `tools` and `reasoning` may be empty.
OutputFormat find_format(std::string_view source, const RenderChat& render);

// Whether the template tells a model of the tools of a chat.
bool tells_tools(const RenderChat& render);

}  // namespace caudal
