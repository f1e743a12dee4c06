// Answers of the HTTP gateway, read by tests.
#pragma once

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <string>
#include <vector>

namespace caudal {

namespace json = boost::json;

inline json::value parsed(const std::string& text) { return json::parse(text); }

inline std::vector<json::value> events_of(const std::string& body) {
  std::vector<json::value> events;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = body.find("\n\n", at);
    EXPECT_EQ(body.compare(at, 6, "data: "), 0) << body.substr(at);
    const std::string data = body.substr(at + 6, end - at - 6);
    events.push_back(data == "[DONE]" ? json::value("[DONE]") : json::parse(data));
    at = end + 2;
  }
  return events;
}

inline const char* const kChatBody = R"({"model":"byte-model","messages":[{"role":"user","content":"Hi"}])";

}  // namespace caudal
