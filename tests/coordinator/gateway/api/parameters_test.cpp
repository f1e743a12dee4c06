// Bad values generated from the table of parameters: each is refused by name, through both doors (JSON and
// gateway.proto) with the same verdict.
#include "coordinator/gateway/api/parameters.h"

#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <limits>

#include "coordinator/gateway/zmq/proto_json.h"
#include "proto/gateway.pb.h"
#include "tests/coordinator/gateway/api/parse_request.h"
#include "tests/coordinator/gateway/leaks.h"

namespace caudal {
namespace {

struct Generated {
  const Parameter* parameter;
  Endpoint endpoint;
  json::value value;
};

bool acceptable_number(const Parameter& parameter, const json::value& value) {
  if (!value.is_number()) return false;
  const double number = value.to_number<double>();
  if (parameter.type == Parameter::Type::kInteger && number != std::floor(number)) return false;
  if (parameter.type == Parameter::Type::kInteger && std::fabs(number) > 9e15 && !value.is_int64()) return false;
  const auto& bounds = parameter.bounds;
  return (bounds.above_min ? number > bounds.min : number >= bounds.min) && number <= bounds.max;
}

bool acceptable_text(const Parameter& parameter, const json::value& value) {
  if (!value.is_string()) return false;
  const json::string& text = value.get_string();
  const bool blank = std::all_of(text.begin(), text.end(), [](char c) { return c == ' '; });
  return static_cast<double>(text.size()) >= parameter.bounds.min &&
         static_cast<double>(text.size()) <= parameter.bounds.max && !(parameter.bounds.not_blank && blank);
}

bool acceptable_list(const Parameter& parameter, const json::value& value, bool (*each)(const json::value&)) {
  if (!value.is_array() || value.get_array().size() > parameter.bounds.max_items) return false;
  return std::all_of(value.get_array().begin(), value.get_array().end(), each);
}

bool is_token(const json::value& value) {
  return value.is_int64() && value.get_int64() >= 0 && value.get_int64() < kVocab;
}

bool acceptable_prompt(const json::value& value) {
  if (value.is_string()) return !value.get_string().empty();
  return value.is_array() && !value.get_array().empty() &&
         std::all_of(value.get_array().begin(), value.get_array().end(), is_token);
}

bool acceptable_texts(const Parameter& parameter, const json::value& value) {
  if (!value.is_array() || value.get_array().size() > parameter.bounds.max_items) return false;
  const json::array& list = value.get_array();
  return std::all_of(list.begin(), list.end(),
                     [&](const json::value& each) { return acceptable_text(parameter, each); });
}

bool acceptable(const Parameter& parameter, const json::value& value) {
  using enum Parameter::Type;
  if (value.is_null()) return !parameter.required;
  switch (parameter.type) {
    case kInteger:
    case kNumber:
      return acceptable_number(parameter, value);
    case kBoolean:
    case kChoice:
      return (parameter.type == kBoolean && value.is_bool()) ||
             (value.is_string() &&
              std::ranges::count(parameter.bounds.words, std::string_view(value.get_string())) > 0);
    case kText:
      return acceptable_text(parameter, value);
    case kTexts:
      return acceptable_texts(parameter, value);
    case kTextOrTexts:
      return acceptable_text(parameter, value) || acceptable_texts(parameter, value);
    case kTokenIds:
      return acceptable_list(parameter, value, is_token);
    case kPrompts:
      return acceptable_prompt(value) ||
             (acceptable_list(parameter, value, acceptable_prompt) && !value.get_array().empty());
    case kTokenBiases:
      return value.is_object() && value.get_object().size() <= parameter.bounds.max_items;
    case kObject:
      return value.is_object();
  }
  return false;
}

// Values of every JSON type, and those at the edges of the parameter's bounds.
std::vector<json::value> values_for(const Parameter& parameter) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const auto& bounds = parameter.bounds;
  std::vector<json::value> values = {bounds.min - 1,
                                     bounds.max + 1,
                                     bounds.min - 0.001,
                                     bounds.max + 0.001,
                                     bounds.min,
                                     0,
                                     -1,
                                     -0.0,
                                     0.5,
                                     std::nan(""),
                                     kInf,
                                     -kInf,
                                     1e308,
                                     2147483648.0,
                                     std::int64_t{1} << 62,
                                     9223372036854775808.0,
                                     UINT64_MAX,
                                     1e-320,
                                     "5",
                                     "",
                                     " ",
                                     json::string(1 << 20, 'x'),
                                     true,
                                     nullptr,
                                     json::array{},
                                     json::array{1},
                                     json::array{"a", ""},
                                     json::array{"a", 1},
                                     json::object{}};
  for (const std::size_t size : {bounds.max_items, bounds.max_items + 1}) {
    values.emplace_back(json::array(size, "x"));
    values.emplace_back(json::array(size, 1));
  }
  if (bounds.max < 2000) {
    for (const double size : {bounds.max, bounds.max + 1})
      values.emplace_back(json::string(static_cast<std::size_t>(std::max(size, 0.0)), 'x'));
  }
  for (const std::string_view word : bounds.words) values.emplace_back(word);
  return values;
}

std::vector<Generated> generated_cases() {
  std::vector<Generated> cases;
  for (const Parameter& parameter : parameters()) {
    for (const Endpoint endpoint : {Endpoint::kCompletions, Endpoint::kChat}) {
      if (!applies(parameter.on, endpoint)) continue;
      for (const json::value& value : values_for(parameter)) cases.push_back({&parameter, endpoint, value});
    }
  }
  return cases;
}

// A body with the value at the parameter's name, which may be "object.member".
json::object body_of(const Generated& generated) {
  json::object body = base(generated.endpoint);
  const std::string_view name = generated.parameter->name;
  const std::size_t dot = name.find('.');
  if (name.starts_with("stream_options")) body["stream"] = true;
  if (dot == std::string_view::npos) {
    body[name] = generated.value;
  } else {
    body[name.substr(0, dot)] = json::object{{name.substr(dot + 1), generated.value}};
  }
  return body;
}

// Of an element of a list: the list.
std::string_view field_of(const Error& error) { return std::string_view(error.field).substr(0, error.field.find('[')); }

TEST(Parameters, EveryParameterRefusesEveryBadValueByName) {
  int num_refused = 0;
  for (const Generated& bad : generated_cases()) {
    const auto request = parse(bad.endpoint, json::value(body_of(bad)));
    // Values that only narrowing makes bad, or another field: checked by name where refused.
    const bool tiny = bad.value.is_double() && bad.value.get_double() == 1e-320;
    const bool expected = acceptable(*bad.parameter, bad.value) && !(tiny && bad.parameter->bounds.above_min);
    if (request.ok()) {
      EXPECT_TRUE(expected) << bad.parameter->name << " " << json::serialize(bad.value).substr(0, 40);
      continue;
    }
    ++num_refused;
    const bool combined = expected;  // for example min_tokens over max_tokens, top_logprobs without logprobs
    if (!combined) {
      EXPECT_EQ(field_of(request.error()), bad.parameter->name) << json::serialize(bad.value).substr(0, 40);
    }
    EXPECT_FALSE(leaks(request.error().message) || request.error().message.find("xxxx") != std::string::npos)
        << request.error().message;
  }
  EXPECT_GE(num_refused, 1000);
}

// Fills a repeated field if its type can hold the list.
bool add_proto(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
               const json::array& list) {
  const bool texts = field.cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING;
  for (const json::value& each : list) {
    if (texts ? !each.is_string() : !each.is_int64()) return false;
    if (texts) message.GetReflection()->AddString(&message, &field, each.get_string().c_str());
    if (!texts) message.GetReflection()->AddInt64(&message, &field, each.get_int64());
  }
  return true;
}

// Sets the field in `message` if its type can hold the value.
bool set_proto(google::protobuf::Message& message, std::string_view name, Endpoint endpoint, const json::value& value) {
  const std::string field_name(name == "logprobs" && endpoint == Endpoint::kCompletions ? "num_logprobs" : name);
  const auto* field = message.GetDescriptor()->FindFieldByName(field_name);
  if (field == nullptr) ADD_FAILURE() << "gateway.proto has no " << field_name;
  const auto* reflection = message.GetReflection();
  if (field->is_map()) return false;
  if (field->is_repeated()) return value.is_array() && add_proto(message, *field, value.get_array());
  switch (field->cpp_type()) {
    case google::protobuf::FieldDescriptor::CPPTYPE_INT64:
      if (!value.is_int64()) return false;
      reflection->SetInt64(&message, field, value.get_int64());
      return true;
    case google::protobuf::FieldDescriptor::CPPTYPE_DOUBLE:
      if (!value.is_number()) return false;
      reflection->SetDouble(&message, field, value.to_number<double>());
      return true;
    case google::protobuf::FieldDescriptor::CPPTYPE_STRING:
      if (!value.is_string() || value.get_string().empty()) return false;  // there an empty string is an absent one
      reflection->SetString(&message, field, value.as_string().c_str());
      return true;
    default:
      if (!value.is_bool()) return false;
      reflection->SetBool(&message, field, value.get_bool());
      return true;
  }
}

// Not among gateway.proto's Parameters: the first two are the request's own, and there every stream tells its usage.
bool is_parameter_of_proto(std::string_view name) {
  return name != "model" && name != "prompt" && !name.starts_with("stream_options");
}

TEST(Parameters, BothDoorsGiveTheSameVerdict) {
  int num_compared = 0;
  for (const Generated& each : generated_cases()) {
    if (!is_parameter_of_proto(each.parameter->name)) continue;
    gateway::CompletionRequest completion;
    completion.add_prompt()->set_text("Hi");
    gateway::ChatRequest chat;
    chat.add_messages()->set_role("user");
    chat.mutable_messages(0)->set_content("Hi");
    const bool is_chat = each.endpoint == Endpoint::kChat;
    auto* parameters = is_chat ? chat.mutable_parameters() : completion.mutable_parameters();
    if (!set_proto(*parameters, each.parameter->name, each.endpoint, each.value)) continue;
    ++num_compared;
    const auto over_http = parse(each.endpoint, json::value(body_of(each)));
    const auto as_json = is_chat ? proto_to_json(chat) : proto_to_json(completion);
    ASSERT_TRUE(as_json.ok());
    const auto over_zmq = parse(each.endpoint, as_json.value());
    ASSERT_EQ(over_http.ok(), over_zmq.ok()) << each.parameter->name;
    if (!over_http) {
      EXPECT_EQ(over_http.error().field, over_zmq.error().field);
      EXPECT_EQ(over_http.error().message, over_zmq.error().message);
    }
  }
  EXPECT_GE(num_compared, 200);
}

}  // namespace
}  // namespace caudal
