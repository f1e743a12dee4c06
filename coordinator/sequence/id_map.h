// IdMap: values by their id, in constant time and nearly always in one cache line. Ids are given out in order, so the
// low bits of an id are its place most of the time; who finds it taken takes the next free one. Values move when others
// come and go. One thread.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "common/check.h"

namespace caudal {

template <typename Value>
class IdMap {
 public:
  using Id = std::uint64_t;

  IdMap() : rows_(64) {}

  std::size_t size() const { return size_; }

  // nullptr: it is not there.
  Value* find(Id id) { return of(rows_[row_of(id)]); }
  const Value* find(Id id) const { return of(rows_[row_of(id)]); }

  // nullptr: the id is there already.
  Value* insert(Id id, Value value) {
    if ((size_ + 1) * 2 > rows_.size()) grow();
    Row& row = rows_[row_of(id)];
    if (row.id != kNone) return nullptr;
    ++size_;
    row = {id, std::move(value)};
    return &row.value;
  }

  // Whether it was there.
  bool erase(Id id) {
    std::size_t hole = row_of(id);
    if (rows_[hole].id == kNone) return false;
    rows_[hole] = {};
    --size_;
    // Those behind the hole move up, unless they would come to stand before their own place.
    for (std::size_t i = next(hole); rows_[i].id != kNone; i = next(i)) {
      const std::size_t from_own_place = (i - rows_[i].id) & mask();
      const std::size_t from_hole = (i - hole) & mask();
      if (from_own_place >= from_hole) rows_[std::exchange(hole, i)] = std::exchange(rows_[i], {});
    }
    return true;
  }

  // Calls visit(id, value) for all of them, in no particular order.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (const Row& row : rows_) {
      if (row.id != kNone) visit(row.id, row.value);
    }
  }

  void clear() { *this = {}; }

  // Brings its place into the cache.
  void fetch(Id id) const { __builtin_prefetch(&rows_[id & mask()]); }

 private:
  static constexpr Id kNone = std::numeric_limits<Id>::max();
  struct Row {
    Id id = kNone;
    Value value{};
  };

  static Value* of(Row& row) { return row.id == kNone ? nullptr : &row.value; }
  static const Value* of(const Row& row) { return row.id == kNone ? nullptr : &row.value; }
  std::size_t mask() const { return rows_.size() - 1; }
  std::size_t next(std::size_t row) const { return (row + 1) & mask(); }
  // The row of the id, or the free one that it would get.
  std::size_t row_of(Id id) const {
    std::size_t row = id & mask();
    while (rows_[row].id != kNone && rows_[row].id != id) row = next(row);
    return row;
  }
  void grow() {
    std::vector<Row> before(2 * rows_.size());
    std::swap(before, rows_);
    for (Row& row : before) {
      if (row.id != kNone) rows_[row_of(row.id)] = std::move(row);
    }
  }

  std::vector<Row> rows_;  // a power of two of them, at most half of them taken
  std::size_t size_ = 0;
};

}  // namespace caudal
