#include "coordinator/gateway/http/http_session.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>

#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/generation/random_id.h"
#include "coordinator/gateway/http/answer_writer.h"
#include "coordinator/gateway/http/http_coding.h"
#include "coordinator/gateway/http/http_head.h"
#include "coordinator/gateway/http/http_routes.h"
#include "coordinator/metrics/metrics.h"

namespace caudal {
namespace {

namespace http = beast::http;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kHeadReadBytes = 4'096;
constexpr std::size_t kBodyReadBytes = 65'536;
constexpr std::size_t kMaxRequestIdBytes = 128;
constexpr std::chrono::seconds kLinger{1};
// Bytes of an answer that is packed: of less nothing is gained, and more would hold up the other connections.
constexpr std::size_t kLeastGzipped = 2'048;
constexpr std::size_t kMostGzipped = 1 << 20;

ApiError refuse(int status, const char* message, const char* field = "") {
  ApiError error = invalid_request({message, field});
  error.status = status;
  return error;
}

// The parser's verdict on bytes from outside; its own words stay inside.
ApiError parser_error(beast::error_code ec, std::size_t max_body_bytes) {
  if (ec == http::error::body_limit) return body_too_large(max_body_bytes);
  if (ec == http::error::header_limit) return refuse(431, "The header is too large.");
  return refuse(400, "This is not a well-formed HTTP/1.1 request.");
}

// What decides where a request ends has to be beyond doubt (RFC 9112, section 6.3 and 11.2).
std::optional<ApiError> check_framing(const http::request<http::string_body>& request) {
  if (request.version() != 10 && request.version() != 11) return refuse(400, "Only HTTP/1.0 and HTTP/1.1 are spoken.");
  if (request.version() == 11 && request.count(http::field::host) != 1)
    return refuse(400, "It needs one Host.", "Host");
  const std::size_t num_lengths = request.count(http::field::content_length);
  const std::size_t num_codings = request.count(http::field::transfer_encoding);
  if (num_lengths + num_codings > 1) return refuse(400, "The length of the body is given more than once.");
  if (num_lengths == 1) {
    const std::string_view length = request[http::field::content_length];
    if (length.empty() || !std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      return refuse(400, "It must be a number.", "Content-Length");
    }
  }
  if (num_codings == 1) {
    const bool chunked = beast::iequals(request[http::field::transfer_encoding], "chunked");
    if (!chunked || request.version() == 10) return refuse(400, "Only chunked is supported.", "Transfer-Encoding");
  }
  if (!is_known_coding(request[http::field::content_encoding])) {
    return refuse(415, "It must be gzip, deflate or identity.", "Content-Encoding");
  }
  const beast::string_view expect = request[http::field::expect];
  if (!expect.empty() && !beast::iequals(expect, "100-continue")) return refuse(417, "It cannot be met.", "Expect");
  return std::nullopt;
}

std::string choose_request_id(std::string_view given) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' ||
           c == '.';
  };
  const bool usable =
      !given.empty() && given.size() <= kMaxRequestIdBytes && std::all_of(given.begin(), given.end(), plain);
  return usable ? std::string(given) : random_id();
}

}  // namespace

HttpSession::HttpSession(HttpShared& shared, asio::ip::tcp::socket socket)
    : shared_(shared),
      stream_(std::move(socket)),
      buffer_(kBodyReadBytes + kMaxHeaderBytes),
      waiter_(stream_.get_executor()) {
  ++shared_.num_connections;
}

HttpSession::~HttpSession() {
  account_body(0);
  --shared_.num_connections;
}

asio::awaitable<void> HttpSession::run() {
  while (co_await serve_one()) account_body(0);
  beast::error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
}

void HttpSession::close() {
  closing_ = true;
  waiter_.cancel();
  stream_.close();
}

void HttpSession::close_if_idle() {
  std::int64_t since = idle_since();
  if (since == 0 || !idle_since_.compare_exchange_strong(since, kChosen)) return;
  asio::post(executor(), [self = shared_from_this()] {
    if (self->idle_since_ == kChosen) self->close();
  });
}

asio::awaitable<bool> HttpSession::serve_one() {
  if (buffer_.size() == 0) {
    buffer_.shrink_to_fit();  // thousands of idle connections hold no buffers
    stream_.expires_after(shared_.config.idle_timeout);
    idle_since_ = Clock::now().time_since_epoch().count();
    co_await read_more(kHeadReadBytes);
    idle_since_ = 0;
  }
  if (closing_) co_return false;
  Exchange exchange;
  exchange.arrival = Clock::now();
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(kMaxHeaderBytes));
  parser.body_limit(shared_.config.max_body_bytes);
  const std::optional<ApiError> error = co_await read_request(parser, exchange);
  if (closing_) co_return false;
  if (error) {
    exchange.keep_alive = false;
    co_await answer_error(exchange, *error);
    if (!closing_) co_await linger();
    co_return false;
  }
  co_return co_await dispatch(exchange);
}

// --- Reading ---

asio::awaitable<void> HttpSession::read_more(std::size_t num_bytes) {
  const std::size_t room = std::min(num_bytes, buffer_.max_size() - buffer_.size());
  const auto [ec, num_read] = co_await stream_.async_read_some(buffer_.prepare(room), kAwait);
  if (ec) closing_ = true;
  buffer_.commit(num_read);
}

asio::awaitable<std::optional<ApiError>> HttpSession::read_request(Parser& parser, Exchange& exchange) {
  stream_.expires_after(shared_.config.header_timeout);
  std::optional<ApiError> error = co_await read_head(parser);
  if (error || closing_) co_return error;
  const auto& request = parser.get();
  exchange.method = request.method_string();
  exchange.target = request.target();
  exchange.request_id = choose_request_id(request["X-Request-Id"]);
  exchange.content_type = request[http::field::content_type];
  exchange.coding = request[http::field::content_encoding];
  exchange.accepts_gzip = accepts_gzip(request[http::field::accept_encoding]);
  read_origin(request, exchange);
  exchange.http_1_1 = request.version() == 11;
  exchange.keep_alive = parser.keep_alive() && !shared_.draining;
  error = check_framing(request);
  if (error) co_return error;
  if (!request[http::field::expect].empty() && exchange.http_1_1 && buffer_.size() == 0) {
    if (!co_await write("HTTP/1.1 100 Continue\r\n\r\n")) co_return std::nullopt;
  }
  stream_.expires_after(shared_.config.body_timeout);
  error = co_await read_body(parser);
  stream_.expires_never();
  exchange.body = std::move(parser.get().body());
  co_return error;
}

void HttpSession::read_origin(const Parser::value_type& request, Exchange& exchange) const {
  const std::string_view origin = request[http::field::origin];
  const std::vector<std::string>& allowed = shared_.config.allowed_origins;
  const bool any = std::ranges::find(allowed, "*") != allowed.end();
  if (origin.empty() || (!any && std::ranges::find(allowed, origin) == allowed.end())) return;
  exchange.allow_origin = any ? "*" : std::string(origin);
  exchange.allow_headers = request[http::field::access_control_request_headers];
  exchange.preflight = exchange.method == "OPTIONS";  // there is nothing else to ask with it
}

asio::awaitable<std::optional<ApiError>> HttpSession::read_head(Parser& parser) {
  for (;;) {
    std::string_view seen(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    while (seen.starts_with("\r\n")) {  // tolerated between requests
      buffer_.consume(2);
      seen.remove_prefix(2);
    }
    const std::size_t end = seen.find("\r\n\r\n");
    if (end == std::string_view::npos) {
      if (auto error = check_partial_head(seen)) co_return error;
      co_await read_more(kHeadReadBytes);
      if (closing_) co_return std::nullopt;
      continue;
    }
    const std::string_view head = seen.substr(0, end + 4);
    if (auto error = check_head(head)) co_return error;
    beast::error_code ec;
    parser.put(asio::buffer(head), ec);
    if (ec) co_return parser_error(ec, shared_.config.max_body_bytes);
    buffer_.consume(head.size());
    co_return std::nullopt;
  }
}

asio::awaitable<std::optional<ApiError>> HttpSession::read_body(Parser& parser) {
  parser.eager(true);
  while (!parser.is_done()) {
    beast::error_code ec = http::error::need_more;
    if (buffer_.size() > 0) buffer_.consume(parser.put(buffer_.data(), ec));
    if (ec && ec != http::error::need_more) co_return parser_error(ec, shared_.config.max_body_bytes);
    if (!account_body(parser.get().body().size())) co_return overloaded();
    if (ec != http::error::need_more) continue;
    if (buffer_.size() > kMaxHeaderBytes) co_return refuse(400, "A chunk's header is too large.");
    co_await read_more(kBodyReadBytes);
    if (closing_) co_return std::nullopt;
  }
  co_return std::nullopt;
}

// Counts this connection's body among those of all. False when together they are too much.
bool HttpSession::account_body(std::size_t num_bytes) {
  shared_.buffered_bytes += num_bytes;
  shared_.buffered_bytes -= accounted_bytes_;
  accounted_bytes_ = num_bytes;
  return shared_.buffered_bytes <= shared_.config.max_buffered_bytes;
}

// --- Answering ---

asio::awaitable<bool> HttpSession::dispatch(Exchange& exchange) {
  if (exchange.preflight) {
    ResponseHead head;
    head.status = 204;
    head.allow_headers = exchange.allow_headers;
    co_return co_await answer(exchange, head, "");
  }
  const RouteMatch match = find_route(exchange.method, exchange.target);
  if (match.error) co_return co_await answer_error(exchange, *match.error, match.allow);
  exchange.handler = match.route->path;
  if (const Endpoint* endpoint = std::get_if<Endpoint>(&match.route->handler)) {
    co_return co_await serve_generation(exchange, *endpoint);
  }
  if (const RouteQuery* query = std::get_if<RouteQuery>(&match.route->handler)) {
    co_return co_await serve_query(exchange, *query);
  }
  RouteAnswer found = std::get<0>(match.route->handler)({shared_.generation, match.name, shared_.draining});
  co_return co_await answer(exchange, std::move(found));
}

asio::awaitable<bool> HttpSession::answer(const Exchange& exchange, RouteAnswer found) {
  if (found.error) co_return co_await answer_error(exchange, *found.error);
  ResponseHead head;
  head.status = found.status;
  head.content_type = found.content_type;
  co_return co_await answer(exchange, head, std::move(found.body));
}

asio::awaitable<bool> HttpSession::answer(const Exchange& exchange, ResponseHead head, std::string body) {
  head.gzipped = exchange.accepts_gzip && body.size() >= kLeastGzipped && body.size() <= kMostGzipped;
  if (head.gzipped) body = gzip(body);
  head.content_length = body.size();
  head.keep_alive = exchange.keep_alive;
  head.request_id = exchange.request_id;
  head.allow_origin = exchange.allow_origin;
  std::string out = response_head(head);
  if (exchange.method != "HEAD") out += body;
  const bool written = co_await write(out);
  shared_.generation.metrics.http_request(exchange.handler, exchange.handler == "none" ? "none" : exchange.method,
                                          head.status, Clock::now() - exchange.arrival);
  co_return written&& exchange.keep_alive;
}

asio::awaitable<bool> HttpSession::answer_error(const Exchange& exchange, const ApiError& error,
                                                std::string_view allow) {
  ResponseHead head;
  head.status = error.status;
  head.allow = allow;
  head.retry = error.retry;
  const bool is_anthropic = exchange.handler.starts_with("/v1/messages");
  std::string body = error_body(is_anthropic ? AnswerStyle::kAnthropic : AnswerStyle::kOpenAi, error);
  co_return co_await answer(exchange, head, std::move(body));
}

// False when the client does not read within the deadline or is gone.
asio::awaitable<bool> HttpSession::write(std::string_view data) {
  stream_.expires_after(shared_.config.write_timeout);
  const auto [ec, num_written] = co_await asio::async_write(stream_, asio::buffer(data), kAwait);
  stream_.expires_never();
  if (ec) closing_ = true;
  co_return !closing_;
}

// Closing with unread bytes would reset the connection and take the answer with it: read them for a while.
asio::awaitable<void> HttpSession::linger() {
  beast::error_code ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLinger);
  while (!closing_) {
    buffer_.clear();
    co_await read_more(kBodyReadBytes);
  }
}

}  // namespace caudal
