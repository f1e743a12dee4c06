#include "coordinator/gateway/jinja/value/calls.h"

#include <algorithm>

#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {

Bound::Bound(const Arguments& arguments, std::initializer_list<std::string_view> names, std::size_t num_required)
    : values_(names.size()) {
  if (arguments.positional.size() > names.size()) fail("too many arguments in a call");
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) fail("unknown argument '" + name + "' in a call");
    const Value*& slot = values_[found - names.begin()];
    if (slot) fail("argument '" + name + "' is given twice in a call");
    slot = &value;
  }
  for (std::size_t i = 0; i < num_required; ++i) {
    if (!values_[i]) fail("argument '" + std::string(names.begin()[i]) + "' is missing in a call");
  }
}

Value Bound::value(std::size_t parameter, const Value& fallback) const {
  return values_[parameter] ? *values_[parameter] : fallback;
}

bool Bound::flag(std::size_t parameter, bool fallback) const {
  return values_[parameter] ? truthy(*values_[parameter]) : fallback;
}

std::int64_t Bound::integer(std::size_t parameter, std::int64_t fallback) const {
  return values_[parameter] ? require_integer(*values_[parameter], "an argument") : fallback;
}

const std::string& Bound::text(std::size_t parameter) const { return require_text(*values_[parameter], "an argument"); }

void require_defined(const Value& value) {
  const auto* undefined = std::get_if<Undefined>(&value.storage());
  if (!undefined) return;
  fail(undefined->name ? "'" + *undefined->name + "' is undefined" : "a value is undefined");
}

std::int64_t require_integer(const Value& value, const char* what) {
  require_defined(value);
  if (!value.is_integral()) fail(std::string(what) + " must be an integer, not " + type_name(value));
  return value.integer();
}

const std::string& require_text(const Value& value, const char* what) {
  require_defined(value);
  if (!value.text()) fail(std::string(what) + " must be a string, not " + type_name(value));
  return *value.text();
}

}  // namespace caudal::jinja
