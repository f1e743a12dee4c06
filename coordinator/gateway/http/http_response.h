// Answers as text: the head, and the chunks of a chunked body (RFC 9112). Pure functions; the sockets are
// http_session's.
#pragma once

#include <cstddef>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace caudal {

std::string_view status_text(int status);

// The head of an answer, with the empty line. No content_length: the body is chunked (or ends with the connection).
struct ResponseHead {
  int status = 200;
  std::string_view content_type = "application/json";
  std::optional<std::size_t> content_length;
  bool keep_alive = true;
  bool chunked = false;
  bool gzipped = false;
  std::string_view request_id;      // echoed as X-Request-Id; already checked
  std::string_view allow;           // for 405
  bool retry = false;               // Retry-After: 1
  std::string_view ignored_fields;  // of the body of the request; already checked
  std::string_view allow_origin;    // to a page of another origin: who may read this, "*" for all; already checked
  std::string_view allow_headers;   // to its preflight request: what it may send; already checked
};
std::string response_head(const ResponseHead& head);  // with the Date of now

// As in "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7).
std::string http_date(std::time_t time);

// Appends `data` as one chunk of a chunked body; `data` is not empty.
void append_http_chunk(std::string_view data, std::string& out);
inline constexpr std::string_view kLastHttpChunk = "0\r\n\r\n";

}  // namespace caudal
