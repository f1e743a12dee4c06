#include "coordinator/gateway/api/api_error.h"

#include <fmt/core.h>

#include "common/json/strict_json.h"

namespace caudal {
namespace {

ApiError server_error(int status, std::string message, std::string code) {
  return {status, std::move(message), status == 429 ? "rate_limit_error" : "server_error",
          "",     std::move(code),    status != 500};
}

void append_or_null(std::string& out, const std::string& text) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_string(out, text);
  }
}

}  // namespace

ApiError invalid_request(const Error& error) {
  const std::string where = error.field.empty() ? "" : "'" + error.field + "': ";
  return {400, where + error.message, "invalid_request_error", error.field, "", false};
}

ApiError model_not_found() {
  return {404,
          "The requested model is not served here; GET /v1/models lists what is.",
          "invalid_request_error",
          "model",
          "model_not_found",
          false};
}

ApiError body_too_large(std::size_t limit) {
  return {413, fmt::format("The body is larger than {} bytes.", limit), "invalid_request_error", "", "", false};
}

ApiError unknown_tag() {
  return {404, "'tag': No request with this tag is running.", "invalid_request_error", "tag", "unknown_tag", false};
}

ApiError overloaded() { return server_error(503, "The server is at its limit; try again later.", "overloaded"); }

ApiError shutting_down() { return server_error(503, "The server is shutting down.", "shutting_down"); }

ApiError internal_error() { return server_error(500, "The server failed on this request.", "internal_error"); }

ApiError slow_client() {
  return {408, "The stream was not read fast enough.", "timeout_error", "", "slow_client", false};
}

ApiError rejected(RejectReason reason) {
  switch (reason) {
    case RejectReason::kTooLong:
      return {400,
              "The prompt and the tokens asked for exceed the model's maximum context limit or the KV cache.",
              "invalid_request_error",
              "max_tokens",
              "context_length_exceeded",
              false};
    case RejectReason::kTooMany:
      return invalid_request({"It is more than this server can run or queue.", "n"});
    case RejectReason::kQueueFull:
      return server_error(429, "The queue is full; try again later.", "queue_full");
    case RejectReason::kNoReplica:
      return server_error(503, "No replica is serving now.", "no_replica");
    case RejectReason::kDeadline:
      return server_error(503, "The request waited too long to start.", "deadline");
    case RejectReason::kHopeless:
      return server_error(503, "The first token cannot come before the deadline.", "deadline_unreachable");
    case RejectReason::kUnknownTenant:
      return {403,  "This server serves only the users it knows.", "invalid_request_error", "user", "unknown_tenant",
              false};
    case RejectReason::kWorkerFault:
    case RejectReason::kNone:
      break;
  }
  return server_error(500, "The model failed on this request.", "worker_fault");
}

std::string error_json(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(out, error.message);
  out += R"(,"type":)";
  append_json_string(out, error.type);
  out += R"(,"param":)";
  append_or_null(out, error.param);
  out += R"(,"code":)";
  append_or_null(out, error.code);
  return out + "}}";
}

}  // namespace caudal
