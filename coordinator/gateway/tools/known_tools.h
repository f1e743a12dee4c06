// What the tools of a request say of their parameters, for formats that write all values alike.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

struct KnownTool {
  enum class Type { kUnknown, kText, kOther };
  Type type_of(std::string_view parameter) const;

  std::string name;
  std::vector<std::string> text_parameters{};   // may only be strings
  std::vector<std::string> other_parameters{};  // may be no strings
};

// `tools`: as a request has them, checked: each with a function that has a name.
std::vector<KnownTool> known_tools(const boost::json::array& tools);

}  // namespace caudal
