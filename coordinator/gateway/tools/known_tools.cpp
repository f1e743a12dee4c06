#include "coordinator/gateway/tools/known_tools.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

namespace caudal {
namespace {

namespace json = boost::json;

const json::object* member_object(const json::object& object, std::string_view name) {
  const json::value* member = object.if_contains(name);
  return member == nullptr ? nullptr : member->if_object();
}

KnownTool::Type declared(const json::value& schema) {
  const json::object* object = schema.if_object();
  const json::value* type = object == nullptr ? nullptr : object->if_contains("type");
  if (type == nullptr || (!type->is_string() && !type->is_array())) return KnownTool::Type::kUnknown;
  const auto is_text = [](const json::value& each) { return each.is_string() && each.get_string() == "string"; };
  if (type->is_string()) return is_text(*type) ? KnownTool::Type::kText : KnownTool::Type::kOther;
  const json::array& types = type->get_array();
  if (std::ranges::none_of(types, is_text)) return KnownTool::Type::kOther;
  return types.size() == 1 ? KnownTool::Type::kText : KnownTool::Type::kUnknown;
}

}  // namespace

KnownTool::Type KnownTool::type_of(std::string_view parameter) const {
  if (std::ranges::find(text_parameters, parameter) != text_parameters.end()) return Type::kText;
  return std::ranges::find(other_parameters, parameter) != other_parameters.end() ? Type::kOther : Type::kUnknown;
}

std::vector<KnownTool> known_tools(const json::array& tools) {
  std::vector<KnownTool> known;
  for (const json::value& tool : tools) {
    const json::object& function = tool.at("function").get_object();
    KnownTool& one = known.emplace_back();
    one.name = std::string_view(function.at("name").get_string());
    const json::object* parameters = member_object(function, "parameters");
    const json::object* properties = parameters == nullptr ? nullptr : member_object(*parameters, "properties");
    if (properties == nullptr) continue;
    for (const auto& property : *properties) {
      const KnownTool::Type type = declared(property.value());
      if (type == KnownTool::Type::kText) one.text_parameters.emplace_back(property.key());
      if (type == KnownTool::Type::kOther) one.other_parameters.emplace_back(property.key());
    }
  }
  return known;
}

}  // namespace caudal
