// The pieces of a structural tag, in JSON, and how one is put together from texts and formats.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

boost::json::object constant(std::string_view value);
boost::json::object sequence(boost::json::array elements);
boost::json::object optional(boost::json::object format);
boost::json::object json_schema(boost::json::object schema);

// Puts U+FFFF in front of each special token in a text, which says that the token is meant; cuts the text where a token
// ends the sequence.
std::string mark_special(std::string_view text, std::span<const std::string> special,
                         std::span<const std::string> end_tokens);

// Collects what follows one another. Texts in front and at the end become the tag's own.
class TagWriter {
 public:
  TagWriter(std::span<const std::string> special, std::span<const std::string> end_tokens)
      : special_(special), end_tokens_(end_tokens) {}

  void literal(std::string_view text);
  void add(boost::json::object format);
  boost::json::object tag();

 private:
  const std::span<const std::string> special_;
  const std::span<const std::string> end_tokens_;
  std::string begin_;
  boost::json::array content_;
  std::string pending_;  // text since the last format
};

// A property of a schema of an object. Its own schema has the definitions of the whole.
struct SchemaProperty {
  std::string name;
  boost::json::object schema;
  bool required = false;

  bool is_text() const;  // a string
  // The format of one that is not quoted, between two marks. Its length, pattern and words hold; `format` does not.
  boost::json::object unquoted(std::string_view begin, std::string_view end) const;
};
std::vector<SchemaProperty> properties_of(const boost::json::object& schema);

}  // namespace caudal
