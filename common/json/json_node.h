// A value of a JSON document together with the path that leads to it. Every access checks the type and names the
// path when it is wrong, so that a reader is a list of fields. Cheap to copy but for the path; any thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

// Thrown by JsonNode and by those who read with it. Each public reader catches it and returns an Error.
struct JsonError {
  std::string message;
  std::string path;
  std::string file = {};  // empty for a request

  // Of a file: "FILE: PATH message", with the path, or else the file, as the field.
  Error in_file() const;
};

class JsonNode {
 public:
  // A whole document, which outlives the node, as does `file`.
  explicit JsonNode(const boost::json::value& document, const char* file = "") : JsonNode(document, "", file) {}

  const std::string& path() const { return path_; }
  const boost::json::value& value() const { return *value_; }
  // Throws JsonError for this value, for its member `key`, or for its element `index`.
  [[noreturn]] void fail(std::string message) const;
  [[noreturn]] void fail_at(std::string_view key, std::string message) const;
  [[noreturn]] void fail_at(std::size_t index, std::string message) const;

  // Null counts as absent. at() fails where find() finds nothing; an index must be below size().
  bool has(std::string_view key) const { return find(key).has_value(); }
  std::optional<JsonNode> find(std::string_view key) const;
  JsonNode at(std::string_view key) const;
  JsonNode at(std::size_t index) const;
  std::size_t size() const;  // of a list

  bool is_object() const;
  bool is_array() const;
  bool is_string() const;

  // This value; fails when it has another type.
  const boost::json::object& object() const;
  const boost::json::array& array() const;
  std::string_view string() const;
  bool boolean() const;
  double number() const;                                            // finite
  std::int64_t integer(std::int64_t low, std::int64_t high) const;  // in [low, high]

  // Members. With a fallback they may be absent.
  std::int64_t count(std::string_view key) const;  // an integer from 1 to 2^31 - 1
  std::int64_t count(std::string_view key, std::int64_t fallback) const;
  double positive(std::string_view key) const;  // above 0
  double positive(std::string_view key, double fallback) const;
  bool flag(std::string_view key, bool fallback) const;
  std::string_view text(std::string_view key, std::string_view fallback) const;

 private:
  JsonNode(const boost::json::value& value, std::string path, const char* file)
      : value_(&value), path_(std::move(path)), file_(file) {}
  std::string path_of(std::string_view key) const;
  std::string path_of(std::size_t index) const;

  const boost::json::value* value_;
  std::string path_;
  const char* file_;
};

}  // namespace caudal
