// Random values of structs that list their fields, and whether two such structs are the same.
#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "common/fields.h"
#include "common/strong_id.h"

namespace caudal {

// Integers are often 0, small or as large as they get; lists are short and often empty.
class RandomFields {
 public:
  explicit RandomFields(std::uint64_t seed) : random_(seed) {}

  template <HasFields T>
  T make() {
    T value;
    fill(value);
    return value;
  }

  template <HasFields T>
  void fill(T& value) {
    visit_fields(value, [&](std::string_view, auto& field) { fill(field); });
  }

 private:
  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void fill(T& value) {
    if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(below(static_cast<std::uint64_t>(last_of(T{})) + 1));
    } else if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<T>(below(2'000'001)) / T{1000} - T{1000};
    } else {
      using Limits = std::numeric_limits<T>;
      const T choices[] = {T{},           static_cast<T>(below(2)), static_cast<T>(below(200)), Limits::min(),
                           Limits::max(), static_cast<T>(random_())};
      value = choices[below(std::size(choices))];
    }
  }
  template <StrongIdType T>
  void fill(T& id) {
    auto value = id.value();
    fill(value);
    id = T::of(value);
  }
  void fill(std::string& text) {
    text.resize(below(9));
    std::ranges::generate(text, [&] { return static_cast<char>('a' + below(26)); });
  }
  template <typename T>
  void fill(std::optional<T>& value) {
    value.reset();
    if (below(2) == 0) fill(value.emplace());
  }
  template <typename T>
  void fill(std::vector<T>& values) {
    values.resize(below(4));
    for (T& value : values) fill(value);
  }

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  std::mt19937_64 random_;
};

template <typename T>
bool same_fields(const T& a, const T& b) {
  if constexpr (HasFields<T>) {
    std::vector<const void*> fields;
    visit_fields(a, [&](std::string_view, const auto& field) { fields.push_back(&field); });
    bool same = true;
    visit_fields(b, [&, i = std::size_t{0}](std::string_view, const auto& field) mutable {
      same &= same_fields(*static_cast<decltype(&field)>(fields[i++]), field);
    });
    return same;
  } else if constexpr (requires { a.begin(); }) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return same_fields(x, y); });
  } else if constexpr (requires { a.has_value(); }) {
    return a.has_value() == b.has_value() && (!a || same_fields(*a, *b));
  } else {
    return a == b;
  }
}

}  // namespace caudal
