// SequenceMap: finds a sequence by its id, in constant time. Ids are given out in order, so the low bits of an id are
// its place nearly always; who finds it taken takes the next free one. Owns nothing; engine thread.
#pragma once

#include <utility>
#include <vector>

#include "common/check.h"
#include "coordinator/sequence/sequence.h"

namespace caudal {

class SequenceMap {
 public:
  SequenceMap() : rows_(64) {}

  Sequence& operator[](SequenceId id) const {
    Sequence* sequence = rows_[find(id)];
    CHECK_MSG(sequence != nullptr, "a sequence is named that is gone");
    return *sequence;
  }

  // Its id is new. It stays where it is until it is erased.
  void insert(Sequence& sequence) {
    if (++size_ * 2 > rows_.size()) grow();
    rows_[find(sequence.id)] = &sequence;
  }

  void erase(SequenceId id) {
    std::size_t hole = find(id);
    CHECK(rows_[hole] != nullptr);
    rows_[hole] = nullptr;
    --size_;
    // Those behind the hole move up, unless they would come to stand before their own place.
    for (std::size_t i = next(hole); rows_[i] != nullptr; i = next(i)) {
      const std::size_t from_own_place = (i - rows_[i]->id) & mask();
      const std::size_t from_hole = (i - hole) & mask();
      if (from_own_place >= from_hole) rows_[std::exchange(hole, i)] = std::exchange(rows_[i], nullptr);
    }
  }

 private:
  std::size_t mask() const { return rows_.size() - 1; }
  std::size_t next(std::size_t row) const { return (row + 1) & mask(); }
  // The row of the id, or the free one that it would get.
  std::size_t find(SequenceId id) const {
    std::size_t row = id & mask();
    while (rows_[row] != nullptr && rows_[row]->id != id) row = next(row);
    return row;
  }
  void grow() {
    for (Sequence* sequence : std::exchange(rows_, std::vector<Sequence*>(2 * rows_.size()))) {
      if (sequence != nullptr) rows_[find(sequence->id)] = sequence;
    }
  }

  std::vector<Sequence*> rows_;  // a power of two of them, at most half of them taken
  std::size_t size_ = 0;
};

}  // namespace caudal
