// The older form of structural tags, {"structures":[{"begin","schema","end"}],"triggers":[...]}, in words of the newer.
#pragma once

#include <boost/json/object.hpp>

#include "common/json/json_node.h"

namespace caudal::grammar {

// The format that it means. Throws JsonError.
boost::json::object format_of_structures(const JsonNode& root);

}  // namespace caudal::grammar
