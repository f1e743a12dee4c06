// The one exception of the template language. It never leaves this library's users' boundary:
// ChatTemplate catches it and returns a Result.
#pragma once

#include <string>
#include <utility>

namespace caudal::jinja {

struct TemplateError {
  std::string message;
  int line = 0;                     // 1-based line of the template; 0: not known (yet)
  bool raised_by_template = false;  // raise_exception(): the message is meant for the client as it stands
};

[[noreturn]] inline void fail(std::string message, int line = 0) { throw TemplateError{std::move(message), line}; }

}  // namespace caudal::jinja
