// The look-up of filters, and the attribute paths that many of them take.
#include <charconv>
#include <unordered_map>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {
namespace {

std::unordered_map<std::string_view, Function> all_filters() {
  std::unordered_map<std::string_view, Function> table;
  for (const auto& functions : {text_filters(), sequence_filters(), number_filters()}) {
    for (const auto& [name, function] : functions) table.emplace(name, function);
  }
  return table;
}

}  // namespace

Function find_filter(std::string_view name) {
  static const auto kFilters = all_filters();
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

Value attribute_path(Evaluator& evaluator, const Value& object, const Value& path) {
  if (!path.text()) return evaluator.subscript(object, path);
  Value value = object;
  std::string_view rest = *path.text();
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    std::int64_t number = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), number);
    const bool is_number =
        !part.empty() && part[0] != '-' && parsed.ec == std::errc() && parsed.ptr == part.data() + part.size();
    value = evaluator.subscript(value, is_number ? Value(number) : Value(part));
    if (dot == std::string_view::npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace caudal::jinja
