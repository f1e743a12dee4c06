// Members of request bodies.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>

namespace caudal {

// The member called `name`, or nothing when it is absent or null: clients send null for "not set".
inline const boost::json::value* present(const boost::json::object& object, std::string_view name) {
  const boost::json::value* value = object.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

}  // namespace caudal
