// A value of a JSON document with the path that leads to it, for reading configuration files: every
// access checks the type and says the path when it is wrong. Used within the loader of one file.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

// Thrown by JsonNode and by the component readers; never leaves load_tokenizer().
struct JsonError {
  Error error;
};

class JsonNode {
 public:
  JsonNode(const boost::json::value& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  [[noreturn]] void fail(std::string message) const { throw JsonError{{std::move(message), path_}}; }

  // A member that must be there; a member that may be absent or null.
  JsonNode at(std::string_view key) const;
  std::optional<JsonNode> find(std::string_view key) const;
  // An element; the index must be below size().
  JsonNode at(std::size_t index) const;
  std::size_t size() const { return array().size(); }

  const boost::json::object& object() const;
  const boost::json::array& array() const;
  std::string_view string() const;
  bool boolean() const;
  // A boolean member, or `fallback` when it is absent or null.
  bool flag(std::string_view key, bool fallback) const;
  // Fails outside [low, high].
  std::int64_t integer(std::int64_t low, std::int64_t high) const;

  bool is_object() const { return value_->is_object(); }
  bool is_array() const { return value_->is_array(); }
  bool is_string() const { return value_->is_string(); }

 private:
  const boost::json::value* value_;
  std::string path_;
};

}  // namespace caudal
