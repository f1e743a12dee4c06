#include "coordinator/gateway/tools/call_text.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace caudal {
namespace {

namespace json = boost::json;
using Kind = CallElement::Kind;

std::string object_text(const ObjectForm& form, const WrittenCall& call) {
  json::object object;
  if (form.name_key.empty()) {
    object[call.name] = call.arguments;
  } else {
    object[form.name_key] = call.name;
    object[form.arguments_key] = call.arguments;
  }
  if (!form.id_key.empty()) object[form.id_key] = call.id;
  return json::serialize(object);
}

std::string parameters_text(const ParameterForm& form, const json::object& arguments) {
  std::string text;
  for (const auto& argument : arguments) {
    const bool is_text = argument.value().is_string();
    std::string close = form.close;
    if (form.close_has_key) close.insert(form.key_in_close, argument.key());
    text += form.open + std::string(argument.key()) + (is_text ? form.key_closes.front() : form.key_closes.back());
    text += is_text ? std::string(argument.value().get_string()) : json::serialize(argument.value());
    text += close;
  }
  return text;
}

std::string loose_text(const LooseForm& form, const json::object& arguments) {
  std::string text(1, form.open);
  for (const auto& argument : arguments) {
    if (text.size() > 1) text += ", ";
    text += std::string(argument.key()) + form.key_close;
    const bool marked = argument.value().is_string() && form.quote.size() > 1;
    text += marked ? form.quote + std::string(argument.value().get_string()) + form.quote
                   : json::serialize(argument.value());
  }
  return text + (form.open == '(' ? ')' : '}');
}

std::string element_text(const ToolFormat& format, const CallElement& element, const WrittenCall& call) {
  switch (element.kind) {
    case Kind::kLiteral:
      return element.text;
    case Kind::kName:
      return std::string(call.name);
    case Kind::kSkip:
      return element.text.empty() ? std::string(call.id) : element.text;
    case Kind::kObject:
      return object_text(format.object, call);
    case Kind::kJson:
      return json::serialize(call.arguments);
    case Kind::kParameters:
      return parameters_text(format.parameters, call.arguments);
    case Kind::kLoose:
      return loose_text(format.loose, call.arguments);
  }
  return "";
}

}  // namespace

std::string call_text(const ToolFormat& format, const std::vector<WrittenCall>& calls) {
  std::string text = format.block_open;
  for (const WrittenCall& call : calls) {
    if (&call != &calls.front()) text += format.separator;
    for (const CallElement& element : format.call) text += element_text(format, element, call);
  }
  return text + format.block_close;
}

}  // namespace caudal
