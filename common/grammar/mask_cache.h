// Masks, and parts of them, that are the same in many states of a machine. Shared by a matcher and its copies; one
// thread.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace caudal::grammar {

class MaskCache {
 public:
  const std::vector<std::uint64_t>* find(std::uint64_t key) const {
    const auto found = masks_.find(key);
    return found == masks_.end() ? nullptr : &found->second;
  }
  // Valid until the next one.
  const std::vector<std::uint64_t>* insert(std::uint64_t key, std::vector<std::uint64_t> mask) {
    if (masks_.size() >= kMaxMasks) masks_.clear();
    return &masks_.insert_or_assign(key, std::move(mask)).first->second;
  }

 private:
  static constexpr std::size_t kMaxMasks = 256;  // 4 MB with 128k tokens
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> masks_;
};

}  // namespace caudal::grammar
