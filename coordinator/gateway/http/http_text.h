// HTTP/1.1 as text: what Beast's parser lets pass that we do not, the route table, and the heads of answers.
// Pure functions; the sockets are http_session's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "coordinator/gateway/api/api_error.h"

namespace caudal {

// Checks a request's head, from the request line to the empty line inclusive, before it is parsed: its size and that
// of each line and their number (431); bare CR or LF, control characters, folded lines (400). Two readings of one
// head are how requests are smuggled past a proxy.
std::optional<ApiError> check_head(std::string_view head);
// Whether `buffer` may still become an acceptable head; an error as soon as it cannot.
std::optional<ApiError> check_partial_head(std::string_view buffer);

enum class RouteId { kModels, kModel, kCompletions, kChat, kHealth, kLive, kVersion, kMetrics, kLoad };

struct Route {
  std::string_view path;    // one that ends in / takes a name after it
  std::string_view method;  // GET answers HEAD, too
  RouteId id;
};

std::span<const Route> routes();

// The route of a request target (a query is ignored), or why there is none: 404, or 405 with the allowed methods.
struct RouteMatch {
  const Route* route = nullptr;
  std::string name;   // after a path that takes one, percent-decoded (RFC 3986, section 2.1)
  std::string allow;  // when the path exists and the method is wrong
};
RouteMatch find_route(std::string_view method, std::string_view target);

std::string_view status_text(int status);

// The head of an answer, with the empty line. No content_length: the body is chunked (or ends with the connection).
struct ResponseHead {
  int status = 200;
  std::string_view content_type = "application/json";
  std::optional<std::size_t> content_length;
  bool keep_alive = true;
  bool chunked = false;
  std::string_view request_id;  // echoed as X-Request-Id; already checked
  std::string_view allow;       // for 405
  bool retry = false;           // Retry-After: 1
};
std::string response_head(const ResponseHead& head);

// Appends `data` as one chunk of a chunked body; `data` is not empty.
void append_http_chunk(std::string_view data, std::string& out);
inline constexpr std::string_view kLastHttpChunk = "0\r\n\r\n";

}  // namespace caudal
