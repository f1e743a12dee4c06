#include "coordinator/gateway/http/http_response.h"

#include <fmt/core.h>

#include <array>

namespace caudal {

std::string_view status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Error";
  }
}

namespace {

// The headers of CORS (Fetch Standard, 3.2.3). Which answers differ by origin is said to caches.
void append_cors(const ResponseHead& head, std::string& out) {
  if (head.allow_origin.empty()) return;
  out += fmt::format("Access-Control-Allow-Origin: {}\r\n", head.allow_origin);
  if (head.allow_origin != "*") out += "Vary: Origin\r\n";
  if (head.status == 204) {
    out += "Access-Control-Allow-Methods: GET, HEAD, POST\r\nAccess-Control-Max-Age: 600\r\n";
    if (!head.allow_headers.empty()) out += fmt::format("Access-Control-Allow-Headers: {}\r\n", head.allow_headers);
  } else {
    out += "Access-Control-Expose-Headers: X-Request-Id, X-Ignored-Fields, Retry-After\r\n";
  }
}

}  // namespace

std::string response_head(const ResponseHead& head) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\nServer: caudal\r\nDate: {}\r\n", head.status,
                                status_text(head.status), http_date(std::time(nullptr)));
  if (head.status != 204) {  // which has no body
    out += fmt::format("Content-Type: {}\r\n", head.content_type);
    if (head.content_length) out += fmt::format("Content-Length: {}\r\n", *head.content_length);
    if (head.gzipped) out += "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n";
    if (head.chunked) out += "Transfer-Encoding: chunked\r\n";
    if (!head.content_length) out += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
  }
  if (!head.request_id.empty()) out += fmt::format("X-Request-Id: {}\r\n", head.request_id);
  if (!head.allow.empty()) out += fmt::format("Allow: {}\r\n", head.allow);
  if (!head.ignored_fields.empty()) out += fmt::format("X-Ignored-Fields: {}\r\n", head.ignored_fields);
  if (head.retry) out += "Retry-After: 1\r\n";
  append_cors(head, out);
  out += head.keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return out;
}

std::string http_date(std::time_t time) {
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&time, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays.at(utc.tm_wday), utc.tm_mday,
                     kMonths.at(utc.tm_mon), utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

void append_http_chunk(std::string_view data, std::string& out) {
  out += fmt::format("{:x}\r\n", data.size());
  out += data;
  out += "\r\n";
}

}  // namespace caudal
