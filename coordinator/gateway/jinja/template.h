// The library's front: source text to a template, a template and its variables to text.
#pragma once

#include <string>
#include <string_view>

#include "coordinator/gateway/jinja/ast.h"
#include "coordinator/gateway/jinja/evaluator.h"

namespace caudal::jinja {

// Both throw TemplateError. A parsed template can be rendered by many threads at a time.
ast::Template parse_template(std::string_view source);
std::string render_template(const ast::Template& source, const RenderInput& input);

}  // namespace caudal::jinja
