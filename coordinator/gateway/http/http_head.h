// The head of a request, before Beast parses it: two readings of one head are how requests are smuggled past a proxy.
// Pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "coordinator/gateway/api/api_error.h"

namespace caudal {

// Checks a head from the request line to the empty line inclusive: its size, that of each line and their number (431);
// bare CR or LF, control characters, folded lines (400).
std::optional<ApiError> check_head(std::string_view head);
// Whether `buffer` may still become an acceptable head; an error as soon as it cannot.
std::optional<ApiError> check_partial_head(std::string_view buffer);

}  // namespace caudal
