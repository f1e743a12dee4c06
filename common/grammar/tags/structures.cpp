#include "common/grammar/tags/structures.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace caudal::grammar {
namespace {

namespace json = boost::json;

void check_only(const JsonNode& node, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : node.object()) {
    if (name != "type" && std::ranges::find(known, std::string_view(name)) == known.end())
      node.fail_at(name, "It is not supported here.");
  }
}

}  // namespace

json::object format_of_structures(const JsonNode& root) {
  check_only(root, {"structures", "triggers"});
  const JsonNode list = root.at("structures");
  json::array tags;
  for (std::size_t i = 0; i < list.size(); ++i) {
    check_only(list.at(i), {"begin", "schema", "end"});
    const json::object content{{"type", "json_schema"}, {"json_schema", list.at(i).at("schema").value()}};
    tags.push_back({{"type", "tag"},
                    {"begin", list.at(i).at("begin").value()},
                    {"content", content},
                    {"end", list.at(i).at("end").value()}});
  }
  return {{"type", "triggered_tags"}, {"triggers", root.at("triggers").value()}, {"tags", std::move(tags)}};
}

}  // namespace caudal::grammar
