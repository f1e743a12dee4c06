// A format is kept as what a template would print for one call, from which find_calls makes the rest, as it does of a
// model's own template: so there is one way to say what a format is.
#include "coordinator/gateway/tools/format/known_formats.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>

#include "common/check.h"
#include "coordinator/gateway/jinja/evaluator/template.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/json.h"
#include "coordinator/gateway/tools/format/find_calls.h"

namespace caudal {
namespace {

struct KnownFormat {
  std::string_view name;
  std::string_view hint;  // stands in a template that tells of this form without printing it; "": none
  std::string_view open;  // around all calls, as `between` stands between two
  std::string_view call;  // the template of one: `f` is the function, `a` its arguments as JSON
  std::string_view between;
  std::string_view close;
};

constexpr std::string_view kObject = R"({"name": "{{ f.name }}", "arguments": {{ a }}})";
constexpr std::string_view kLlamaObject = R"({"name": "{{ f.name }}", "parameters": {{ a }}})";
constexpr std::string_view kPythonCall =
    "{{ f.name }}({% for k, v in f.arguments|items %}{{ k }}={{ v|tojson }}{{ '' if loop.last else ', ' }}{% endfor "
    "%})";
constexpr std::string_view kQwenCall =
    "<tool_call>\n<function={{ f.name }}>\n{% for k, v in f.arguments|items %}<parameter={{ k }}>\n"
    "{{ v if v is string else v|tojson }}\n</parameter>\n{% endfor %}</function>\n</tool_call>";
constexpr std::string_view kSeedCall =
    "<seed:tool_call>\n<function={{ f.name }}>\n{% for k, v in f.arguments|items %}<parameter={{ k }}>"
    "{{ v if v is string else v|tojson }}</parameter>\n{% endfor %}</function>\n</seed:tool_call>";
constexpr std::string_view kGlmCall =
    "<tool_call>{{ f.name }}\n{% for k, v in f.arguments|items %}<arg_key>{{ k }}</arg_key>\n<arg_value>"
    "{{ v if v is string else v|tojson }}</arg_value>\n{% endfor %}</tool_call>";
constexpr std::string_view kMiniMaxCall =
    "<invoke name=\"{{ f.name }}\">\n{% for k, v in f.arguments|items %}<parameter name=\"{{ k }}\">"
    "{{ v if v is string else v|tojson }}</parameter>\n{% endfor %}</invoke>";

constexpr KnownFormat kFormats[] = {
    {"hermes", "", "", "<tool_call>\n{{ o }}\n</tool_call>", "\n", ""},
    {"lfm2", "<|tool_list_start|>", "<|tool_call_start|>[", kPythonCall, ", ", "]<|tool_call_end|>"},
    {"granite", "<|tool_call|>", "<|tool_call|>[", kObject, ", ", "]"},
    {"glm45", "<tool_call>function_name", "", kGlmCall, "\n", ""},
    {"phi4_mini", "<|tool|>", "functools[", kObject, ", ", "]"},
    {"llama3_json", "", "", kLlamaObject, "; ", ""},
    {"pythonic", "", "[", kPythonCall, ", ", "]"},
    {"mistral", "", "[TOOL_CALLS] [", kObject, ", ", "]"},
    {"mistral_args", "", "", "[TOOL_CALLS]{{ f.name }}[ARGS]{{ a }}", "", ""},
    {"qwen3_coder", "", "", kQwenCall, "\n", ""},
    {"seed_oss", "", "", kSeedCall, "\n", ""},
    {"minimax_m2", "", "<minimax:tool_call>\n", kMiniMaxCall, "\n", "\n</minimax:tool_call>"},
    {"deepseek_v3", "", "<｜tool▁calls▁begin｜>",
     "<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ f.name }}\n```json\n{{ a }}\n```<｜tool▁call▁end｜>", "\n",
     "<｜tool▁calls▁end｜>"},
    {"deepseek_v31", "", "<｜tool▁calls▁begin｜>",
     "<｜tool▁call▁begin｜>{{ f.name }}<｜tool▁sep｜>{{ a }}<｜tool▁call▁end｜>", "", "<｜tool▁calls▁end｜>"},
    {"kimi_k2", "<|tool_calls_section_begin|>", "<|tool_calls_section_begin|>",
     "<|tool_call_begin|>functions.{{ f.name }}:{{ i }}<|tool_call_argument_begin|>{{ a }}<|tool_call_end|>", "",
     "<|tool_calls_section_end|>"},
    {"internlm", "", "", "<|action_start|><|plugin|>\n{{ o }}<|action_end|>", "\n", ""},
    {"jamba", "", "<tool_calls>[", kObject, ", ", "]</tool_calls>"},
    {"xlam", "", "[", kObject, ", ", "]"},
    {"openai", "", "", " to=functions.{{ f.name }}<|channel|>commentary json<|message|>{{ a }}<|call|>", "", ""},
};

struct NamedReasoning {
  std::string_view name;
  std::size_t marks;  // index into kMarks
};

const std::array<ReasoningFormat, 6> kMarks{{{"<think>", "</think>"},
                                             {"[THINK]", "[/THINK]"},
                                             {"<seed:think>", "</seed:think>"},
                                             {"<|START_THINKING|>", "<|END_THINKING|>"},
                                             {"<|channel>thought", "<channel|>"},
                                             {"<|channel|>analysis<|message|>", "<|end|>"}}};

constexpr NamedReasoning kReasoning[] = {{"deepseek_r1", 0}, {"qwen3", 0},   {"glm45", 0},
                                         {"think", 0},       {"mistral", 1}, {"seed_oss", 2},
                                         {"cohere", 3},      {"gemma4", 4},  {"openai_gptoss", 5}};

// A template drops the line break behind a block, but prints that of a string.
std::string printed(std::string_view text) {
  std::string out = "{{ \"";
  for (const char c : text) out += c == '\n' ? "\\n" : std::string(1, c);
  return out + "\" }}";
}

std::string template_of(const KnownFormat& format) {
  const bool object = format.call == kObject || format.call == kLlamaObject;
  std::string call(object ? std::string_view("{{ o }}") : format.call);
  return R"({{ messages[0].content }}{% for m in messages[1:] %}{{ m.content }}{% if m.tool_calls %})" +
         printed(format.open) +
         "{% for c in m.tool_calls %}{% set f = c.function %}{% set a = f.arguments|tojson %}{% set i = loop.index0 %}"
         "{% set o = '{\"name\": \"' + f.name + '\", \"" +
         (format.call == kLlamaObject ? "parameters" : "arguments") + "\": ' + a + '}' %}" + call +
         "{% if not loop.last %}" + printed(format.between) + "{% endif %}{% endfor %}" + printed(format.close) +
         "{% endif %}{% endfor %}";
}

ToolFormat format_of(const KnownFormat& known) {
  const jinja::ast::Template parsed = jinja::parse_template(template_of(known));
  const auto render = [&](const ProbeChat& chat) -> std::optional<std::string> {
    const auto lookup = [&](const std::string& name) -> std::optional<jinja::Value> {
      if (name != "messages") return std::nullopt;
      return jinja::from_json(boost::json::value(chat.messages));
    };
    return jinja::render_template(parsed, {lookup, {}, {}});
  };
  std::optional<ToolFormat> format = find_calls(render, {});
  CHECK_MSG(format.has_value(), "a known format does not print its calls");
  return *format;
}

template <typename Rows>
std::vector<std::string_view> names_of(const Rows& rows) {
  std::vector<std::string_view> names;
  for (const auto& row : rows) names.push_back(row.name);
  return names;
}

}  // namespace

std::optional<ToolFormat> known_tool_format(std::string_view name) {
  const auto* const known = std::ranges::find(kFormats, name, &KnownFormat::name);
  if (known == std::end(kFormats)) return std::nullopt;
  return format_of(*known);
}

std::vector<std::string_view> known_tool_format_names() { return names_of(kFormats); }

ToolFormat guessed_tool_format(std::string_view text) {
  for (const KnownFormat& known : kFormats) {
    if (!known.hint.empty() && text.find(known.hint) != std::string_view::npos) return format_of(known);
  }
  return format_of(kFormats[0]);
}

std::optional<ReasoningFormat> known_reasoning_format(std::string_view name) {
  const auto* const known = std::ranges::find(kReasoning, name, &NamedReasoning::name);
  if (known == std::end(kReasoning)) return std::nullopt;
  return kMarks.at(known->marks);
}

std::vector<std::string_view> known_reasoning_names() { return names_of(kReasoning); }

std::span<const ReasoningFormat> known_reasoning_marks() { return std::span(kMarks).first(4); }

}  // namespace caudal
