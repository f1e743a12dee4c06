// ConfigFields: typed reading of one JSON object of config.json. The first mistake is remembered and what
// follows returns defaults, so that a parser reads as a list of fields and asks for the error once.
#pragma once

#include <boost/json/object.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

class ConfigFields {
 public:
  // `error` is shared by all objects of one file, `section` is the field that holds this one. `object` must outlive
  // this.
  ConfigFields(const boost::json::object& object, std::optional<Error>& error, std::string_view section = "")
      : object_(object), error_(error), section_(section) {}

  // Absent and null are the same.
  bool has(std::string_view name) const { return find(name) != nullptr; }
  bool is_null(std::string_view name) const { return object_.contains(name) && !has(name); }

  // The number in [1, 2^31) of a required field; or `fallback` when an optional one is absent.
  std::int64_t count(std::string_view name);
  std::int64_t count_or(std::string_view name, std::int64_t fallback);
  // A finite number > 0.
  double positive(std::string_view name);
  double positive_or(std::string_view name, double fallback);
  bool flag_or(std::string_view name, bool fallback);
  std::string text_or(std::string_view name, std::string_view fallback);
  // The fields of an object inside this one, when there is one.
  std::optional<ConfigFields> inside(std::string_view name);
  const boost::json::array* array_or_null(std::string_view name);

  void fail(std::string_view name, const std::string& what);  // `config.json: "section.name" what`
  bool failed() const { return error_.has_value(); }

 private:
  const boost::json::value* find(std::string_view name) const;
  const boost::json::value* require(std::string_view name);

  const boost::json::object& object_;
  std::optional<Error>& error_;
  const std::string section_;
};

}  // namespace caudal
