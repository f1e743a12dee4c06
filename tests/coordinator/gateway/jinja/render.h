// What the tests of the template language share: render a template over JSON variables.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fstream>
#include <sstream>
#include <string>

#include "coordinator/gateway/jinja/evaluator/template.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/json.h"

namespace caudal::jinja {

struct Outcome {
  bool ok = false;
  std::string text;  // the rendering, or the error message
  int line = 0;
  bool raised = false;
};

// 2025-03-09 14:05:06 UTC, the time of the reference script.
inline std::chrono::system_clock::time_point reference_time() {
  return std::chrono::system_clock::from_time_t(1741529106);
}

// Sanitizers and loaded machines are slow; the tests of the time limit set their own.
inline Limits roomy() { return {.max_time = std::chrono::seconds(20)}; }

inline Outcome render(const std::string& source, const boost::json::object& variables = {},
                      const Limits& limits = roomy()) {
  const auto variable = [&](const std::string& name) -> std::optional<Value> {
    const boost::json::value* found = variables.if_contains(name);
    if (!found) return std::nullopt;
    return from_json(*found);
  };
  try {
    return {true, render_template(parse_template(source), {variable, reference_time(), limits})};
  } catch (const TemplateError& error) {
    return {false, error.message, error.line, error.raised_by_template};
  }
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  return std::move(content).str();
}

inline const std::string kReference = CAUDAL_TEST_DATA "/reference/templates/";

}  // namespace caudal::jinja
