#include "coordinator/gateway/http/http_server.h"

#include <fmt/core.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <limits>
#include <set>
#include <thread>
#include <vector>

#include "common/log.h"
#include "coordinator/gateway/http/http_session.h"

namespace caudal {
namespace {

using asio::ip::tcp;
constexpr std::chrono::milliseconds kAcceptPause{100};  // when the process is out of descriptors

// A peer whose host died never sends a FIN: probe it, and give up on unacknowledged data as on any slow client.
void set_socket_options(tcp::socket& socket, std::chrono::milliseconds write_timeout) {
  const int fd = socket.native_handle();
  const int on = 1;
  const int idle_s = 30;
  const int interval_s = 10;
  const int probes = 3;
  const int timeout_ms = static_cast<int>(write_timeout.count());
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

// Too many connections: say so without waiting, and close.
void turn_away(tcp::socket socket) {
  const std::string body = error_json(overloaded());
  ResponseHead head;
  head.status = 503;
  head.keep_alive = false;
  head.retry = true;
  head.content_length = body.size();
  const std::string out = response_head(head) + body;
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(out), ignored);
}

}  // namespace

struct HttpServer::State {
  State(const HttpConfig& config, const GenerationContext& generation, WorkPool& pool)
      : shared{config, generation, pool}, strand(asio::make_strand(*shared.io)), acceptor(strand) {}

  Result<void> listen();
  asio::awaitable<void> accept_loop();
  void start_session(tcp::socket socket);
  bool close_oldest_idle();

  HttpShared shared;
  asio::strand<asio::io_context::executor_type> strand;  // of the acceptor and of `sessions`
  tcp::acceptor acceptor;
  std::set<std::shared_ptr<HttpSession>> sessions;  // so that stop() reaches them; their coroutines hold them, too
  std::uint16_t port = 0;
  std::vector<std::thread> threads;
};

Result<void> HttpServer::State::listen() {
  boost::system::error_code ec;
  const asio::ip::address address = asio::ip::make_address(shared.config.host, ec);
  if (ec) return Error{"It must be an IP address.", "host"};
  const tcp::endpoint endpoint(address, shared.config.port);
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return Error{fmt::format("Port {} cannot be listened on: {}.", shared.config.port, ec.message()), "port"};
  port = acceptor.local_endpoint().port();
  return {};
}

asio::awaitable<void> HttpServer::State::accept_loop() {
  asio::steady_timer pause(strand);
  while (acceptor.is_open()) {
    auto [ec, socket] =
        co_await acceptor.async_accept(asio::make_strand(*shared.io), asio::as_tuple(asio::use_awaitable));
    if (ec == asio::error::operation_aborted || !acceptor.is_open()) co_return;
    if (ec) {
      pause.expires_after(kAcceptPause);
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    } else if (shared.num_connections >= shared.config.max_connections && !close_oldest_idle()) {
      turn_away(std::move(socket));
    } else {
      start_session(std::move(socket));
    }
  }
}

// Makes room for a connection that has something to ask: thousands of idle ones must not keep everybody else out. False
// when all are busy.
bool HttpServer::State::close_oldest_idle() {
  std::shared_ptr<HttpSession> oldest;
  std::int64_t since = std::numeric_limits<std::int64_t>::max();
  for (const std::shared_ptr<HttpSession>& session : sessions) {
    const std::int64_t idle_since = session->idle_since();
    if (idle_since != 0 && idle_since < since) oldest = session, since = idle_since;
  }
  if (oldest == nullptr) return false;
  oldest->close_if_idle();
  return true;
}

void HttpServer::State::start_session(tcp::socket socket) {
  set_socket_options(socket, shared.config.write_timeout);
  auto session = std::make_shared<HttpSession>(shared, std::move(socket));
  sessions.insert(session);
  asio::co_spawn(session->executor(), session->run(), [this, session](const std::exception_ptr& failure) {
    if (failure) LOG_ERROR("a connection ended with an exception");
    asio::post(strand, [this, session] { sessions.erase(session); });
  });
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpConfig& config, const GenerationContext& generation,
                                                      WorkPool& pool) {
  auto state = std::make_unique<State>(config, generation, pool);
  const Result<void> listening = state->listen();
  if (!listening) return listening.error();
  asio::co_spawn(state->strand, state->accept_loop(), asio::detached);
  for (std::size_t i = 0; i < std::max<std::size_t>(config.num_threads, 1); ++i) {
    state->threads.emplace_back([io = state->shared.io] { io->run(); });
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(state)));
}

HttpServer::HttpServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

// Its threads cannot be left behind: when there is no memory to stop them, the process ends.
HttpServer::~HttpServer() {
  try {
    stop();
  } catch (...) {
    std::terminate();
  }
}

std::uint16_t HttpServer::port() const { return state_->port; }

bool HttpServer::answering() const { return state_->shared.num_answering > 0; }

void HttpServer::begin_drain() { state_->shared.draining = true; }

void HttpServer::stop() {
  begin_drain();
  asio::post(state_->strand, [state = state_.get()] {
    boost::system::error_code ignored;
    state->acceptor.close(ignored);
    for (const auto& session : state->sessions) asio::post(session->executor(), [session] { session->close(); });
  });
  for (std::thread& thread : state_->threads) {
    if (thread.joinable()) thread.join();
  }
  state_->threads.clear();
}

}  // namespace caudal
