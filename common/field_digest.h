// FieldDigest: one number for the names and types of all fields of some structs, in their order (FNV-1a). Structs with
// other fields have, as good as certainly, another digest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "common/fields.h"
#include "common/strong_id.h"

namespace caudal {

class FieldDigest {
 public:
  explicit FieldDigest(std::uint32_t seed) : digest_(0x811c9dc5U + seed) {}

  // All alternatives. What the variant holds does not matter.
  template <typename... Structs>
  FieldDigest& add(const std::variant<Structs...>&) {
    (add(Structs{}), ...);
    return *this;
  }
  std::uint32_t value() const { return digest_; }

 private:
  template <HasFields T>
  void add(const T& value) {
    add_text("{");
    visit_fields(value, [&](std::string_view name, const auto& field) {
      add_text(name);
      add(field);
    });
    add_text("}");
  }
  template <typename T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void add(T) {
    add_text(std::is_enum_v<T> ? "enum" : std::is_floating_point_v<T> ? "float" : std::is_signed_v<T> ? "int" : "uint");
    add_text(std::string_view("12345678", sizeof(T)));
  }
  void add(StrongIdType auto id) { add(id.value()); }
  void add(const std::string&) { add_text("string"); }
  template <typename T>
  void add(const std::optional<T>&) {
    add_text("optional");
    add(T{});
  }
  template <typename T>
  void add(const std::vector<T>&) {
    add_text("list");
    add(T{});
  }
  void add_text(std::string_view text) {
    for (const char byte : text) digest_ = (digest_ ^ static_cast<unsigned char>(byte)) * 0x01000193U;
  }

  std::uint32_t digest_;
};

}  // namespace caudal
