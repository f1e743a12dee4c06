// StrongId: a number that names one kind of thing, so that a slot is never taken for a block. A literal is one by
// itself; what is computed has to say so: BlockId::of(i). IndexedVector: a vector that only ids of one kind index.
// Both cost what the plain number and vector cost.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace caudal {

template <typename Tag, std::integral Rep = std::int32_t>
class StrongId {
 public:
  constexpr StrongId() = default;
  consteval StrongId(Rep literal) : value_(literal) {}
  static constexpr StrongId of(std::integral auto value) { return StrongId(static_cast<Rep>(value), Computed()); }

  constexpr Rep value() const { return value_; }
  constexpr std::size_t index() const { return static_cast<std::size_t>(value_); }

  constexpr StrongId& operator++() {
    ++value_;
    return *this;
  }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

 private:
  struct Computed {};
  constexpr StrongId(Rep value, Computed) : value_(value) {}

  Rep value_ = 0;
};

template <typename T>
inline constexpr bool kIsStrongId = false;
template <typename Tag, typename Rep>
inline constexpr bool kIsStrongId<StrongId<Tag, Rep>> = true;

template <typename T>
concept StrongIdType = kIsStrongId<T>;

// The ids [first, last).
template <StrongIdType Id>
class IdRange {
 public:
  struct Iterator {
    Id id;
    constexpr Id operator*() const { return id; }
    constexpr Iterator& operator++() {
      ++id;
      return *this;
    }
    friend constexpr bool operator==(Iterator, Iterator) = default;
  };

  constexpr IdRange(Id first, Id last) : first_(first), last_(last) {}
  constexpr Iterator begin() const { return {first_}; }
  constexpr Iterator end() const { return {last_}; }

 private:
  Id first_, last_;
};

// The ids 0 .. count - 1.
template <StrongIdType Id>
constexpr IdRange<Id> ids(std::integral auto count) {
  return {Id::of(0), Id::of(count)};
}

template <StrongIdType Id, typename T>
class IndexedVector {
 public:
  IndexedVector() = default;
  explicit IndexedVector(std::integral auto size) : values_(static_cast<std::size_t>(size)) {}
  IndexedVector(std::integral auto size, const T& value) : values_(static_cast<std::size_t>(size), value) {}

  decltype(auto) operator[](Id id) { return values_[id.index()]; }
  decltype(auto) operator[](Id id) const { return values_[id.index()]; }
  // Throws for an id that is not there: in tests.
  decltype(auto) at(Id id) { return values_.at(id.index()); }
  decltype(auto) at(Id id) const { return values_.at(id.index()); }
  bool contains(Id id) const { return id.value() >= 0 && id.index() < values_.size(); }

  std::int32_t size() const { return static_cast<std::int32_t>(values_.size()); }
  IdRange<Id> ids() const { return caudal::ids<Id>(values_.size()); }
  auto begin() { return values_.begin(); }
  auto begin() const { return values_.begin(); }
  auto end() { return values_.end(); }
  auto end() const { return values_.end(); }

 private:
  std::vector<T> values_;
};

}  // namespace caudal
