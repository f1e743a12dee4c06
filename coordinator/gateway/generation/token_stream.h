// Hands a request's events from the engine thread to the thread of its connection: never blocks, bounded, one
// wake-up per batch. One producer (the engine), one consumer (the connection); knows nothing of sockets.
#pragma once

#include <atomic>
#include <functional>
#include <vector>

#include "common/queue.h"
#include "coordinator/request/request_service.h"

namespace caudal {

class TokenStream final : public TokenSink {
 public:
  // `wake` is called on the engine thread when events wait and the consumer has not been woken since its last
  // drain(); it must not block.
  TokenStream(std::size_t capacity, std::function<void()> wake) : events_(capacity), wake_(std::move(wake)) {}

  void on_event(TokenEvent event) override;

  // What has come since the last call, oldest first; does not wait. At most kMaxAtOnce, so that a backlog cannot
  // hold the thread that serves other requests too; wakes for the rest.
  std::vector<TokenEvent> drain();
  static constexpr std::size_t kMaxAtOnce = 64;

  // The consumer was too slow and events are lost: the request cannot go on.
  bool overflowed() const { return overflowed_.load(std::memory_order_acquire); }

 private:
  void wake_once();

  Queue<TokenEvent> events_;
  const std::function<void()> wake_;
  std::atomic<bool> woken_ = false;
  std::atomic<bool> overflowed_ = false;
};

}  // namespace caudal
