// The HTTP client: one coroutine per request, connections kept and used again.
#include <fmt/format.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "tests/bench/caudal_bench/caudal_bench_client.h"
#include "tests/bench/caudal_bench/caudal_bench_stream.h"

namespace caudal::bench {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMaxErrorBytes = 500;  // of a server's refusal, in a record

struct Connection {
  explicit Connection(asio::io_context& io) : stream(io) {}
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  bool connected = false;
};

class HttpClient {
 public:
  HttpClient(asio::io_context& io, const HttpTarget& target, tcp::resolver::results_type addresses, Run& run)
      : io_(io), target_(target), addresses_(std::move(addresses)), run_(run), arrival_(io), tick_(io) {}

  void start() {
    tick();
    pump();
  }

 private:
  using Request = http::request<http::string_body>;

  // Starts what is due, and comes back for the next arrival. What --max-concurrency holds back is started by the
  // request that ends.
  void pump() {
    while (const std::optional<std::size_t> index = run_.take()) {
      asio::co_spawn(io_, serve(*index), asio::detached);
    }
    arrival_.expires_after(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(run_.idle_s(1.0))));
    arrival_.async_wait([this](beast::error_code failed) {
      if (!failed) pump();
    });
  }

  void tick() {
    run_.show_progress();
    if (run_.over()) return io_.stop();
    tick_.expires_after(kTick);
    tick_.async_wait([this](beast::error_code) { tick(); });
  }

  asio::awaitable<void> serve(std::size_t index) {
    const Request request = make_request(index);
    Record& record = run_.record(index);
    record.start_s = run_.now_s();
    // A kept connection may have been closed by the server meanwhile: once more on a new one.
    bool stale = false;
    if (!idle_.empty()) {
      std::unique_ptr<Connection> kept = std::move(idle_.back());
      idle_.pop_back();
      co_await exchange(std::move(kept), request, record, &stale);
    } else {
      stale = true;
    }
    if (stale) {
      record.error.clear();
      co_await exchange(std::make_unique<Connection>(io_), request, record, nullptr);
    }
    run_.finish(index, std::move(record.error));
    if (run_.over()) {
      io_.stop();
    } else {
      pump();
    }
  }

  // `stale` is set when the connection ended before any answer.
  asio::awaitable<void> exchange(std::unique_ptr<Connection> connection, const Request& request, Record& record,
                                 bool* stale) {
    beast::tcp_stream& stream = connection->stream;
    stream.expires_after(run_.load().timeout);
    if (!connection->connected) {
      if (const auto [failed, endpoint] = co_await stream.async_connect(addresses_, kAwait); failed) {
        record.error = failed.message();
        co_return;
      }
      beast::error_code ignored;
      stream.socket().set_option(tcp::no_delay(true), ignored);
      connection->connected = true;
    }
    auto [failed, num_written] = co_await http::async_write(stream, request, kAwait);
    http::response_parser<http::string_body> parser;
    parser.body_limit(boost::none);
    if (!failed) {
      std::tie(failed, num_written) = co_await http::async_read_header(stream, connection->buffer, parser, kAwait);
    }
    if (failed) {
      record.error = failed.message();
      if (stale != nullptr) *stale = failed != beast::error::timeout;
      co_return;
    }
    co_await read_answer(*connection, parser, record);
    if (record.error.empty() && parser.is_done() && parser.keep_alive()) {
      stream.expires_never();
      idle_.push_back(std::move(connection));
    }
  }

  asio::awaitable<void> read_answer(Connection& connection, http::response_parser<http::string_body>& parser,
                                    Record& record) {
    const bool accepted = parser.get().result() == http::status::ok;
    std::string& body = parser.get().body();
    CompletionStream completion(record);
    // Not eager: a piece must not wait for the head of the chunk after it.
    while (!parser.is_done()) {
      const auto [failed, count] = co_await http::async_read_some(connection.stream, connection.buffer, parser, kAwait);
      if (accepted) {
        completion.feed(body, run_.now_s());
        body.clear();
      }
      if (failed) {
        record.error = failed.message();
        co_return;
      }
    }
    if (accepted) {
      completion.end();
    } else {
      record.error = fmt::format("HTTP {}: {}", parser.get().result_int(), body.substr(0, kMaxErrorBytes));
    }
  }

  Request make_request(std::size_t index) const {
    const Load& load = run_.load();
    Request request{http::verb::post, target_.base_path + "/v1/completions", 11};
    request.set(http::field::host, target_.host + ":" + target_.port);
    request.set(http::field::content_type, "application/json");
    request.body() = completion_json(
        {load.model, load.requests[index].num_output_tokens, load.temperature, load.ignore_eos}, run_.prompt(index));
    request.prepare_payload();
    return request;
  }

  asio::io_context& io_;
  const HttpTarget& target_;
  const tcp::resolver::results_type addresses_;
  Run& run_;
  asio::steady_timer arrival_;
  asio::steady_timer tick_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

Result<tcp::resolver::results_type> resolve(asio::io_context& io, const HttpTarget& target) {
  beast::error_code failed;
  tcp::resolver resolver(io);
  auto addresses = resolver.resolve(target.host, target.port, failed);
  if (failed) return Error{fmt::format("{}:{}: {}", target.host, target.port, failed.message()), "base-url"};
  return addresses;
}

}  // namespace

Result<HttpTarget> parse_base_url(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return Error{"must begin with http://", "base-url"};
  url.remove_prefix(kScheme.size());
  const std::size_t slash = url.find('/');
  std::string_view path = slash == std::string_view::npos ? "" : url.substr(slash);
  while (path.ends_with('/')) path.remove_suffix(1);
  const std::string_view authority = url.substr(0, slash);
  const std::size_t colon = authority.rfind(':');
  HttpTarget target{std::string(authority.substr(0, colon)), "80", std::string(path)};
  if (colon != std::string_view::npos) target.port = authority.substr(colon + 1);
  if (target.host.empty() || target.port.empty()) return Error{"must be http://host:port", "base-url"};
  return target;
}

Result<ServedModel> ask_model_http(const HttpTarget& target, const std::string& wanted) {
  asio::io_context io;
  const auto addresses = resolve(io, target);
  if (!addresses) return addresses.error();
  beast::tcp_stream stream(io);
  beast::error_code failed;
  stream.connect(addresses.value(), failed);
  http::response<http::string_body> answer;
  if (!failed) {
    http::request<http::empty_body> request{http::verb::get, target.base_path + "/v1/models", 11};
    request.set(http::field::host, target.host + ":" + target.port);
    beast::flat_buffer buffer;
    http::write(stream, request, failed);
    if (!failed) http::read(stream, buffer, answer, failed);
  }
  if (failed) return Error{fmt::format("{}:{}: {}", target.host, target.port, failed.message()), "base-url"};
  return find_model(answer.body(), wanted);
}

Result<Outcome> run_http(const HttpTarget& target, const Load& load) {
  asio::io_context io(1);
  auto addresses = resolve(io, target);
  if (!addresses) return addresses.error();
  Run run(load);
  HttpClient client(io, target, std::move(addresses).value(), run);
  client.start();
  io.run();
  return std::move(run).outcome();
}

}  // namespace caudal::bench
