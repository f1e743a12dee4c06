// The names a template can use: filters, tests, methods and global functions. Everything here works
// on plain data; nothing opens, imports, or changes a value.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "coordinator/gateway/jinja/value/calls.h"

namespace caudal::jinja {

using Predicate = bool (*)(Evaluator& evaluator, const Value& value, const Arguments& arguments);

Function find_filter(std::string_view name);  // null: no such filter
Predicate find_test(std::string_view name);   // null: no such test
std::optional<Value> find_global(std::string_view name);

// A method of a string, dict or list, and whether Jinja's sandbox hides a name of a dict (update...).
Function find_method(const Value& object, std::string_view name);
bool hidden_method(std::string_view name);

std::span<const NamedFunction> text_filters();
std::span<const NamedFunction> sequence_filters();
std::span<const NamedFunction> number_filters();
std::span<const NamedFunction> text_methods();

// "a.b.0" as filters take it in `attribute=`; or a number.
Value attribute_path(Evaluator& evaluator, const Value& object, const Value& path);

// text % arguments, and text.format(...) (without format specifications).
Value percent_format(const std::string& format, const Value& arguments, Budget& budget);
Value brace_format(const std::string& format, const Arguments& arguments, Budget& budget);

}  // namespace caudal::jinja
