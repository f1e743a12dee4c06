// For templates that know no tools: a system message tells the model of them, in words, and of the form of a call.
#pragma once

#include <boost/json/array.hpp>

#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

// Adds the tools, where there are some, to the messages, and rewrites calls and results of earlier turns as text in the
// same form. Messages are as ChatInput has them.
void tell_tools(const ToolFormat& format, const boost::json::array& tools, boost::json::array& messages);

}  // namespace caudal
