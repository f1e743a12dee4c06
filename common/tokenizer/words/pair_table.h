// The merge table of BPE: an open-addressing hash table from a pair of token ids to rank and joined id.
// One cache line per look-up; the look-up is the inner loop of the tokenizer. Immutable once filled.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/types.h"

namespace caudal {

class PairTable {
 public:
  struct Merge {
    std::uint32_t rank;
    TokenId joined_id;
  };

  PairTable() : slots_(2) {}
  explicit PairTable(std::size_t num_pairs) : slots_(std::bit_ceil(2 * num_pairs + 2)) {}

  // A pair that is there already gets the new merge. At most `num_pairs` different pairs fit.
  void set(TokenId left, TokenId right, Merge merge) {
    slots_[slot_of(key_of(left, right))] = {key_of(left, right), merge};
  }

  // nullptr when the pair does not join.
  const Merge* find(TokenId left, TokenId right) const {
    const Slot& slot = slots_[slot_of(key_of(left, right))];
    return slot.key == kEmpty ? nullptr : &slot.merge;
  }

 private:
  static constexpr std::uint64_t kEmpty = ~0ULL;  // ids are not negative, so no pair has this key
  struct Slot {
    std::uint64_t key = kEmpty;
    Merge merge = {};
  };

  static std::uint64_t key_of(TokenId left, TokenId right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }

  // The slot that holds the key, or the empty one where it would go.
  std::size_t slot_of(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::uint64_t hash = key * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 32;
    std::size_t slot = hash & mask;
    while (slots_[slot].key != key && slots_[slot].key != kEmpty) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
};

}  // namespace caudal
