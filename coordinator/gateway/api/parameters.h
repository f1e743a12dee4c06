// The one table of the request parameters: name, type, range, and where the value goes. JSON and Protobuf requests are
// read by it, and the tests generate their bad inputs from it. To add a parameter is to add a row.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "coordinator/gateway/api/api_request.h"

namespace caudal {

// A scalar parameter. Its range is [min, max], or (min, max] with `above_min`.
struct Parameter {
  enum class Type : std::uint8_t { kInteger, kNumber, kBoolean };
  enum class On : std::uint8_t { kBoth, kCompletions, kChat };

  // A checked value: `integer` for kInteger and kBoolean (0 or 1), `real` for kNumber.
  struct Value {
    double real = 0.0;
    std::int64_t integer = 0;
  };

  std::string_view name;
  Type type;
  On on;
  double min;
  double max;
  bool above_min;
  std::string_view fallback;  // what holds when it is absent, for people
  void (*set)(ApiRequest& request, Value value);
};

std::span<const Parameter> parameters();

// A field that this server knows of but cannot honour; anything but null or `neutral` is refused.
struct UnsupportedField {
  std::string_view name;
  std::string_view neutral;  // JSON text of the one value that changes nothing, or ""
  Parameter::On on = Parameter::On::kBoth;
};

std::span<const UnsupportedField> unsupported_fields();

}  // namespace caudal
