#include "coordinator/gateway/generation/token_stream.h"

#include <chrono>

namespace caudal {

void TokenStream::on_event(TokenEvent event) {
  if (!events_.try_push(std::move(event))) overflowed_.store(true, std::memory_order_release);
  wake_once();
}

void TokenStream::wake_once() {
  if (!woken_.exchange(true)) wake_();
}

std::vector<TokenEvent> TokenStream::drain() {
  woken_.store(false);  // first: an event that comes from here on wakes again
  std::vector<TokenEvent> events = events_.drain_for(std::chrono::seconds(0), kMaxAtOnce);
  if (events.size() == kMaxAtOnce) wake_once();
  return events;
}

}  // namespace caudal
