// Small chat templates, one for each way in which models write calls of tools. Tests of formats render these.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace caudal::test {

struct Family {
  std::string_view name;
  std::string_view calls;      // prints `m.tool_calls`
  std::string_view reasoning;  // prints `m.reasoning_content`; "": not at all
};

inline constexpr std::string_view kThink = "<think>\n{{ m.reasoning_content }}\n</think>\n\n";

inline constexpr std::array<Family, 13> kFamilies{{
    {"json in tags",
     "{% for c in m.tool_calls %}\n<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": "
     "{{ c.function.arguments|tojson }}}\n</tool_call>{% endfor %}",
     kThink},
    {"bare json",
     "{% for c in m.tool_calls %}{\"name\": \"{{ c.function.name }}\", \"parameters\": "
     "{{ c.function.arguments|tojson }}}{% if not loop.last %}; {% endif %}{% endfor %}",
     ""},
    {"list behind a mark",
     "[TOOL_CALLS] [{% for c in m.tool_calls %}{\"name\": \"{{ c.function.name }}\", \"arguments\": "
     "{{ c.function.arguments|tojson }}, \"id\": \"{{ c.id }}\"}{% if not loop.last %}, {% endif %}{% endfor %}]",
     "[THINK]{{ m.reasoning_content }}[/THINK]"},
    {"name and arguments behind marks",
     "{% for c in m.tool_calls %}[TOOL_CALLS]{{ c.function.name }}[CALL_ID]{{ c.id }}[ARGS]"
     "{{ c.function.arguments|tojson }}{% endfor %}",
     ""},
    {"parameters in tags",
     "{% for c in m.tool_calls %}\n<tool_call>\n<function={{ c.function.name }}>\n"
     "{% for k, v in c.function.arguments|items %}<parameter={{ k }}>\n{{ v if v is string else v|tojson "
     "}}\n</parameter>\n"
     "{% endfor %}</function>\n</tool_call>{% endfor %}",
     kThink},
    {"keys and values in tags",
     "{% for c in m.tool_calls %}\n<tool_call>{{ c.function.name }}\n{% for k, v in c.function.arguments|items %}"
     "<arg_key>{{ k }}</arg_key>\n<arg_value>{{ v if v is string else v|tojson }}</arg_value>\n{% endfor %}</tool_call>"
     "{% endfor %}",
     "<think>{{ m.reasoning_content }}</think>\n"},
    {"invocations in a block",
     "\n<use:calls>\n{% for c in m.tool_calls %}<invoke name=\"{{ c.function.name }}\">\n"
     "{% for k, v in c.function.arguments|items %}<parameter name=\"{{ k }}\" string=\"{{ 'true' if v is string else "
     "'false' }}\">"
     "{{ v if v is string else v|tojson }}</parameter>\n{% endfor %}</invoke>\n{% endfor %}</use:calls>",
     kThink},
    {"python",
     "[{% for c in m.tool_calls %}{{ c.function.name }}({% for k, v in c.function.arguments|items %}{{ k }}="
     "{{ v|tojson }}{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}, {% endif %}{% endfor %}]",
     ""},
    {"python between marks",
     "<|call_start|>[{% for c in m.tool_calls %}{{ c.function.name }}({% for k, v in c.function.arguments|items %}{{ k "
     "}}="
     "{{ v|tojson }}{% if not loop.last %}, {% endif %}{% endfor %}){% if not loop.last %}, {% endif %}{% endfor %}]"
     "<|call_end|>",
     kThink},
    {"fenced json in sections",
     "<calls_begin>{% for c in m.tool_calls %}<call_begin>function<call_sep>{{ c.function.name }}\n```json\n"
     "{{ c.function.arguments|tojson }}\n```<call_end>{% if not loop.last %}\n{% endif %}{% endfor %}<calls_end>",
     kThink},
    {"ids with names",
     "<|section_begin|>{% for c in m.tool_calls %}<|call_begin|>functions.{{ c.function.name }}:{{ loop.index0 "
     "}}<|args|>"
     "{{ c.function.arguments|tojson }}<|call_end|>{% endfor %}<|section_end|>",
     ""},
    {"own quotes",
     "{% macro value(v) %}{% if v is string %}<|\"|>{{ v }}<|\"|>{% elif v is mapping %}{{ '{' }}{% for k, w in "
     "v|items %}{{ k }}:"
     "{{ value(w) }}{% if not loop.last %},{% endif %}{% endfor %}{{ '}' }}{% elif v is iterable %}[{% for w in v %}{{ "
     "value(w) }}"
     "{% if not loop.last %},{% endif %}{% endfor %}]{% else %}{{ v|tojson }}{% endif %}{% endmacro %}"
     "{% for c in m.tool_calls %}<|call>call:{{ c.function.name }}{{ value(c.function.arguments) }}<call|>{% endfor %}",
     "<|channel>thought\n{{ m.reasoning_content }}\n<channel|>"},
    {"name as key",
     "<|prefix|>[{% for c in m.tool_calls %}{\"{{ c.function.name }}\": {{ c.function.arguments|tojson }}}"
     "{% if not loop.last %}, {% endif %}{% endfor %}]<|suffix|>",
     ""},
}};

inline std::string template_of(const Family& family) {
  std::string source =
      "{%- if tools %}<|im_start|>system\n{{ tools|tojson }}<|im_end|>\n{% endif %}{% for m in messages %}<|im_start|>"
      "{{ m.role }}\n";
  if (!family.reasoning.empty()) {
    source += "{% if m.reasoning_content %}" + std::string(family.reasoning) + "{% endif %}";
  }
  source += "{{ m.content }}{% if m.tool_calls %}" + std::string(family.calls) + "{% endif %}<|im_end|>\n{% endfor %}";
  return source + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
}

// gpt-oss's form.
inline constexpr std::string_view kHarmony =
    "{%- if tools %}{{ tools|tojson }}{% endif %}{% for m in messages %}{% if m.role == 'user' "
    "%}<|start|>user<|message|>"
    "{{ m.content }}<|end|>{% elif m.tool_calls %}{% if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>"
    "{{ m.thinking }}<|end|>{% endif %}<|start|>assistant to=functions.{{ m.tool_calls[0].function.name "
    "}}<|channel|>commentary "
    "json<|message|>{{ m.tool_calls[0].function.arguments|tojson }}<|call|>{% else %}{% if m.thinking "
    "%}<|start|>assistant"
    "<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}<|start|>assistant<|channel|>final<|message|>"
    "{{ m.content }}<|return|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}";

}  // namespace caudal::test
