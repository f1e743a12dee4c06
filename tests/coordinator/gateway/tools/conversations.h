// Twenty answers with calls, reasoning and text, rendered as a model with a chat template would write them, and what
// the parser has to make of each.
#pragma once

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/gateway/chat/chat_template.h"
#include "coordinator/gateway/chat/conversation.h"
#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/known_tools.h"
#include "coordinator/gateway/tools/output_parser.h"

namespace caudal::test {

namespace json = boost::json;

struct Conversation {
  std::string name;
  std::string content;
  std::string reasoning;
  json::array calls;  // [name, arguments]
  enum class Damage { kNone, kCutOff, kBroken } damage = Damage::kNone;
};

// A value: a list of one list would be that list itself to clang.
inline json::value call(const char* name, const char* arguments) { return json::array{name, json::parse(arguments)}; }

inline std::vector<Conversation> conversations() {
  const auto weather = call("get_weather", R"({"city":"Oslo","days":3})");
  const auto search = call("search_notes", R"({"query":"red bike"})");
  using enum Conversation::Damage;
  return {
      {"one call", "", "", {weather}},
      {"two in parallel", "", "", {weather, search}},
      {"three, one function twice", "", "", {search, weather, call("search_notes", R"({"query":"blue"})")}},
      {"nested arguments", "", "", {call("book", R"({"trip":{"from":"A","legs":[{"n":1},{"n":2,"via":["x"]}]}})")}},
      {"a list", "", "", {call("book", R"({"tags":["a","b c",7,true,null]})")}},
      {"unicode", "", "", {call("search_notes", R"({"query":"çafé 東京 🚲 ß"})")}},
      {"no arguments", "", "", {call("now", "{}")}},
      {"no arguments, then one with", "", "", {call("now", "{}"), weather}},
      {"quotes and breaks", "", "", {call("search_notes", R"({"query":"say \"hi\"\n\tthen\\go"})")}},
      {"brackets in a string", "", "", {call("search_notes", R"({"query":"if (a[0] < {b}) } ]"})")}},
      {"a string of digits", "", "", {call("search_notes", R"({"query":"0042"})")}},
      {"numbers and switches", "", "", {call("book", R"({"count":-12,"price":2.5,"fast":true,"slow":false})")}},
      {"text before", "Let me look.", "", {weather}},
      {"text before two", "I will do both.", "", {weather, search}},
      {"reasoning before", "", "The user wants weather.", {weather}},
      {"reasoning and text before", "Looking.", "Two steps.\n\nFirst this.", {weather, search}},
      {"reasoning and text", "It is sunny.", "Easy one.", {}},
      {"text alone", "Use a[0] < {b} and <b>f(x)</b>.", "", {}},
      {"cut off", "", "", {call("search_notes", R"({"query":"a rather long word to cut off"})")}, kCutOff},
      {"broken off, then text",
       "",
       "",
       {call("search_notes", R"({"query":"a rather long word to cut off"})")},
       kBroken},
  };
}

inline json::array tools() {
  return json::parse(R"([
    {"type":"function","function":{"name":"get_weather","description":"d","parameters":{"type":"object",
      "properties":{"city":{"type":"string","description":"c"},"days":{"type":"integer","description":"n"}},"required":["city"]}}},
    {"type":"function","function":{"name":"search_notes","description":"d","parameters":{"type":"object",
      "properties":{"query":{"type":"string","description":"q"}},"required":["query"]}}},
    {"type":"function","function":{"name":"book","description":"d","parameters":{"type":"object",
      "properties":{"trip":{"type":"object","description":"t"},"tags":{"type":"array","description":"t"},
        "count":{"type":"integer","description":"c"},"price":{"type":"number","description":"p"},
        "fast":{"type":"boolean","description":"f"},"slow":{"type":"boolean","description":"s"}},"required":[]}}},
    {"type":"function","function":{"name":"now","description":"d","parameters":{"type":"object","properties":{},"required":[]}}}])")
      .as_array();
}

inline std::vector<KnownTool> known() { return known_tools(tools()); }

inline std::string call_id(const ToolFormat& format, const std::string& name, std::size_t index) {
  if (format.ids == ToolFormat::Ids::kWithName) return "functions." + name + ":" + std::to_string(index);
  return "call0000" + std::to_string(index + 1);
}

inline json::array answer(const Conversation& conversation, const ToolFormat& format) {
  json::object message{{"role", "assistant"}, {"content", conversation.content}};
  if (!conversation.reasoning.empty()) {
    for (const char* key : {"reasoning", "reasoning_content", "thinking"}) message[key] = conversation.reasoning;
  }
  json::array calls;
  for (const json::value& each : conversation.calls) {
    const std::string name(each.at(0).as_string());
    json::value arguments = each.at(1);
    if (format.arguments_as_text) arguments = json::serialize(arguments);
    calls.push_back(json::object{{"id", call_id(format, name, calls.size())},
                                 {"type", "function"},
                                 {"function", json::object{{"name", name}, {"arguments", arguments}}}});
  }
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  return {json::object{{"role", "user"}, {"content", "Question?"}}, message};
}

inline std::optional<std::string> render(const ChatTemplate& chat_template, json::array messages, bool prompt) {
  const json::array with = tools();
  const json::object variables{{"enable_thinking", true}, {"thinking", true}};
  fit_to_template(chat_template.traits(), messages);
  ChatTemplateInput input;
  input.messages = &messages;
  input.tools = &with;
  input.variables = &variables;
  input.add_generation_prompt = prompt;
  input.bos_token = input.eos_token = "";
  Result<std::string> text = chat_template.render(input);
  if (!text) return std::nullopt;
  return text.value();
}

// What the model writes: what the turn has more than the prompt.
struct Written {
  std::string prompt;
  std::string text;
};

inline bool ends_open(const OutputFormat& format, std::string_view prompt) {
  while (!prompt.empty() && (prompt.back() == '\n' || prompt.back() == ' ')) prompt.remove_suffix(1);
  return format.reasoning && prompt.ends_with(format.reasoning->open);
}

inline bool is_call_mark(const ToolFormat& format, std::string_view mark) {
  std::string marks = format.block_open.empty() ? "" : format.block_close;
  for (const CallElement& each : format.call) marks += each.text;
  return marks.find(mark) != std::string::npos;
}

// Without what ends the turn: there a model ends with a token that is no text.
inline std::string without_end(const ChatTemplate& chat_template, const ToolFormat& format, std::string text) {
  Conversation plain;
  plain.content = "Plain.";
  const auto answered = render(chat_template, answer(plain, format), false);
  const std::size_t found = answered ? answered->rfind("Plain.") : std::string::npos;
  if (found != std::string::npos) text.resize(text.size() - shared_suffix(text, answered->substr(found + 6)).size());
  const auto atoms = atoms_of(trimmed_right(text));
  const bool closed = !atoms.empty() && (atoms.back().back() == '>' || atoms.back().back() == ']') &&
                      atoms.back().find(' ') == std::string_view::npos;
  if (closed && is_mark(atoms.back()) && !is_call_mark(format, atoms.back())) {
    text.resize(trimmed_right(text).size() - atoms.back().size());
  }
  return text;
}

inline std::string behind_question(const std::string& text) {
  const std::size_t found = text.rfind("Question?");
  return found == std::string::npos ? text : text.substr(found + 9);
}

// Of `text`, whatever white space there is: some templates indent one and not the other.
inline std::size_t shared_length(std::string_view text, std::string_view other) {
  auto theirs = atoms_of(other);
  std::erase_if(theirs, [](std::string_view atom) { return trimmed(atom).empty(); });
  std::size_t length = 0, matched = 0;
  for (const std::string_view atom : atoms_of(text)) {
    if (!trimmed(atom).empty() && (matched == theirs.size() || atom != theirs[matched++])) return length;
    length += atom.size();
  }
  return length;
}

inline std::optional<Written> write(const ChatTemplate& chat_template, const Conversation& conversation,
                                    const ToolFormat& format) {
  const json::array messages = answer(conversation, format);
  const auto whole = render(chat_template, messages, false);
  const auto prompt = render(chat_template, {messages.front()}, true);
  if (!whole || !prompt) return std::nullopt;
  const std::string turn = behind_question(*whole), opening = behind_question(*prompt);
  const std::size_t same = shared_length(turn, opening);
  const bool thinks = !conversation.reasoning.empty() && ends_open(chat_template.output_format(), opening);
  return Written{thinks ? opening : turn.substr(0, same), without_end(chat_template, format, turn.substr(same))};
}

inline ParsedOutput parse(const OutputFormat& format, const ParserOptions& options, std::string_view text,
                          std::size_t cut, std::size_t piece) {
  OutputParser parser(format, options);
  ParsedOutput out;
  parser.push(text.substr(0, cut), out);
  for (std::size_t i = cut; i < text.size(); i += piece) parser.push(text.substr(i, piece), out);
  parser.finish(out);
  return out;
}

inline std::string shown(const ParsedOutput& out) {
  std::string text = out.reasoning + "|" + out.content;
  for (const ToolCall& each : out.calls) text += "|" + each.name + each.arguments;
  return text;
}

// "": as it should be.
inline std::string verdict(const Conversation& conversation, const std::string& text, const ParsedOutput& out) {
  const bool damaged = conversation.damage != Conversation::Damage::kNone;
  if (damaged) {
    if (!out.calls.empty()) return "a call";
    return out.content.find("a rather") == std::string::npos ? "lost" : "";
  }
  if (out.calls.size() != conversation.calls.size()) return std::to_string(out.calls.size()) + " calls";
  for (std::size_t i = 0; i < out.calls.size(); ++i) {
    if (out.calls[i].name != conversation.calls[i].at(0).as_string()) return "name " + out.calls[i].name;
    if (json::parse(out.calls[i].arguments) != conversation.calls[i].at(1))
      return "arguments " + out.calls[i].arguments;
  }
  const bool prints = text.find(conversation.content) != std::string::npos;
  const bool thinks = text.find(conversation.reasoning) != std::string::npos;
  const std::string content = prints ? conversation.content : "", reasoning = thinks ? conversation.reasoning : "";
  const std::string_view read = trimmed(out.content);
  if (out.reasoning == content && read.empty() && reasoning.empty()) return "";  // some print it as reasoning
  if (read != content) return "content " + out.content;
  return out.reasoning == reasoning ? "" : "reasoning " + out.reasoning;
}

inline void damage(const Conversation& conversation, std::string& text) {
  if (conversation.damage == Conversation::Damage::kNone) return;
  text.resize(std::min(text.find("a rather"), text.size() - 8) + 8);
  if (conversation.damage == Conversation::Damage::kBroken) text += "\nNo, that is not it.";
}

}  // namespace caudal::test
