// Every limit of the public interface, once. Both gateways read the table below, and the
// tests generate their bad inputs from it.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "coordinator/gateway/api/api_request.h"

namespace caudal {

// A scalar parameter. Its range is [min, max], or (min, max] with `above_min`.
struct Parameter {
  enum class Type : std::uint8_t { kInteger, kNumber, kBoolean };
  enum class On : std::uint8_t { kBoth, kCompletions, kChat };

  // A checked value: `integer` for kInteger and kBoolean (0 or 1), `real` for kNumber.
  struct Value {
    double real = 0.0;
    std::int64_t integer = 0;
  };

  std::string_view name;
  Type type;
  On on;
  double min;
  double max;
  bool above_min;
  std::string_view fallback;  // what holds when it is absent, for people
  void (*set)(ApiRequest& request, Value value);
};

std::span<const Parameter> parameters();

// A field that this server knows of but cannot honour; anything but null or `neutral` is refused.
struct UnsupportedField {
  std::string_view name;
  std::string_view neutral;  // JSON text of the one value that changes nothing, or ""
  Parameter::On on = Parameter::On::kBoth;
};

std::span<const UnsupportedField> unsupported_fields();

// Lists and texts.
inline constexpr std::size_t kMaxStopStrings = 16;
inline constexpr std::size_t kMaxStopStringBytes = 1024;
inline constexpr std::size_t kMaxStopTokenIds = 256;
inline constexpr std::size_t kMaxLogitBias = 1024;
inline constexpr std::int32_t kMaxBeams = 32;
inline constexpr std::size_t kMaxBadWords = 128;
inline constexpr std::size_t kMaxBadWordBytes = 256;
inline constexpr double kMaxLogitBiasValue = 100.0;
inline constexpr std::size_t kMaxPrompts = 64;
inline constexpr std::size_t kMaxChoices = 128;  // prompts times n
inline constexpr std::size_t kMaxMessages = 8192;
inline constexpr std::size_t kMaxTools = 256;
inline constexpr std::size_t kMaxNameBytes = 256;  // model, roles' names, ids
inline constexpr std::size_t kMaxCacheSaltBytes = 256;

inline constexpr std::int32_t kDefaultCompletionTokens = 16;

inline constexpr std::pair<std::string_view, SpeculativeMode> kSpeculativeModes[] = {{"off", SpeculativeMode::kOff},
                                                                                     {"ngram", SpeculativeMode::kNgram},
                                                                                     {"draft", SpeculativeMode::kDraft},
                                                                                     {"auto", SpeculativeMode::kAuto}};

// HTTP framing.
inline constexpr std::size_t kMaxHeaderBytes = 16 * 1024;
inline constexpr std::size_t kMaxHeaderLineBytes = 8 * 1024;
inline constexpr std::size_t kMaxHeaderFields = 100;
inline constexpr std::size_t kDefaultMaxBodyBytes = 8 * 1000 * 1000;

// Events that wait for one slow client, per sequence of its request; more cancels it.
inline constexpr std::size_t kMaxWaitingEvents = 1024;

}  // namespace caudal
