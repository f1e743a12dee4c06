// The wire format of Protocol Buffers, written from and read into structs that list their fields (common/fields.h).
// The i-th field of a list has the number i, from 1:
//
//   bool, integers, enums, ids   varint                  every value is written, zero too
//   float                        32 bits
//   std::string                  length, bytes
//   std::optional<T>             as T, or absent
//   std::vector of scalars       packed, the empty list too
//   std::vector of structs       one field per struct
//   std::vector of vectors       one message per inner vector, which is its field 1
//   std::variant                 one field; its number says which alternative it is
//
// Reading is strict: both ends are of one version, so an unknown field, another type or a value out of range is an
// error. What comes from elsewhere is never trusted further than its own length. proto/control.proto is the page of
// this format, and a test holds both together. https://protobuf.dev/programming-guides/encoding
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "common/fields.h"
#include "common/strong_id.h"

namespace caudal::protobuf {

enum class WireType : std::uint8_t { kVarint = 0, kDelimited = 2, kFixed32 = 5 };

template <typename T>
concept Scalar = std::is_integral_v<T> || std::is_enum_v<T> || std::same_as<T, float> || StrongIdType<T>;

template <Scalar T>
inline constexpr WireType kWireType = std::same_as<T, float> ? WireType::kFixed32 : WireType::kVarint;

inline void append_varint(std::uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

class Writer {
 public:
  template <HasFields T>
  void fields(const T& value) {
    int number = 0;
    visit_fields(value, [&](std::string_view, const auto& field) { this->field(++number, field); });
  }

  template <typename... Alternatives>
  void one_of(const std::variant<Alternatives...>& value) {
    const int number = static_cast<int>(value.index()) + 1;
    std::visit([&](const auto& message) { field(number, message); }, value);
  }

  std::string take() { return std::move(bytes_); }

 private:
  template <Scalar T>
  void field(int number, T value) {
    tag(number, kWireType<T>);
    scalar(value);
  }
  void field(int number, const std::string& text) {
    tag(number, WireType::kDelimited);
    varint(text.size());
    bytes_ += text;
  }
  template <HasFields T>
  void field(int number, const T& message) {
    delimited(number, [&] { fields(message); });
  }
  template <typename T>
  void field(int number, const std::optional<T>& value) {
    if (value) field(number, *value);
  }
  template <Scalar T>
  void field(int number, const std::vector<T>& values) {
    delimited(number, [&] {
      for (const T value : values) scalar(value);
    });
  }
  template <HasFields T>
  void field(int number, const std::vector<T>& messages) {
    for (const T& message : messages) field(number, message);
  }
  template <typename T>
  void field(int number, const std::vector<std::vector<T>>& lists) {
    for (const std::vector<T>& list : lists) delimited(number, [&] { field(1, list); });
  }

  template <Scalar T>
  void scalar(T value) {
    if constexpr (std::same_as<T, float>) {
      const auto bits = std::bit_cast<std::uint32_t>(value);
      for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift);
    } else if constexpr (StrongIdType<T>) {
      scalar(value.value());
    } else if constexpr (std::is_enum_v<T>) {
      varint(static_cast<std::uint64_t>(value));
    } else if constexpr (std::is_signed_v<T>) {
      varint(static_cast<std::uint64_t>(static_cast<std::int64_t>(value)));
    } else {
      varint(value);
    }
  }

  // The length is known only when the content is written, which then moves up for it. Nesting is shallow.
  template <typename Write>
  void delimited(int number, Write write) {
    tag(number, WireType::kDelimited);
    const std::size_t start = bytes_.size();
    write();
    std::string length;
    append_varint(bytes_.size() - start, length);
    bytes_.insert(start, length);
  }

  void tag(int number, WireType type) {
    varint(static_cast<std::uint64_t>(number) << 3 | static_cast<std::uint64_t>(type));
  }
  void varint(std::uint64_t value) { append_varint(value, bytes_); }

  std::string bytes_;
};

// Every read says whether the bytes were right; after one that were not, what was read so far is still there.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  // All that is left, as the fields of one message.
  template <HasFields T>
  bool fields(T& value) {
    while (!bytes_.empty()) {
      std::uint64_t tag = 0;
      if (!varint(tag)) return false;
      const auto type = static_cast<WireType>(tag & 7);
      std::uint64_t number = 0;
      bool is_right = false;
      visit_fields(value, [&](std::string_view, auto& field) {
        if (++number == tag >> 3) is_right = this->field(type, field);
      });
      if (!is_right) return false;
    }
    return true;
  }

  // All that is left, as exactly one field.
  template <typename... Alternatives>
  bool one_of(std::variant<Alternatives...>& value) {
    std::uint64_t tag = 0;
    if (!varint(tag)) return false;
    const auto read = [&](auto index) {
      return tag >> 3 == index + 1 && field(static_cast<WireType>(tag & 7), value.template emplace<index>());
    };
    const auto read_any = [&]<std::size_t... indices>(std::index_sequence<indices...>) {
      return (read(std::integral_constant<std::size_t, indices>()) || ...);
    };
    return read_any(std::index_sequence_for<Alternatives...>()) && bytes_.empty();
  }

 private:
  template <Scalar T>
  bool field(WireType type, T& value) {
    return type == kWireType<T> && scalar(value);
  }
  bool field(WireType type, std::string& text) {
    std::string_view content;
    if (type != WireType::kDelimited || !delimited(content)) return false;
    text = content;
    return true;
  }
  template <HasFields T>
  bool field(WireType type, T& message) {
    std::string_view content;
    return type == WireType::kDelimited && delimited(content) && Reader(content).fields(message);
  }
  template <typename T>
  bool field(WireType type, std::optional<T>& value) {
    return field(type, value.emplace());
  }
  template <Scalar T>
  bool field(WireType type, std::vector<T>& values) {
    std::string_view content;
    if (type != WireType::kDelimited || !delimited(content)) return false;
    values.clear();
    Reader reader(content);
    while (!reader.bytes_.empty()) {
      if (!reader.scalar(values.emplace_back())) return false;
    }
    return true;
  }
  template <HasFields T>
  bool field(WireType type, std::vector<T>& messages) {
    return field(type, messages.emplace_back());
  }
  template <typename T>
  bool field(WireType type, std::vector<std::vector<T>>& lists) {
    std::string_view content;
    if (type != WireType::kDelimited || !delimited(content)) return false;
    Reader reader(content);
    std::vector<T>& list = lists.emplace_back();
    while (!reader.bytes_.empty()) {
      std::uint64_t tag = 0;
      if (!reader.varint(tag) || tag >> 3 != 1 || !reader.field(static_cast<WireType>(tag & 7), list)) return false;
    }
    return true;
  }

  template <Scalar T>
  bool scalar(T& value) {
    if constexpr (std::same_as<T, float>) {
      if (bytes_.size() < 4) return false;
      std::uint32_t bits = 0;
      for (std::size_t i = 0; i < 4; ++i) bits |= std::uint32_t{static_cast<unsigned char>(bytes_[i])} << (8 * i);
      bytes_.remove_prefix(4);
      value = std::bit_cast<float>(bits);
      return true;
    } else {
      std::uint64_t raw = 0;
      return varint(raw) && narrow(raw, value);
    }
  }

  template <Scalar T>
  static bool narrow(std::uint64_t raw, T& value) {
    if constexpr (StrongIdType<T>) {
      auto number = value.value();
      const bool fits = narrow(raw, number);
      value = T::of(number);
      return fits;
    } else if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(raw);
      return raw <= static_cast<std::uint64_t>(last_of(T{}));
    } else if constexpr (std::is_signed_v<T>) {
      value = static_cast<T>(raw);
      return static_cast<std::int64_t>(raw) == value;
    } else {
      value = static_cast<T>(raw);
      return raw == value;
    }
  }

  bool delimited(std::string_view& content) {
    std::uint64_t size = 0;
    if (!varint(size) || size > bytes_.size()) return false;
    content = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }

  bool varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if (shift == 63 && byte > 1) return false;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }

  std::string_view bytes_;
};

}  // namespace caudal::protobuf
