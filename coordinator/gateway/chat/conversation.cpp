#include "coordinator/gateway/chat/conversation.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <utility>

namespace caudal {
namespace {

namespace json = boost::json;

json::string joined(const json::array& parts) {
  json::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += '\n';
    text += parts[i].at("text").get_string();
  }
  return text;
}

void fit_content(ContentForm form, json::value& content) {
  if (form == ContentForm::kString && content.is_array()) {
    content = joined(content.get_array());
  } else if (form == ContentForm::kParts && content.is_string()) {
    json::array parts;
    if (!content.get_string().empty()) parts.push_back({{"type", "text"}, {"text", std::move(content.get_string())}});
    content = std::move(parts);
  }
}

}  // namespace

void fit_to_template(const TemplateTraits& traits, json::array& messages) {
  for (json::value& each : messages) {
    json::object& message = each.get_object();
    json::value& role = message.at("role");
    if (!traits.knows_developer && role.get_string() == "developer") role = "system";
    fit_content(traits.content_form(role.get_string()), message.at("content"));
  }
}

void write_arguments(json::array& messages) {
  for (json::value& message : messages) {
    json::value* calls = message.get_object().if_contains("tool_calls");
    if (calls == nullptr || !calls->is_array()) continue;
    for (json::value& call : calls->get_array()) {
      json::value& arguments = call.at("function").at("arguments");
      if (!arguments.is_string()) arguments = json::serialize(arguments);
    }
  }
}

void append_to_content(json::object& message, std::string_view text) {
  json::value& content = message.at("content");
  if (content.is_string()) {
    content.get_string() += text;
  } else if (json::array& parts = content.get_array(); parts.empty()) {
    parts.push_back({{"type", "text"}, {"text", text}});
  } else {
    parts.back().at("text").get_string() += text;
  }
}

}  // namespace caudal
