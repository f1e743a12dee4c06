// Which draft knows which keyword, and what type its value has.
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "common/grammar/schema/compiler_detail.h"

namespace caudal::grammar {
namespace {

namespace json = boost::json;

struct Drafts {
  Draft first;
  Draft last;
};

// Those that not all drafts have.
const std::map<std::string_view, Drafts>& drafts_of_keywords() {
  static const std::map<std::string_view, Drafts> drafts{{"const", {Draft::k6, Draft::k2020}},
                                                         {"contains", {Draft::k6, Draft::k2020}},
                                                         {"propertyNames", {Draft::k6, Draft::k2020}},
                                                         {"if", {Draft::k7, Draft::k2020}},
                                                         {"then", {Draft::k7, Draft::k2020}},
                                                         {"else", {Draft::k7, Draft::k2020}},
                                                         {"dependentRequired", {Draft::k2019, Draft::k2020}},
                                                         {"dependentSchemas", {Draft::k2019, Draft::k2020}},
                                                         {"minContains", {Draft::k2019, Draft::k2020}},
                                                         {"maxContains", {Draft::k2019, Draft::k2020}},
                                                         {"unevaluatedItems", {Draft::k2019, Draft::k2020}},
                                                         {"unevaluatedProperties", {Draft::k2019, Draft::k2020}},
                                                         {"prefixItems", {Draft::k2020, Draft::k2020}},
                                                         {"additionalItems", {Draft::k4, Draft::k2019}},
                                                         {"dependencies", {Draft::k4, Draft::k7}},
                                                         {"$recursiveRef", {Draft::k2019, Draft::k2019}},
                                                         {"$dynamicRef", {Draft::k2020, Draft::k2020}}};
  return drafts;
}

}  // namespace

Decimal decimal_of(const json::value& number) {
  if (number.is_int64()) return Decimal::parse(std::to_string(number.get_int64()));
  if (number.is_uint64()) return Decimal::parse(std::to_string(number.get_uint64()));
  return Decimal::of(number.get_double());
}

const json::value* Keywords::find(std::string_view name) const {
  const auto drafts = drafts_of_keywords().find(name);
  if (drafts != drafts_of_keywords().end() && (draft_ < drafts->second.first || draft_ > drafts->second.last))
    return nullptr;
  return object_.if_contains(name);
}

std::optional<std::uint32_t> Keywords::count(std::string_view name) const {
  const auto value = number(name);
  if (!value) return std::nullopt;
  if (value->is_negative() || !value->is_integer()) fail(name, "must be a whole number from 0 on");
  if (value->magnitude() > 9) return kNoBound - 1;
  return static_cast<std::uint32_t>(std::stoul(value->plain()));
}

std::optional<Decimal> Keywords::number(std::string_view name) const {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) fail(name, "must be a number");
  return decimal_of(*value);
}

std::optional<std::string_view> Keywords::text(std::string_view name) const {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail(name, "must be a string");
  return value->get_string();
}

const json::object* Keywords::object(std::string_view name) const {
  const json::value* value = find(name);
  if (value != nullptr && !value->is_object()) fail(name, "must be an object");
  return value == nullptr ? nullptr : &value->get_object();
}

const json::array* Keywords::array(std::string_view name) const {
  const json::value* value = find(name);
  if (value != nullptr && !value->is_array()) fail(name, "must be a list");
  return value == nullptr ? nullptr : &value->get_array();
}

std::vector<std::string> Keywords::names(const json::value& value, const std::string& pointer) const {
  if (!value.is_array()) throw Refusal{"must be a list of strings", pointer};
  std::vector<std::string> result;
  for (const json::value& item : value.get_array()) {
    if (!item.is_string()) throw Refusal{"must be a list of strings", pointer};
    result.emplace_back(item.get_string());
  }
  std::ranges::sort(result);
  result.erase(std::ranges::unique(result).begin(), result.end());
  return result;
}

bool Keywords::flag(std::string_view name) const {
  const json::value* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_bool()) fail(name, "must be true or false");
  return value->get_bool();
}

}  // namespace caudal::grammar
