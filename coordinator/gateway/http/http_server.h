// The HTTP gateway: listens, accepts, and gives each connection a coroutine (http_session). Owns its I/O threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "coordinator/gateway/api/limits.h"

namespace caudal {

class WorkPool;
struct GenerationContext;

struct HttpConfig {
  std::string host = "127.0.0.1";  // an address, not a name
  std::uint16_t port = 8000;       // 0: any free one
  std::size_t num_threads = 2;
  std::size_t max_connections = 16'384;
  std::size_t max_body_bytes = kDefaultMaxBodyBytes;
  std::size_t max_buffered_bytes = 256 << 20;        // bodies of all connections together
  std::chrono::milliseconds header_timeout{10'000};  // from its first byte to its end
  std::chrono::milliseconds body_timeout{120'000};
  std::chrono::milliseconds idle_timeout{75'000};   // between requests of a connection
  std::chrono::milliseconds write_timeout{30'000};  // for one write: a client that does not read
  std::chrono::milliseconds stream_ping{0};         // a comment for a stream that has had nothing for so long; 0: none
  std::vector<std::string> allowed_origins;         // whose pages may read answers (CORS); "*": all
};

class HttpServer {
 public:
  // Listens and serves. Errors: the address is not one, or it cannot be bound (the text says which port).
  // `generation` and `pool` outlive the server.
  static Result<std::unique_ptr<HttpServer>> start(const HttpConfig& config, const GenerationContext& generation,
                                                   WorkPool& pool);
  ~HttpServer();

  std::uint16_t port() const;

  // Whether any generation is not answered to its end.
  bool answering() const;

  // From now on /health says 503, new work is refused and idle connections are closed after their next answer.
  void begin_drain();
  // Closes everything, cancels what runs, joins. Idempotent.
  void stop();

 private:
  struct State;
  explicit HttpServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace caudal
