#include "coordinator/gateway/zmq/proto_json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message.h>
#include <google/protobuf/wire_format_lite.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cmath>

#include "proto/gateway.pb.h"

namespace caudal {
namespace {

namespace json = boost::json;
namespace pb = google::protobuf;

constexpr int kMaxDepth = 32;

// Two fields for one of JSON that has values of two types.
std::string_view json_name(std::string_view field) {
  if (field == "num_logprobs") return "logprobs";
  return field == "early_stopping_mode" ? "early_stopping" : field;
}

// Walks one message; the first problem stops it and names its field.
class Converter {
 public:
  json::value message(const pb::Message& message) {
    const pb::Descriptor* type = message.GetDescriptor();
    if (type == gateway::Prompt::descriptor()) return prompt(static_cast<const gateway::Prompt&>(message));
    if (type == pb::Struct::descriptor()) return structure(static_cast<const pb::Struct&>(message));
    json::object out;
    for (int i = 0; i < type->field_count(); ++i) member(message, *type->field(i), out);
    return out;
  }

  const std::optional<Error>& problem() const { return problem_; }

 private:
  json::value text(const std::string& value, const std::string& field) {
    if (value.find('\0') != std::string::npos) problem_ = Error{"It holds a NUL character.", field};
    return json::value(value);
  }

  json::value prompt(const gateway::Prompt& prompt) {
    if (prompt.has_text()) return text(prompt.text(), "prompt");
    json::array ids;
    for (const std::int64_t id : prompt.token_ids().ids()) ids.push_back(id);
    return ids;
  }

  json::value structure(const pb::Struct& value) {
    json::object out;
    for (const auto& [name, member] : value.fields()) out[text(name, "").get_string()] = structure_value(member);
    return out;
  }

  json::value structure_value(const pb::Value& value) {
    switch (value.kind_case()) {
      case pb::Value::kBoolValue:
        return value.bool_value();
      case pb::Value::kStringValue:
        return text(value.string_value(), "");
      case pb::Value::kStructValue:
        return structure(value.struct_value());
      case pb::Value::kNumberValue: {
        const double number = value.number_value();
        if (!std::isfinite(number)) problem_ = Error{"A number in it is not finite.", ""};
        // JSON clients write 3, not 3.0, and templates print what they get.
        if (number == std::floor(number) && std::fabs(number) < 9e15) return static_cast<std::int64_t>(number);
        return number;
      }
      case pb::Value::kListValue: {
        json::array out;
        for (const pb::Value& item : value.list_value().values()) out.push_back(structure_value(item));
        return out;
      }
      case pb::Value::kNullValue:
      case pb::Value::KIND_NOT_SET:
        break;
    }
    return nullptr;
  }

  void member(const pb::Message& message, const pb::FieldDescriptor& field, json::object& out) {
    const pb::Reflection& reflection = *message.GetReflection();
    if (field.is_repeated()) {
      if (reflection.FieldSize(message, &field) > 0) out[field.name()] = repeated(message, field);
      return;
    }
    const bool is_set =
        field.has_presence() ? reflection.HasField(message, &field) : !reflection.GetString(message, &field).empty();
    if (!is_set) return;
    json::value value = singular(message, field);
    if (field.name() == "parameters" && value.is_object() &&
        field.message_type() == gateway::Parameters::descriptor()) {
      for (auto& [name, parameter] : value.get_object()) out[name] = std::move(parameter);
    } else if (field.name() == "tool_choice_function") {
      out["tool_choice"] = json::object{{"type", "function"}, {"function", json::object{{"name", std::move(value)}}}};
    } else {
      out[json_name(field.name())] = std::move(value);
    }
  }

  // Fields without presence are strings: all numbers of gateway.proto's requests are `optional`.
  json::value singular(const pb::Message& message, const pb::FieldDescriptor& field) {
    const pb::Reflection& reflection = *message.GetReflection();
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT64:
        return reflection.GetInt64(message, &field);
      case pb::FieldDescriptor::CPPTYPE_DOUBLE:
        return reflection.GetDouble(message, &field);
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        return reflection.GetBool(message, &field);
      case pb::FieldDescriptor::CPPTYPE_STRING:
        return text(reflection.GetString(message, &field), field.name());
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        return this->message(reflection.GetMessage(message, &field));
      default:
        CHECK_MSG(false, "a type that requests do not use");
        return nullptr;
    }
  }

  json::value repeated(const pb::Message& message, const pb::FieldDescriptor& field) {
    const pb::Reflection& reflection = *message.GetReflection();
    if (field.is_map()) {
      json::object out;
      for (const auto& [token, bias] : static_cast<const gateway::Parameters&>(message).logit_bias()) {
        out[std::to_string(token)] = bias;
      }
      return out;
    }
    json::array out;
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      switch (field.cpp_type()) {
        case pb::FieldDescriptor::CPPTYPE_INT64:
          out.push_back(reflection.GetRepeatedInt64(message, &field, i));
          break;
        case pb::FieldDescriptor::CPPTYPE_STRING:
          out.push_back(text(reflection.GetRepeatedString(message, &field, i), field.name()));
          break;
        default:
          out.push_back(this->message(reflection.GetRepeatedMessage(message, &field, i)));
      }
    }
    // One prompt is not a list of prompts: it is named "prompt" in errors.
    if (field.name() == "prompt" && out.size() == 1) return out.front();
    return out;
  }

  std::optional<Error> problem_;
};

}  // namespace

Result<json::value> proto_to_json(const pb::Message& request) {
  Converter converter;
  json::value value = converter.message(request);
  if (converter.problem()) return *converter.problem();
  return value;
}

bool parse_bounded(std::string_view bytes, pb::Message& message) {
  pb::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  input.SetRecursionLimit(kMaxDepth);
  return message.ParseFromCodedStream(&input) && input.ConsumedEntireMessage();
}

std::uint64_t leading_tag(std::string_view bytes) {
  constexpr std::uint32_t kTagField = pb::internal::WireFormatLite::MakeTag(
      gateway::GatewayRequest::kTagFieldNumber, pb::internal::WireFormatLite::WIRETYPE_VARINT);
  pb::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()), static_cast<int>(bytes.size()));
  std::uint64_t tag = 0;
  return input.ReadTag() == kTagField && input.ReadVarint64(&tag) ? tag : 0;
}

}  // namespace caudal
