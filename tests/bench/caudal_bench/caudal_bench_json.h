// What servers answer, read without trust.
#pragma once

#include <boost/json.hpp>
#include <string_view>

namespace caudal::bench {

// A member of an object; null where there is none, or where `value` is no object.
inline const boost::json::value* member(const boost::json::value& value, std::string_view key) {
  const boost::json::object* object = value.if_object();
  return object != nullptr ? object->if_contains(key) : nullptr;
}

}  // namespace caudal::bench
