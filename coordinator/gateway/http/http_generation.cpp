// The part of a connection that waits for tokens. It has three sources of news, which all do the same, cancel the
// waiter_ on the strand: the engine (through TokenStream), the work pool, and the client's end of the socket.
#include <fmt/ranges.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/value.hpp>
#include <ctime>

#include "coordinator/gateway/api/openai_api.h"
#include "coordinator/gateway/http/answer_writer.h"
#include "coordinator/gateway/http/http_coding.h"
#include "coordinator/gateway/http/http_session.h"
#include "coordinator/metrics/metrics.h"

namespace caudal {
namespace {

constexpr std::chrono::hours kNoDeadline{24};
constexpr std::chrono::milliseconds kClientPoll{100};

// An answer that is not the last one (RFC 9110, section 15.2). HTTP/1.0 has none: there a client that is done with
// sending is taken to wait.
constexpr const char* kProbe = "HTTP/1.1 102 Processing\r\n\r\n";
constexpr std::string_view kComment = ": waiting\n\n";

bool is_json(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return beast::iequals(type.substr(0, type.find_last_not_of(' ') + 1), "application/json");
}

// What the end of the server cuts off is no answer. Its text so far may still be told.
void refuse_aborted(Generation::Progress& progress) {
  for (ChoiceDelta& delta : progress.deltas) {
    if (delta.finish_reason != FinishReason::kAbort) continue;
    delta.finish_reason = FinishReason::kNone;
    progress.error = shutting_down();
  }
}

}  // namespace

asio::awaitable<bool> HttpSession::serve_generation(Exchange& exchange, Endpoint endpoint) {
  if (shared_.draining) co_return co_await answer_error(exchange, shutting_down());
  const Counted counted(shared_.num_answering);
  probe_ = exchange.http_1_1 ? kProbe : "";
  watch_client();
  PoolWork work = [endpoint, arrival = exchange.arrival,
                   &context = shared_.generation](Result<boost::json::value> body) {
    return take_request(context, endpoint, std::move(body), arrival);
  };
  Intake intake = co_await take_on_pool(exchange, std::move(work));
  if (given_up()) co_return false;
  if (!intake.error) intake.error = intake.generation->start(waker());
  bool go_on = false;
  if (intake.error) {
    go_on = co_await answer_error(exchange, *intake.error);
  } else if (intake.generation->request().stream) {
    go_on = co_await stream_answer(exchange, *intake.generation);
  } else {
    go_on = co_await whole_answer(exchange, *intake.generation);
  }
  stop_watching_.emit(asio::cancellation_type::terminal);
  co_return go_on && !given_up();
}

asio::awaitable<bool> HttpSession::serve_query(Exchange& exchange, RouteQuery query) {
  const auto found = std::make_shared<RouteAnswer>();  // the pool may outlive this coroutine
  PoolWork work = [query, found, &context = shared_.generation](Result<boost::json::value> body) {
    if (!body) return Intake{nullptr, invalid_request(body.error())};
    *found = query(context, std::move(body).value());
    return Intake{};
  };
  const Intake intake = co_await take_on_pool(exchange, std::move(work));
  if (given_up()) co_return false;
  if (intake.error) co_return co_await answer_error(exchange, *intake.error);
  co_return co_await answer(exchange, std::move(*found));
}

asio::awaitable<Intake> HttpSession::take_on_pool(Exchange& exchange, PoolWork work) {
  if (!is_json(exchange.content_type)) {
    ApiError error = invalid_request({"It must be application/json.", "Content-Type"});
    error.status = 415;
    co_return Intake{nullptr, error};
  }
  auto job = std::make_shared<Preparation>();
  job->body = std::move(exchange.body);
  job->coding = exchange.coding;
  const bool accepted =
      shared_.pool.try_submit([job, work = std::move(work), wake = waker(), max_bytes = shared_.config.max_body_bytes] {
        job->intake = contain([&]() -> Intake {
          auto error = unpack_body(job->coding, max_bytes, job->body);
          if (error) return {nullptr, std::move(error)};
          return work(parse_body(job->body));
        });
        job->done = true;
        wake();
      });
  if (!accepted) co_return Intake{nullptr, overloaded()};
  while (!job->done && !given_up()) co_await wait_for_news();
  if (!job->done) co_return Intake{nullptr, overloaded()};
  co_return std::move(job->intake);
}

asio::awaitable<bool> HttpSession::whole_answer(const Exchange& exchange, Generation& generation) {
  const std::unique_ptr<AnswerWriter> writer =
      make_answer_writer(generation.request(), generation.model(), exchange.request_id, std::time(nullptr));
  while (!generation.finished()) {
    Generation::Progress progress = co_await next_progress(generation);
    if (given_up()) co_return false;
    if (progress.error) co_return co_await answer_error(exchange, *progress.error);
    for (ChoiceDelta& delta : progress.deltas) writer->collect(std::move(delta));
  }
  const std::string ignored = fmt::format("{}", fmt::join(generation.request().ignored_fields, ", "));
  ResponseHead head;
  head.ignored_fields = ignored;
  co_return co_await answer(exchange, head, writer->whole(generation.usage(), generation.num_choices()));
}

// The head goes out with the first token, or the first comment: until then a refusal still gets its status.
asio::awaitable<bool> HttpSession::stream_answer(const Exchange& exchange, Generation& generation) {
  const std::unique_ptr<AnswerWriter> writer =
      make_answer_writer(generation.request(), generation.model(), exchange.request_id, std::time(nullptr));
  ResponseHead head;
  head.content_type = "text/event-stream; charset=utf-8";
  head.chunked = exchange.http_1_1;
  head.keep_alive = exchange.keep_alive && exchange.http_1_1;
  head.request_id = exchange.request_id;
  head.allow_origin = exchange.allow_origin;
  const std::string ignored = fmt::format("{}", fmt::join(generation.request().ignored_fields, ", "));
  head.ignored_fields = ignored;
  bool ended = false;
  for (bool first = true; !ended; first = false) {
    const Generation::Progress progress = co_await next_progress(generation, shared_.config.stream_ping);
    if (given_up()) co_return false;
    if (progress.error && first) co_return co_await answer_error(exchange, *progress.error);
    std::string events;
    for (const ChoiceDelta& delta : progress.deltas) writer->append_events(delta, events);
    if (progress.error) writer->append_error(*progress.error, events);
    ended = progress.error || generation.finished();
    if (ended) writer->append_end(generation.usage(), events);
    if (events.empty()) events = kComment;
    if (!co_await write_events(first ? &head : nullptr, events, head.chunked, ended)) co_return false;
  }
  shared_.generation.metrics.http_request(exchange.handler, exchange.method, 200, Clock::now() - exchange.arrival);
  co_return head.keep_alive;
}

asio::awaitable<bool> HttpSession::write_events(const ResponseHead* head, std::string_view events, bool chunked,
                                                bool ended) {
  std::string out = head != nullptr ? response_head(*head) : "";
  if (head != nullptr && !probe_.empty()) {
    probe_.clear();
    append_http_chunk(kComment, probe_);
  }
  if (chunked) {
    append_http_chunk(events, out);
    if (ended) out += kLastHttpChunk;
  } else {
    out += events;
  }
  co_return co_await write(out);
}

// Returns when there is something to send, when the client is gone, or out of patience.
asio::awaitable<Generation::Progress> HttpSession::next_progress(Generation& generation,
                                                                 std::chrono::milliseconds patience) {
  const Clock::time_point end = Clock::now() + patience;
  for (;;) {
    Generation::Progress progress = generation.advance();
    refuse_aborted(progress);
    if (!progress.deltas.empty() || progress.error || generation.finished() || given_up()) co_return progress;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (patience.count() > 0 && left.count() <= 0) co_return progress;
    co_await wait_for_news(patience.count() > 0 ? left : patience);
  }
}

asio::awaitable<void> HttpSession::wait_for_news(std::chrono::milliseconds patience) {
  std::chrono::milliseconds wait = polls_client_ ? kClientPoll : std::chrono::milliseconds(kNoDeadline);
  if (patience.count() > 0) wait = std::min(wait, patience);
  waiter_.expires_after(wait);
  co_await waiter_.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!polls_client_) co_return;
  const ClientState state = client_state();
  if (state == ClientState::kGone) client_gone_ = true;
  if (state != ClientState::kHalfClosed || probe_.empty()) co_return;
  co_await write(std::exchange(probe_, ""));
}

// For other threads. Holds the io_context, so that posting is safe however long the engine keeps its sink.
std::function<void()> HttpSession::waker() {
  return [io = shared_.io, executor = stream_.get_executor(), weak = weak_from_this()] {
    asio::post(executor, [weak] {
      if (const auto self = weak.lock()) self->waiter_.cancel();
    });
  };
}

void HttpSession::watch_client() {
  client_gone_ = false;
  polls_client_ = false;
  auto handler = [weak = weak_from_this()](boost::system::error_code ec) {
    const auto self = weak.lock();
    if (self != nullptr) self->on_readable(ec);
  };
  stream_.socket().async_wait(
      asio::ip::tcp::socket::wait_read,
      asio::bind_cancellation_slot(stop_watching_.slot(), asio::bind_executor(stream_.get_executor(), handler)));
}

// Nothing is expected from the client now: the end of the connection, or the next request already.
void HttpSession::on_readable(boost::system::error_code ec) {
  if (ec == asio::error::operation_aborted) return;
  client_gone_ = static_cast<bool>(ec) || client_state() == ClientState::kGone;
  polls_client_ = true;
  waiter_.cancel();
}

// A client that is done with sending may still wait for its answer, or may be gone: the same to see. To what is sent to
// it the host of one that is gone says so.
HttpSession::ClientState HttpSession::client_state() {
  tcp_info info{};
  socklen_t size = sizeof(info);
  const int failed = getsockopt(stream_.socket().native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size);
  if (failed != 0) return ClientState::kGone;
  if (info.tcpi_state == TCP_ESTABLISHED) return ClientState::kOpen;
  return info.tcpi_state == TCP_CLOSE_WAIT ? ClientState::kHalfClosed : ClientState::kGone;
}

}  // namespace caudal
