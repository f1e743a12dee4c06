// Boost.JSON's own parser keeps the last of two equal keys and accepts infinities from overflow. The handler below
// counts members while they stream by, and the finished value must hold as many. It also keeps the path of the value
// that is being read, which the parser does not say.
#include "common/json/strict_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_stack.hpp>
#include <cmath>
#include <vector>

namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxNamedKeyBytes = 64;
constexpr const char* kOutOfRange = "a number is out of range";
constexpr const char* kTooManyMembers = "an object has too many members";

bool is_name(std::string_view key) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !key.empty() && key.size() <= kMaxNamedKeyBytes && std::all_of(key.begin(), key.end(), plain);
}

// The path of the value that is being read.
class Place {
 public:
  void enter_object() { levels_.push_back({false, 0, {}}); }
  void enter_array() { levels_.push_back({true, 0, {}}); }
  void leave() {  // the innermost of them, which is the end of a value
    levels_.pop_back();
    end_value();
  }

  // Of the next value. No more is kept than it takes to see that a key is too long.
  void add_to_key(std::string_view part) {
    std::string& key = levels_.back().key;
    key += part.substr(0, kMaxNamedKeyBytes + 1 - key.size());
  }

  void end_value() {
    if (levels_.empty()) return;
    ++levels_.back().num_values;
    levels_.back().key.clear();
  }

  // In the innermost object or array so far.
  std::size_t num_values() const { return levels_.back().num_values; }

  // Like `messages[0].content`; empty at the top. Ends before the first key that is not 1 to 64 letters, digits and
  // underscores: keys come from outside, and only those that a field could have are repeated.
  std::string path() const {
    std::string path;
    for (const Level& level : levels_) {
      if (!level.is_array && !is_name(level.key)) break;
      path += level.is_array ? fmt::format("[{}]", level.num_values) : (path.empty() ? "" : ".") + level.key;
    }
    return path;
  }

 private:
  struct Level {
    bool is_array = false;
    std::size_t num_values = 0;  // so far; in an array the index of the next one
    std::string key;             // of the value in an object; empty between two members
  };
  std::vector<Level> levels_;  // open objects and arrays, outermost first
};

struct Handler {
  static constexpr std::size_t max_object_size = json::object::max_size();
  static constexpr std::size_t max_array_size = json::array::max_size();
  static constexpr std::size_t max_key_size = json::string::max_size();
  static constexpr std::size_t max_string_size = json::string::max_size();

  explicit Handler(const JsonRules& rules) : rules(rules) {}

  const JsonRules& rules;
  json::value_stack stack;
  Place place;
  std::size_t num_members = 0;
  const char* problem = nullptr;

  bool refuse(const char* why, json::error_code& ec) {
    problem = why;
    ec = json::error::exception;
    return false;
  }
  bool text_part(json::string_view part, json::error_code& ec) {
    if (!rules.allows_nul && part.find('\0') != json::string_view::npos)
      return refuse("a string holds a NUL character", ec);
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
    if (place.num_values() == rules.max_members) return refuse(kTooManyMembers, ec);
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
  if (ec == json::error::object_too_large) return kTooManyMembers;
  if (ec == json::error::incomplete) return "it ends too early";
  if (ec == json::error::extra_data) return "something follows its end";
  if (ec == json::error::exponent_overflow) return kOutOfRange;
  return "syntax error";
}

}  // namespace

Result<json::value> parse_strict_json(std::string_view text, const JsonRules& rules) {
  json::parse_options options;
  options.max_depth = rules.max_depth;
  json::basic_parser<Handler> parser(options, rules);
  json::error_code ec;
  const std::size_t num_read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && num_read < text.size()) ec = json::error::extra_data;
  Handler& handler = parser.handler();
  if (ec) {
    const char* why = handler.problem != nullptr ? handler.problem : describe(ec);
    const bool in_a_value = ec != json::error::incomplete && ec != json::error::too_deep;
    return Error{fmt::format("not valid JSON near byte {}: {}", num_read, why), in_a_value ? handler.place.path() : ""};
  }
  json::value value = handler.stack.release();
  if (count_members(value) != handler.num_members) {
    return Error{"not valid JSON: an object has the same key twice", ""};
  }
  return value;
}

void append_json_string(std::string& out, std::string_view text) {
  out += json::serialize(json::string_view(text.data(), text.size()));
}

}  // namespace caudal
