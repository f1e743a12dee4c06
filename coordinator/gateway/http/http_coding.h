// Content codings (RFC 9110, section 8.4): what clients may send, and gzip for what they ask. Pure functions, any
// thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "coordinator/gateway/api/api_error.h"

namespace caudal {

// "", identity, gzip, x-gzip and deflate.
bool is_known_coding(std::string_view coding);

// Unpacks `body` in place. An error where it is damaged (400), or becomes larger than `max_bytes` (413).
std::optional<ApiError> unpack_body(std::string_view coding, std::size_t max_bytes, std::string& body);

// Whether a value of Accept-Encoding allows gzip.
bool accepts_gzip(std::string_view accepted);
std::string gzip(std::string_view text);

}  // namespace caudal
