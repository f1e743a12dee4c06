// Arena: objects of one type that come and go, side by side in large chunks: where there are many, walking some of them
// waits for memory less often than if each had been allocated alone. What is erased is used again first. One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "common/check.h"

namespace caudal {

template <typename T>
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { CHECK_MSG(num_objects_ == 0, "an arena goes before its objects"); }

  // The object stays where it is until it is erased.
  template <typename... Args>
  T& make(Args&&... args) {
    ++num_objects_;
    return *new (take_cell()) T{std::forward<Args>(args)...};
  }

  void erase(T& object) {
    --num_objects_;
    object.~T();
    free_ = new (&object) Free{free_};
  }

 private:
  static constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
  static constexpr std::size_t kCellsPerChunk = kChunkBytes / sizeof(T);
  struct Free {
    Free* next;
  };
  static_assert(sizeof(T) >= sizeof(Free) && alignof(T) >= alignof(Free) && kCellsPerChunk > 0);
  struct Cell {
    alignas(T) std::byte bytes[sizeof(T)];
  };

  void* take_cell() {
    if (free_ != nullptr) return std::exchange(free_, free_->next);
    if (num_used_ == kCellsPerChunk || chunks_.empty()) {
      chunks_.push_back(std::make_unique_for_overwrite<Cell[]>(kCellsPerChunk));
      num_used_ = 0;
    }
    return &chunks_.back()[num_used_++];
  }

  std::vector<std::unique_ptr<Cell[]>> chunks_;
  std::size_t num_used_ = 0;  // cells of the last chunk that have been taken before
  Free* free_ = nullptr;      // cells of erased objects
  std::size_t num_objects_ = 0;
};

}  // namespace caudal
