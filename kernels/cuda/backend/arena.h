// Arena: the one piece of device memory that the memory plan speaks of, handed out in pieces. First fit, neighbours
// join when freed; used at start and stop only. Knows nothing of CUDA: it divides a range of bytes.
#pragma once

#include <cstddef>
#include <map>
#include <optional>

namespace caudal::cuda {

class Arena {
 public:
  static constexpr std::size_t kAlignment = 256;  // of every piece, and its size is a multiple
  static std::size_t rounded(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

  explicit Arena(std::size_t bytes) {
    if (bytes >= kAlignment) free_[0] = bytes / kAlignment * kAlignment;
  }

  // The offset of a piece, or nothing when no gap is large enough. At least one unit even for 0 bytes.
  std::optional<std::size_t> take(std::size_t bytes);
  void give(std::size_t offset);

  std::size_t free_bytes() const;

 private:
  std::map<std::size_t, std::size_t> free_;   // offset -> bytes
  std::map<std::size_t, std::size_t> taken_;  // offset -> bytes
};

}  // namespace caudal::cuda
