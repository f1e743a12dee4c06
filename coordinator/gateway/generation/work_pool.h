// The few threads that template and tokenize, so that a client's megabyte prompt does not delay the tokens of others.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "common/queue.h"

namespace caudal {

class WorkPool {
 public:
  WorkPool(std::size_t num_threads, std::size_t capacity);
  ~WorkPool() { stop(); }

  // False when too much waits already or after stop(). `work` must not throw.
  bool try_submit(std::function<void()> work) { return queue_.try_push(std::move(work)); }
  // Finishes what waits, then joins. Idempotent.
  void stop();

 private:
  Queue<std::function<void()>> queue_;
  std::vector<std::thread> threads_;
};

}  // namespace caudal
