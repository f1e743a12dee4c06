// The conversations that find_format renders, and their words, which no template has of its own.
#pragma once

#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "coordinator/gateway/tools/format/find_format.h"

namespace caudal::probe {

inline constexpr std::string_view kUser = "Qu7zHello";
inline constexpr std::string_view kContent = "Cx9kAnswer";
inline constexpr std::string_view kReasoning = "Rj4wThought";
inline constexpr std::array<std::string_view, 2> kNames{"fq7zFirst", "gk3vSecond"};

struct Argument {
  std::string_view key;
  std::string_view json;
  std::string_view begins;  // what its value begins with, however a template writes it
};
// Of the first call; the second has the first one alone.
inline constexpr std::array<Argument, 5> kArguments{{{"kq1zText", R"("Vq5zWord")", "Vq5zWord"},
                                                     {"kq2zCount", "72913", "72913"},
                                                     {"kq3zSwitch", "true", "rue"},
                                                     {"kq4zObject", R"({"nq1z":83412})", "nq1z"},
                                                     {"kq5zList", "[94823]", "94823"}}};

enum class Ids { kLong, kNine, kWithName };
struct CallStyle {
  Ids ids = Ids::kLong;
  bool arguments_as_text = false;
};

std::string call_id(std::size_t index, Ids ids);
boost::json::array tools();
// A user's message, and the assistant's answer to it.
boost::json::array question();
boost::json::array answer(std::string_view content, std::string_view reasoning);
boost::json::array calls(std::size_t num_calls, CallStyle style, std::string_view reasoning = "");

}  // namespace caudal::probe
