#include "worker/model/config_fields.h"

#include <fmt/core.h>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <limits>

namespace caudal {

const boost::json::value* ConfigFields::find(std::string_view name) const {
  const boost::json::value* value = object_.if_contains(name);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const boost::json::value* ConfigFields::require(std::string_view name) {
  const boost::json::value* value = find(name);
  if (value == nullptr) fail(name, "is missing");
  return value;
}

void ConfigFields::fail(std::string_view name, const std::string& what) {
  if (error_) return;
  const std::string path = fmt::format("{}{}{}", section_, section_.empty() ? "" : ".", name);
  error_ = Error{fmt::format("config.json: \"{}\" {}", path, what), path};
}

std::int64_t ConfigFields::count(std::string_view name) {
  const boost::json::value* value = require(name);
  if (value == nullptr) return 1;
  const std::int64_t* number = value->if_int64();
  if (number != nullptr && *number >= 1 && *number <= std::numeric_limits<std::int32_t>::max()) return *number;
  fail(name, "must be a whole number from 1 to 2147483647");
  return 1;
}

std::int64_t ConfigFields::count_or(std::string_view name, std::int64_t fallback) {
  return has(name) ? count(name) : fallback;
}

double ConfigFields::positive(std::string_view name) {
  const boost::json::value* value = require(name);
  if (value == nullptr) return 1.0;
  if (value->is_number()) {
    const double number = value->to_number<double>();
    if (std::isfinite(number) && number > 0.0) return number;
  }
  fail(name, "must be a number above 0");
  return 1.0;
}

double ConfigFields::positive_or(std::string_view name, double fallback) {
  return has(name) ? positive(name) : fallback;
}

bool ConfigFields::flag_or(std::string_view name, bool fallback) {
  const boost::json::value* value = find(name);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) fail(name, "must be true or false");
  return value->is_bool() ? value->get_bool() : fallback;
}

std::string ConfigFields::text_or(std::string_view name, std::string_view fallback) {
  const boost::json::value* value = find(name);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) fail(name, "must be a string");
  return value->is_string() ? std::string(value->get_string()) : std::string(fallback);
}

std::optional<ConfigFields> ConfigFields::inside(std::string_view name) {
  const boost::json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) {
    fail(name, "must be an object");
    return std::nullopt;
  }
  return ConfigFields(value->get_object(), error_, name);
}

const boost::json::array* ConfigFields::array_or_null(std::string_view name) {
  const boost::json::value* value = find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) fail(name, "must be an array");
  return value->if_array();
}

}  // namespace caudal
