#include "coordinator/gateway/http/http_head.h"

#include <algorithm>

#include "coordinator/gateway/api/limits.h"

namespace caudal {
namespace {

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

}  // namespace caudal
