#include "coordinator/gateway/tools/format/output_format.h"

#include <algorithm>

#include "coordinator/gateway/tools/format/atoms.h"

namespace caudal {
namespace {

using Kind = CallElement::Kind;

bool has_letters(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; });
}

void add(const std::string& mark, std::vector<std::string>& marks) {
  if (!trimmed(mark).empty()) marks.push_back(mark);
}

}  // namespace

bool ToolFormat::bare() const {
  const bool literal = !call.empty() && call.front().kind == Kind::kLiteral;
  return !has_letters(block_open) && !(literal && has_letters(call.front().text));
}

std::vector<std::string> ToolFormat::object_openings() const {
  std::vector<std::string> openings;
  for (const char* space : {"", " ", "\n", "\n ", "\n  ", "\n    ", "\n\t", "\r\n  "}) {
    openings.push_back("{" + std::string(space) + '"' + object.name_key + '"');
  }
  return openings;
}

std::vector<std::string> OutputFormat::marks() const {
  std::vector<std::string> marks = silent;
  if (reasoning) {
    add(reasoning->open, marks);
    add(reasoning->close, marks);
  }
  if (!tools) return marks;
  for (const std::string* mark : {&tools->block_open, &tools->separator, &tools->block_close}) add(*mark, marks);
  for (const CallElement& each : tools->call) add(each.text, marks);
  for (const auto& call : tools->other_calls) {
    for (const CallElement& each : call) add(each.text, marks);
  }
  const ParameterForm& parameters = tools->parameters;
  add(parameters.open, marks);
  for (const std::string& close : parameters.key_closes) add(close, marks);
  add(parameters.close, marks);
  add(tools->loose.quote, marks);
  return marks;
}

}  // namespace caudal
