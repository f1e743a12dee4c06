// The functions a template can call by name.
#include <ctime>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {
namespace {

constexpr std::int64_t kMaxRange = 100'000;  // as in Jinja's sandbox
constexpr std::size_t kMaxTimeFormat = 256;  // bytes of a strftime format

Value range(Evaluator& evaluator, const Value&, const Arguments& arguments) {
  const Bound bound(arguments, {"start", "stop", "step"}, 1);
  const bool only_stop = !bound[1];
  const std::int64_t start = only_stop ? 0 : bound.integer(0, 0);
  const std::int64_t stop = only_stop ? bound.integer(0, 0) : bound.integer(1, 0);
  const std::int64_t step = bound.integer(2, 1);
  if (step == 0) fail("range() needs a step other than zero");
  const __int128 span = static_cast<__int128>(stop) - start;
  const __int128 stride = step;
  const __int128 count = span / stride + (span % stride != 0 ? 1 : 0);
  if ((span > 0) != (step > 0) || span == 0) return Value::sequence(SequenceKind::kRange, {});
  if (count > kMaxRange) fail("range() has more than 100000 items");
  evaluator.budget().allocate(static_cast<std::size_t>(count) * sizeof(Value));
  std::vector<Value> items;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(count); ++i) items.emplace_back(start + i * step);
  return Value::sequence(SequenceKind::kRange, std::move(items));
}

// The entries of an optional mapping, then the named arguments.
std::vector<std::pair<std::string, Value>> members(const Arguments& arguments) {
  std::vector<std::pair<std::string, Value>> result;
  if (arguments.positional.size() > 1) fail("too many arguments in a call");
  if (!arguments.positional.empty()) {
    const Dict* dict = arguments.positional[0].as_dict();
    if (!dict) fail("a mapping is needed here");
    for (const auto& [key, value] : dict->entries) result.emplace_back(require_text(key, "a key"), value);
  }
  for (const auto& [name, value] : arguments.named) {
    const auto same = [&](const auto& member) { return member.first == name; };
    std::erase_if(result, same);
    result.emplace_back(name, value);
  }
  return result;
}

Value make_namespace(Evaluator& evaluator, const Value&, const Arguments& arguments) {
  return evaluator.new_namespace(members(arguments));
}

Value dict(Evaluator&, const Value&, const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  for (auto& [name, value] : members(arguments)) entries.emplace_back(Value(name), std::move(value));
  return Value::dict(std::move(entries));
}

Value raise_exception(Evaluator& evaluator, const Value&, const Arguments& arguments) {
  const Bound bound(arguments, {"message"}, 1);
  throw TemplateError{to_text(*bound[0], evaluator.budget()), 0, true};
}

Value strftime_now(Evaluator& evaluator, const Value&, const Arguments& arguments) {
  const Bound bound(arguments, {"format"}, 1);
  const std::string& format = bound.text(0);
  if (format.size() > kMaxTimeFormat) fail("the format of strftime_now() is too long");
  const std::time_t seconds = std::chrono::system_clock::to_time_t(evaluator.now());
  std::tm fields{};
  gmtime_r(&seconds, &fields);
  char buffer[16 * kMaxTimeFormat];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  // A width in the format (%999d) can outgrow the buffer; then strftime writes nothing.
  const std::size_t size = std::strftime(buffer, sizeof buffer, format.c_str(), &fields);
#pragma GCC diagnostic pop
  return std::string(buffer, size);
}

constexpr NamedFunction kGlobals[] = {
    {"range", range},
    {"namespace", make_namespace},
    {"dict", dict},
    {"raise_exception", raise_exception},
    {"strftime_now", strftime_now},
};

}  // namespace

std::optional<Value> find_global(std::string_view name) {
  for (const auto& [known, function] : kGlobals) {
    if (known != name) continue;
    return Value(std::static_pointer_cast<Callable>(std::make_shared<LibraryFunction>(known, function)));
  }
  return std::nullopt;
}

}  // namespace caudal::jinja
