#include "common/json/json_node.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <limits>

namespace caudal {

Error JsonError::in_file() const {
  return Error{fmt::format("{}: {}{}{}", file, path, path.empty() ? "" : " ", message), path.empty() ? file : path};
}

void JsonNode::fail(std::string message) const { throw JsonError{std::move(message), path_, file_}; }

void JsonNode::fail_at(std::string_view key, std::string message) const {
  throw JsonError{std::move(message), path_of(key), file_};
}

void JsonNode::fail_at(std::size_t index, std::string message) const {
  throw JsonError{std::move(message), path_of(index), file_};
}

std::string JsonNode::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

std::string JsonNode::path_of(std::size_t index) const { return fmt::format("{}[{}]", path_, index); }

// --- Members and elements ---

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  const boost::json::value* member = object().if_contains(key);
  if (member == nullptr || member->is_null()) return std::nullopt;
  return JsonNode(*member, path_of(key), file_);
}

JsonNode JsonNode::at(std::string_view key) const {
  std::optional<JsonNode> member = find(key);
  if (!member) fail_at(key, "is missing");
  return *std::move(member);
}

JsonNode JsonNode::at(std::size_t index) const { return {array()[index], path_of(index), file_}; }

std::size_t JsonNode::size() const { return array().size(); }

// --- Types ---

bool JsonNode::is_object() const { return value_->is_object(); }
bool JsonNode::is_array() const { return value_->is_array(); }
bool JsonNode::is_string() const { return value_->is_string(); }

const boost::json::object& JsonNode::object() const {
  if (!value_->is_object()) fail("must be an object");
  return value_->get_object();
}

const boost::json::array& JsonNode::array() const {
  if (!value_->is_array()) fail("must be a list");
  return value_->get_array();
}

std::string_view JsonNode::string() const {
  if (!value_->is_string()) fail("must be a string");
  return value_->get_string();
}

bool JsonNode::boolean() const {
  if (!value_->is_bool()) fail("must be true or false");
  return value_->get_bool();
}

double JsonNode::number() const {
  if (!value_->is_number() || !std::isfinite(value_->to_number<double>())) fail("must be a number");
  return value_->to_number<double>();
}

std::int64_t JsonNode::integer(std::int64_t low, std::int64_t high) const {
  if (!value_->is_int64() || value_->get_int64() < low || value_->get_int64() > high) {
    fail(fmt::format("must be an integer from {} to {}", low, high));
  }
  return value_->get_int64();
}

// --- Typed members ---

std::int64_t JsonNode::count(std::string_view key) const {
  return at(key).integer(1, std::numeric_limits<std::int32_t>::max());
}

std::int64_t JsonNode::count(std::string_view key, std::int64_t fallback) const {
  return has(key) ? count(key) : fallback;
}

double JsonNode::positive(std::string_view key) const {
  const JsonNode member = at(key);
  const double number = member.number();
  if (number <= 0.0) member.fail("must be a number above 0");
  return number;
}

double JsonNode::positive(std::string_view key, double fallback) const { return has(key) ? positive(key) : fallback; }

bool JsonNode::flag(std::string_view key, bool fallback) const {
  const std::optional<JsonNode> member = find(key);
  return member ? member->boolean() : fallback;
}

std::string_view JsonNode::text(std::string_view key, std::string_view fallback) const {
  const std::optional<JsonNode> member = find(key);
  return member ? member->string() : fallback;
}

}  // namespace caudal
