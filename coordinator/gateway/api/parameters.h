// The one table of the request parameters: name, type, bounds, and where the value goes. JSON and Protobuf requests are
// read by it, and the tests generate their bad inputs from it. To add a parameter is to add a row. Only the
// conversation of a chat is read elsewhere (openai_chat).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/gateway/api/api_request.h"

namespace caudal {

struct Parameter {
  enum class Type : std::uint8_t {
    kInteger,
    kNumber,
    kBoolean,  // or one of the words, where there are any
    kChoice,   // one of the words
    kText,
    kTexts,        // a list
    kTextOrTexts,  // one, or a list
    kTokenIds,     // a list
    kTokenBiases,  // an object: token id -> number
    kPrompts,      // a text, a list of token ids, or a list of such prompts
    kObject,       // its members are rows "object.member"
  };
  enum class On : std::uint8_t { kBoth, kCompletions, kChat };

  struct Bounds {
    double min = 0.0;  // of the number, of each bias, of the bytes of each text
    double max = 0.0;
    bool above_min = false;                       // (min, max] instead of [min, max]
    bool not_blank = false;                       // a text has more than spaces
    std::size_t max_items = 0;                    // of a list or object
    std::span<const std::string_view> words{};    // of kChoice and kBoolean
    std::optional<std::array<double, 2>> beam{};  // the only values that a beam search takes: they change nothing
  };

  // A checked value. Which member it is follows from the type.
  struct Value {
    double real = 0.0;
    std::int64_t integer = 0;          // kBoolean: 0, 1, or 2 + the word's index; kChoice: the word's index
    std::vector<std::string> texts{};  // kText: one
    std::vector<TokenId> tokens{};
    std::vector<TokenBias> biases{};
    std::vector<Prompt> prompts{};
  };

  std::string_view name;
  Type type;
  On on;
  Bounds bounds;
  std::string_view fallback;  // what holds when it is absent, for people
  void (*set)(ApiRequest& request, Value& value);
  bool required = false;
};

// A second name of a parameter is a row of its own, with the same `set`. Later rows win.
std::span<const Parameter> parameters();

// A field that this server knows of but cannot honour; anything but null or `neutral` is refused.
struct UnsupportedField {
  std::string_view name;
  std::string_view neutral;  // JSON text of the one value that changes nothing, or ""
  Parameter::On on = Parameter::On::kBoth;
  std::string_view problem = "It is not supported by this server.";
};

std::span<const UnsupportedField> unsupported_fields();

// Fields that this server has no use for, and whose answer is the same without: taken and left alone.
std::span<const std::string_view> harmless_fields();

inline bool applies(Parameter::On on, Endpoint endpoint) {
  return on == Parameter::On::kBoth || (on == Parameter::On::kChat) == (endpoint == Endpoint::kChat);
}

}  // namespace caudal
