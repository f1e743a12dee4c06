// The one table of what is served over HTTP. To add an endpoint is to add a row and its handler in http_routes.cpp. No
// sockets here.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "coordinator/gateway/api/api_error.h"
#include "coordinator/gateway/generation/generation.h"

namespace caudal {

// What a handler may look at.
struct RouteCall {
  const GenerationContext& context;
  std::string name;  // what follows a path that takes a name, percent-decoded (RFC 3986, section 2.1)
  bool draining = false;
};

struct RouteAnswer {
  std::string body{};
  int status = 200;
  std::string_view content_type = "application/json";
  std::optional<ApiError> error{};  // instead of a body
};

using RouteQuery = RouteAnswer (*)(const GenerationContext& context, boost::json::value body);

struct Route {
  std::string_view method;  // GET answers HEAD, too
  std::string_view path;    // one that ends in / takes a name after it
  // Answers at once; or parses the body as a request of this kind and generates; or answers a body, on the work pool.
  std::variant<RouteAnswer (*)(const RouteCall&), Endpoint, RouteQuery> handler;
};

// The route of a request target, or why there is none. A query, a slash at the end and a missing /v1 make no
// difference.
struct RouteMatch {
  const Route* route = nullptr;
  std::string name;
  std::optional<ApiError> error;  // 404, or 405
  std::string allow;              // with 405: the allowed methods
};
RouteMatch find_route(std::string_view method, std::string_view target);

}  // namespace caudal
