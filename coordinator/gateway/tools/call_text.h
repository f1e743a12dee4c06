// Writes a call as a model with a format would.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

struct WrittenCall {
  std::string_view name;
  const boost::json::object& arguments;
  std::string_view id;  // where the format has one
};

// One after another, in their block.
std::string call_text(const ToolFormat& format, const std::vector<WrittenCall>& calls);

}  // namespace caudal
