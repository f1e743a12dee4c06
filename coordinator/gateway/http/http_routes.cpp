#include "coordinator/gateway/http/http_routes.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "coordinator/gateway/generation/gateway_models.h"
#include "coordinator/gateway/http/load_report_json.h"
#include "coordinator/gateway/http/openai_response.h"
#include "coordinator/gateway/http/text_routes.h"
#include "coordinator/metrics/metrics.h"
#include "coordinator/request/request_service.h"

namespace caudal {
namespace {

RouteAnswer list_models(const RouteCall& call) { return {.body = models_json(call.context)}; }

RouteAnswer show_model(const RouteCall& call) {
  const GatewayModel* model = call.context.models.find(call.name);
  if (model == nullptr) return {.error = model_not_found()};
  return {.body = model_json(*model, served_context_tokens(call.context.service, *model))};
}

RouteAnswer show_health(const RouteCall& call) {
  const bool ready = call.context.service.status().ready && !call.draining;
  return {.body = ready ? R"({"status":"ready"})" : R"({"status":"unavailable"})", .status = ready ? 200 : 503};
}

RouteAnswer show_live(const RouteCall&) { return {.body = R"({"status":"live"})"}; }

RouteAnswer show_version(const RouteCall&) { return {.body = R"({"version":")" CAUDAL_VERSION R"("})"}; }

RouteAnswer show_metrics(const RouteCall& call) {
  return {.body = call.context.metrics.text(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

RouteAnswer show_load(const RouteCall& call) { return {.body = load_json(*call.context.service.load())}; }

constexpr Route kRoutes[] = {
    {"POST", "/v1/chat/completions", Endpoint::kChat},
    {"POST", "/v1/completions", Endpoint::kCompletions},
    {"POST", "/v1/messages", Endpoint::kMessages},
    {"POST", "/v1/messages/count_tokens", count_message_tokens},
    {"GET", "/v1/models", list_models},
    {"GET", "/v1/models/", show_model},
    {"POST", "/v1/tokenize", tokenize},
    {"POST", "/v1/detokenize", detokenize},
    {"GET", "/health", show_health},
    {"GET", "/ready", show_health},
    {"GET", "/ping", show_health},
    {"POST", "/ping", show_health},
    {"GET", "/live", show_live},
    {"GET", "/version", show_version},
    {"GET", "/metrics", show_metrics},
    {"GET", "/load", show_load},
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

ApiError refuse(int status, const char* message) {
  ApiError error = invalid_request({message, ""});
  error.status = status;
  return error;
}

// A route of this path, or what else its paths allow.
RouteMatch match_path(std::string_view method, std::string_view path) {
  RouteMatch match;
  for (const Route& route : kRoutes) {
    if (!leads_to(route, path)) continue;
    if (route.method == method || (method == "HEAD" && route.method == "GET")) {
      match.route = &route;
      if (route.path.ends_with('/')) match.name = percent_decoded(path.substr(route.path.size()));
      return match;
    }
    match.allow = route.method == "GET" ? "GET, HEAD" : std::string(route.method);
  }
  return match;
}

// Of a target in absolute form (RFC 9112, section 3.2.2), which names this server too.
std::string_view path_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    const auto same = [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); };
    const std::string_view front = target.substr(0, scheme.size());
    if (!std::ranges::equal(scheme, front, same)) continue;
    const std::size_t slash = target.find('/', scheme.size());
    target = slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  std::string_view path = target.substr(0, target.find('?'));
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path;
}

}  // namespace

RouteMatch find_route(std::string_view method, std::string_view target) {
  const std::string path(path_of(target));
  RouteMatch match = match_path(method, path);
  if (match.route == nullptr && match.allow.empty()) match = match_path(method, "/v1" + path);
  if (match.route != nullptr) return match;
  match.error = match.allow.empty() ? refuse(404, "There is nothing at this path.")
                                    : refuse(405, "This method is not allowed here.");
  return match;
}

}  // namespace caudal
