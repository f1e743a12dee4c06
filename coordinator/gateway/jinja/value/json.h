// JSON in and out. Out as Python's json.dumps(..., ensure_ascii=False) writes it, which is what
// transformers gives templates as `tojson`.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>

#include "coordinator/gateway/jinja/value/value.h"

namespace caudal::jinja {

Value from_json(const boost::json::value& json);  // fails for integers beyond 64 bits

struct JsonStyle {
  std::optional<std::string> indent;  // one level; none: everything on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
  bool ascii_only = false;
};

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace caudal::jinja
