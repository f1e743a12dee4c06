// See json_node.h.
#include "common/tokenizer/json_node.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>

namespace caudal {

JsonNode JsonNode::at(std::string_view key) const {
  const std::optional<JsonNode> member = find(key);
  if (!member)
    JsonNode(*value_, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key)).fail("is missing");
  return *member;
}

std::optional<JsonNode> JsonNode::find(std::string_view key) const {
  const boost::json::value* member = object().if_contains(key);
  if (member == nullptr || member->is_null()) return std::nullopt;
  return JsonNode(*member, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
}

JsonNode JsonNode::at(std::size_t index) const { return JsonNode(array()[index], fmt::format("{}[{}]", path_, index)); }

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

bool JsonNode::flag(std::string_view key, bool fallback) const {
  const std::optional<JsonNode> member = find(key);
  return member ? member->boolean() : fallback;
}

std::int64_t JsonNode::integer(std::int64_t low, std::int64_t high) const {
  if (!value_->is_int64() || value_->get_int64() < low || value_->get_int64() > high) {
    fail(fmt::format("must be an integer from {} to {}", low, high));
  }
  return value_->get_int64();
}

}  // namespace caudal
