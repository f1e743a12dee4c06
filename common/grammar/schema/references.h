// Which schema a reference names: identifiers, anchors and JSON pointers of one document. It refers to the document.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace caudal::grammar {

enum class Draft : std::uint8_t { k4, k6, k7, k2019, k2020 };

// Where a schema stands.
struct SchemaPlace {
  const boost::json::value* value = nullptr;
  std::string pointer;  // from the document's root
  std::string base;     // the URI that its references are relative to
};

class References {
 public:
  References(const boost::json::value& root, Draft draft);

  // Nothing where the document has no such place.
  std::optional<SchemaPlace> find(std::string_view reference, const SchemaPlace& from) const;
  // The place of a schema below one, with its own base.
  SchemaPlace below(const SchemaPlace& parent, const boost::json::value& value, std::string pointer) const;

 private:
  void visit(const boost::json::value& value, const std::string& pointer, std::string base, int depth);
  void visit_members(const boost::json::value& value, const std::string& pointer, const std::string& base, int depth);

  Draft draft_;
  const boost::json::value& root_;
  std::unordered_map<std::string, SchemaPlace> by_uri_;               // with the anchor behind '#', if it is one
  std::unordered_map<const boost::json::value*, std::string> bases_;  // of schemas whose base is not their parent's
};

// "a/b" as a part of a JSON pointer: "/a~1b".
std::string pointer_part(std::string_view key);

}  // namespace caudal::grammar
