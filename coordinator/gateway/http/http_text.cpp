#include "coordinator/gateway/http/http_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "coordinator/gateway/api/limits.h"

namespace caudal {
namespace {

constexpr Route kRoutes[] = {
    {"/v1/chat/completions", "POST", RouteId::kChat},
    {"/v1/completions", "POST", RouteId::kCompletions},
    {"/v1/models", "GET", RouteId::kModels},
    {"/v1/models/", "GET", RouteId::kModel},
    {"/health", "GET", RouteId::kHealth},
    {"/live", "GET", RouteId::kLive},
    {"/version", "GET", RouteId::kVersion},
    {"/metrics", "GET", RouteId::kMetrics},
    {"/load", "GET", RouteId::kLoad},
};

bool leads_to(const Route& route, std::string_view path) {
  if (!route.path.ends_with('/')) return path == route.path;
  return path.starts_with(route.path) && path.size() > route.path.size();
}

// What is not a valid escape stays as it is: it names nothing.
std::string percent_decoded(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    unsigned char byte = 0;
    const char* const digits = text.data() + 1;
    if (text.size() >= 3 && text[0] == '%' && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      out += static_cast<char>(byte);
      text.remove_prefix(3);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  return out;
}

ApiError malformed(const char* what) { return invalid_request({what, ""}); }

ApiError head_too_large() {
  ApiError error = malformed("The header is too large.");
  error.status = 431;
  return error;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7F;
}

}  // namespace

std::optional<ApiError> check_head(std::string_view head) {
  if (head.size() > kMaxHeaderBytes) return head_too_large();
  std::size_t num_lines = 0;
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    if (end == std::string_view::npos) return malformed("The header has a line without its end.");
    const std::string_view line = head.substr(0, end);
    if (line.size() > kMaxHeaderLineBytes || num_lines++ > kMaxHeaderFields + 1) return head_too_large();
    if (std::any_of(line.begin(), line.end(), is_control)) return malformed("The header has a control character.");
    if (line.starts_with(' ') || line.starts_with('\t')) return malformed("The header has a folded line.");
    head.remove_prefix(end + 2);
  }
  return std::nullopt;
}

std::optional<ApiError> check_partial_head(std::string_view buffer) {
  if (buffer.size() > kMaxHeaderBytes) return head_too_large();
  std::size_t line_start = 0;
  for (std::size_t i = 0; i < buffer.size(); ++i) {
    if (i - line_start > kMaxHeaderLineBytes) return head_too_large();
    if (buffer[i] != '\n') continue;
    if (i == 0 || buffer[i - 1] != '\r') return malformed("The header has a line feed of its own.");
    line_start = i + 1;
  }
  return std::nullopt;
}

std::span<const Route> routes() { return kRoutes; }

RouteMatch find_route(std::string_view method, std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  RouteMatch match;
  for (const Route& route : kRoutes) {
    if (!leads_to(route, path)) continue;
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      match.route = &route;
      if (route.path.ends_with('/')) match.name = percent_decoded(path.substr(route.path.size()));
    } else {
      match.allow = route.method == "GET" ? "GET, HEAD" : std::string(route.method);
    }
  }
  return match;
}

std::string_view status_text(int status) {
  switch (status) {
    case 200:
      return "OK";
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

std::string response_head(const ResponseHead& head) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\nServer: caudal\r\nContent-Type: {}\r\n", head.status,
                                status_text(head.status), head.content_type);
  if (head.content_length) out += fmt::format("Content-Length: {}\r\n", *head.content_length);
  if (head.chunked) out += "Transfer-Encoding: chunked\r\n";
  if (!head.content_length) out += "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n";
  if (!head.request_id.empty()) out += fmt::format("X-Request-Id: {}\r\n", head.request_id);
  if (!head.allow.empty()) out += fmt::format("Allow: {}\r\n", head.allow);
  if (head.retry) out += "Retry-After: 1\r\n";
  out += head.keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return out;
}

void append_http_chunk(std::string_view data, std::string& out) {
  out += fmt::format("{:x}\r\n", data.size());
  out += data;
  out += "\r\n";
}

}  // namespace caudal
