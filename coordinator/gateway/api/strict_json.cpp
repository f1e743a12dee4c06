// Boost.JSON's own parser keeps the last of two equal keys and accepts infinities from overflow; the handler
// below counts members while they stream by, and the finished value must hold as many. It also keeps the place,
// which the parser does not tell.
#include "coordinator/gateway/api/strict_json.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>
#include <cmath>

#include "coordinator/gateway/api/json_place.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr const char* kOutOfRange = "a number is out of range";

struct Handler {
  static constexpr std::size_t max_object_size = kMaxJsonMembers;
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  json::value_stack stack;
  JsonPlace place;
  std::size_t num_members = 0;
  const char* problem = nullptr;

  bool refuse(const char* why, json::error_code& ec) {
    problem = why;
    ec = json::error::exception;
    return false;
  }
  bool text_part(json::string_view part, json::error_code& ec) {
    if (part.find('\0') != json::string_view::npos) return refuse("a string holds a NUL character", ec);
    return true;
  }

  bool on_document_begin(json::error_code&) {
    stack.reset();
    return true;
  }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    place.enter_object();
    return true;
  }
  bool on_object_end(std::size_t n, json::error_code&) {
    num_members += n;
    stack.push_object(n);
    place.leave();
    return true;
  }
  bool on_array_begin(json::error_code&) {
    place.enter_array();
    return true;
  }
  bool on_array_end(std::size_t n, json::error_code&) {
    stack.push_array(n);
    place.leave();
    return true;
  }
  bool on_key_part(json::string_view part, std::size_t, json::error_code& ec) {
    stack.push_chars(part);
    place.add_to_key(part);
    return text_part(part, ec);
  }
  bool on_key(json::string_view part, std::size_t, json::error_code& ec) {
    stack.push_key(part);
    place.add_to_key(part);
    return text_part(part, ec);
  }
  bool on_string_part(json::string_view part, std::size_t, json::error_code& ec) {
    stack.push_chars(part);
    return text_part(part, ec);
  }
  bool on_string(json::string_view part, std::size_t, json::error_code& ec) {
    stack.push_string(part);
    if (!text_part(part, ec)) return false;
    place.end_value();
    return true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(std::int64_t number, json::string_view, json::error_code&) {
    stack.push_int64(number);
    place.end_value();
    return true;
  }
  bool on_uint64(std::uint64_t number, json::string_view, json::error_code&) {
    stack.push_uint64(number);
    place.end_value();
    return true;
  }
  bool on_double(double number, json::string_view, json::error_code& ec) {
    stack.push_double(number);
    if (!std::isfinite(number)) return refuse(kOutOfRange, ec);
    place.end_value();
    return true;
  }
  bool on_bool(bool truth, json::error_code&) {
    stack.push_bool(truth);
    place.end_value();
    return true;
  }
  bool on_null(json::error_code&) {
    stack.push_null();
    place.end_value();
    return true;
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

std::size_t count_members(const json::value& value) {
  std::size_t count = 0;
  if (const json::array* items = value.if_array()) {
    for (const json::value& item : *items) count += count_members(item);
  } else if (const json::object* object = value.if_object()) {
    count = object->size();
    for (const auto& member : *object) count += count_members(member.value());
  }
  return count;
}

const char* describe(const json::error_code& ec) {
  if (ec == json::error::too_deep) return "it is nested too deeply";
  if (ec == json::error::object_too_large) return "an object has too many members";
  if (ec == json::error::incomplete) return "it ends too early";
  if (ec == json::error::extra_data) return "something follows its end";
  if (ec == json::error::exponent_overflow) return kOutOfRange;
  return "syntax error";
}

}  // namespace

Result<json::value> parse_strict_json(std::string_view text, std::string_view what) {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::basic_parser<Handler> parser(options);
  json::error_code ec;
  const std::size_t num_read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && num_read < text.size()) ec = json::error::extra_data;
  if (ec) {
    const char* why = parser.handler().problem != nullptr ? parser.handler().problem : describe(ec);
    const bool in_a_value = ec != json::error::incomplete && ec != json::error::too_deep;
    return Error{fmt::format("The {} is not valid JSON near byte {}: {}.", what, num_read, why),
                 in_a_value ? parser.handler().place.path() : ""};
  }
  json::value value = parser.handler().stack.release();
  if (count_members(value) != parser.handler().num_members) {
    return Error{fmt::format("The {} is not valid JSON: an object has the same key twice.", what), ""};
  }
  return value;
}

const json::value* present(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

void append_json_string(std::string& out, std::string_view text) {
  out += json::serialize(json::string_view(text.data(), text.size()));
}

}  // namespace caudal
