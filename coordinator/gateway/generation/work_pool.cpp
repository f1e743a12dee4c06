#include "coordinator/gateway/generation/work_pool.h"

namespace caudal {

WorkPool::WorkPool(std::size_t num_threads, std::size_t capacity) : queue_(capacity) {
  for (std::size_t i = 0; i < num_threads; ++i) {
    threads_.emplace_back([this] {
      while (auto work = queue_.pop()) (*work)();
    });
  }
}

void WorkPool::stop() {
  queue_.close();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace caudal
