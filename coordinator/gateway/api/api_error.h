// The answer to a request that cannot be served: an HTTP status and OpenAI's error object. Messages are
// written by this server alone: no foreign text, address, path or file name in them.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"
#include "coordinator/request/request.h"

namespace caudal {

struct ApiError {
  int status = 400;  // HTTP
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;   // the field at fault; empty: null
  std::string code;    // for programs; empty: null
  bool retry = false;  // the same request may succeed soon: Retry-After
};

ApiError invalid_request(const Error& error);  // 400
ApiError model_not_found();                    // 404
ApiError body_too_large(std::size_t limit);    // 413
ApiError unknown_tag();                        // 404: nothing to cancel
ApiError overloaded();                         // 503
ApiError shutting_down();                      // 503
ApiError internal_error();                     // 500
ApiError slow_client();                        // 408
// Why the engine ended a sequence with FinishReason::kError.
ApiError rejected(RejectReason reason);

// {"error":{"message","type","param","code"}}
std::string error_json(const ApiError& error);

}  // namespace caudal
