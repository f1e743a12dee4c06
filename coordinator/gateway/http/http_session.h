// One HTTP connection: a coroutine on its own strand that reads a request, answers it, and starts over. Only
// http_server and the two files of this class include it: they are compiled together, and no other file reads Asio and
// Beast.
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>

#include "coordinator/gateway/generation/generation.h"
#include "coordinator/gateway/generation/work_pool.h"
#include "coordinator/gateway/http/http_response.h"
#include "coordinator/gateway/http/http_routes.h"
#include "coordinator/gateway/http/http_server.h"

namespace caudal {

namespace asio = boost::asio;
namespace beast = boost::beast;

// What all connections of a server share.
struct HttpShared {
  HttpConfig config;
  const GenerationContext& generation;
  WorkPool& pool;
  // Held by everything that may post to it from another thread, for example a TokenStream in the engine.
  std::shared_ptr<asio::io_context> io = std::make_shared<asio::io_context>();
  std::atomic<std::size_t> num_connections = 0;
  std::atomic<std::size_t> buffered_bytes = 0;
  std::atomic<std::size_t> num_answering = 0;  // requests whose generation is not answered to the end
  std::atomic<bool> draining = false;
};

// Counts as long as it lives.
class Counted {
 public:
  explicit Counted(std::atomic<std::size_t>& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<std::size_t>& count_;
};

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(HttpShared& shared, asio::ip::tcp::socket socket);
  ~HttpSession();

  asio::awaitable<void> run();
  // On the session's strand. Ends the connection and with it what it asked for.
  void close();
  // From any thread: when it began to wait for a request, in ticks of its clock; 0: it is busy, or chosen already.
  std::int64_t idle_since() const { return std::max<std::int64_t>(idle_since_, 0); }
  // From any thread. Closes it, unless a request comes first.
  void close_if_idle();
  auto executor() { return stream_.get_executor(); }

 private:
  using Parser = beast::http::request_parser<beast::http::string_body>;
  using Clock = std::chrono::steady_clock;

  // What is kept of a request while it is answered.
  struct Exchange {
    std::string method;
    std::string target;
    std::string request_id;  // the client's X-Request-Id, or ours
    std::string content_type;
    std::string coding;  // of the body; one that is known
    bool accepts_gzip = false;
    std::string allow_origin;   // the client's Origin, or "*", where its pages may read the answer
    std::string allow_headers;  // what its preflight request asks for
    bool preflight = false;
    std::string body;
    bool keep_alive = false;
    bool http_1_1 = true;
    Clock::time_point arrival;
    std::string_view handler = "none";  // path of the route, for the metrics
  };

  // A request on the work pool, which owns it together with the connection: either may be gone before the other.
  struct Preparation {
    std::string body;
    std::string coding;
    Intake intake;
    std::atomic<bool> done = false;
  };

  // Reading (http_session.cpp). An error is to be answered, after which the connection closes; when closing_ is
  // set, the client is gone.
  asio::awaitable<bool> serve_one();
  asio::awaitable<std::optional<ApiError>> read_request(Parser& parser, Exchange& exchange);
  void read_origin(const Parser::value_type& request, Exchange& exchange) const;
  asio::awaitable<std::optional<ApiError>> read_head(Parser& parser);
  asio::awaitable<std::optional<ApiError>> read_body(Parser& parser);
  asio::awaitable<void> read_more(std::size_t num_bytes);
  bool account_body(std::size_t num_bytes);

  // Answering. Each says whether the connection can go on.
  asio::awaitable<bool> dispatch(Exchange& exchange);
  asio::awaitable<bool> answer(const Exchange& exchange, ResponseHead head, std::string body);
  asio::awaitable<bool> answer(const Exchange& exchange, RouteAnswer found);
  asio::awaitable<bool> answer_error(const Exchange& exchange, const ApiError& error, std::string_view allow = {});
  asio::awaitable<bool> write(std::string_view data);
  asio::awaitable<void> linger();

  // What needs the work pool (http_generation.cpp).
  asio::awaitable<bool> serve_generation(Exchange& exchange, Endpoint endpoint);
  asio::awaitable<bool> serve_query(Exchange& exchange, RouteQuery query);
  // Unpacks and parses the body and calls `work` with it there. Its result has an error where nothing came of it.
  using PoolWork = std::function<Intake(Result<boost::json::value>)>;
  asio::awaitable<Intake> take_on_pool(Exchange& exchange, PoolWork work);
  asio::awaitable<bool> stream_answer(const Exchange& exchange, Generation& generation);
  asio::awaitable<bool> write_events(const ResponseHead* head, std::string_view events, bool chunked, bool ended);
  asio::awaitable<bool> whole_answer(const Exchange& exchange, Generation& generation);
  // With a `patience` above 0 it may come back without news after that time.
  asio::awaitable<Generation::Progress> next_progress(Generation& generation, std::chrono::milliseconds patience = {});
  asio::awaitable<void> wait_for_news(std::chrono::milliseconds patience = {});
  std::function<void()> waker();
  void watch_client();
  void on_readable(boost::system::error_code ec);
  enum class ClientState : std::uint8_t { kOpen, kHalfClosed, kGone };
  ClientState client_state();
  bool given_up() const { return client_gone_ || closing_; }

  HttpShared& shared_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  asio::steady_timer waiter_;  // cancelled to wake the coroutine
  asio::cancellation_signal stop_watching_;
  bool client_gone_ = false;
  bool polls_client_ = false;  // what the socket says once, unread bytes or half an end, hides what comes later
  std::string probe_;          // bytes that change no answer: sent when only they can tell whether anybody is there
  bool closing_ = false;
  static constexpr std::int64_t kChosen = -1;  // to be closed
  std::atomic<std::int64_t> idle_since_ = 0;
  std::size_t accounted_bytes_ = 0;  // of HttpShared::buffered_bytes
};

}  // namespace caudal
