#include "kernels/cuda/backend/arena.h"

#include <algorithm>

#include "common/check.h"

namespace caudal::cuda {

std::optional<std::size_t> Arena::take(std::size_t bytes) {
  const std::size_t size = std::max(rounded(bytes), kAlignment);
  const auto gap = std::find_if(free_.begin(), free_.end(), [size](const auto& g) { return g.second >= size; });
  if (gap == free_.end()) return std::nullopt;
  const auto [offset, available] = *gap;
  free_.erase(gap);
  if (available > size) free_[offset + size] = available - size;
  taken_[offset] = size;
  return offset;
}

void Arena::give(std::size_t offset) {
  const auto piece = taken_.find(offset);
  CHECK_MSG(piece != taken_.end(), "memory was freed that is not taken");
  std::size_t size = piece->second;
  taken_.erase(piece);
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + size == next->first) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += size;
      return;
    }
  }
  free_[offset] = size;
}

std::size_t Arena::free_bytes() const {
  std::size_t sum = 0;
  for (const auto& [offset, size] : free_) sum += size;
  return sum;
}

}  // namespace caudal::cuda
