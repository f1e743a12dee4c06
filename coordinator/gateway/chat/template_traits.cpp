#include "coordinator/gateway/chat/template_traits.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "coordinator/gateway/jinja/syntax/lexer.h"

namespace caudal {
namespace {

namespace json = boost::json;

// Words that no template has of its own.
constexpr const char* kFirst = "Qx7fzK";
constexpr const char* kSecond = "Zk3vyW";

json::value part(const char* text) { return {{"type", "text"}, {"text", text}}; }

json::value content(const char* text, ContentForm form) {
  if (form == ContentForm::kParts) return json::array{part(text)};
  return text;
}

json::object message(std::string_view role, json::value content) {
  json::object message;
  message["role"] = role;
  message["content"] = std::move(content);
  return message;
}

// A conversation with `probe` as the content of a message by `role`; `form` is that of the other messages.
json::array conversation(std::string_view role, const json::value& probe, ContentForm form) {
  json::array messages;
  if (role == "system") messages.push_back(message(role, probe));
  messages.push_back(message("user", role == "user" ? probe : content("Hi", form)));
  if (role == "assistant") {
    messages.push_back(message(role, probe));
    messages.push_back(message("user", content("Hi", form)));
  } else if (role == "tool") {
    json::object call = message("assistant", content("", form));
    call["tool_calls"] =
        json::parse(R"([{"id":"call00001","type":"function","function":{"name":"look_up","arguments":{}}}])");
    json::object result = message(role, probe);
    result["tool_call_id"] = "call00001";
    result["name"] = "look_up";
    messages.push_back(std::move(call));
    messages.push_back(std::move(result));
  }
  return messages;
}

// Some templates, made for tools, fail without any.
std::string rendered(const RenderProbe& render, const json::array& messages) {
  if (Result<std::string> text = render(messages, nullptr)) return std::move(text).value();
  const json::value tools = json::parse(R"([{"type":"function","function":{"name":"look_up","description":"Looks up.",)"
                                        R"("parameters":{"type":"object","properties":{},"required":[]}}}])");
  const Result<std::string> text = render(messages, &tools.get_array());
  return text ? text.value() : "";
}

bool prints_string(const RenderProbe& render, std::string_view role, ContentForm others) {
  return rendered(render, conversation(role, kFirst, others)).find(kFirst) != std::string::npos;
}

// Between the two words stands what the template puts there, not what is between them in the text of a list.
bool prints_parts(const RenderProbe& render, std::string_view role, ContentForm others) {
  const json::array parts{part(kFirst), part(kSecond)};
  const std::string text = rendered(render, conversation(role, parts, others));
  const std::size_t first = text.find(kFirst);
  const std::size_t second = first == std::string::npos ? first : text.find(kSecond, first);
  return second != std::string::npos && text.substr(first, second - first).find("type") == std::string::npos;
}

ContentForm find_form(const RenderProbe& render, std::string_view role, ContentForm fallback) {
  const bool string = prints_string(render, role, fallback);
  const bool parts = prints_parts(render, role, fallback);
  if (string && parts) return ContentForm::kEither;
  if (!string && !parts) return fallback;
  return string ? ContentForm::kString : ContentForm::kParts;
}

bool has_string(std::string_view source, std::string_view wanted) {
  return std::ranges::any_of(jinja::tokenize(source), [&](const jinja::Token& token) {
    return token.kind == jinja::TokenKind::kString && token.text == wanted;
  });
}

}  // namespace

ContentForm TemplateTraits::content_form(std::string_view role) const {
  if (role == "developer") role = "system";
  const auto* const probed = std::ranges::find(kProbedRoles, role);
  return probed == kProbedRoles.end() ? forms.front() : forms[static_cast<std::size_t>(probed - kProbedRoles.begin())];
}

TemplateTraits find_traits(std::string_view source, const RenderProbe& render) {
  TemplateTraits traits;
  traits.knows_developer = has_string(source, "developer");
  ContentForm users = ContentForm::kString;  // first, so that the others' conversations can be right
  for (std::size_t i = 0; i < kProbedRoles.size(); ++i) {
    traits.forms[i] = find_form(render, kProbedRoles[i], users);
    if (i == 0) users = traits.forms[i];
  }
  return traits;
}

}  // namespace caudal
