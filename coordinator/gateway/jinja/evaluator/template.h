// The library's front: source text to a template, a template and its variables to text.
// The dialect is that of transformers' chat templates (jinja2, immutable sandbox, trim_blocks,
// lstrip_blocks, loop controls, generation blocks, its tojson). Left out: template inheritance and
// includes, integers beyond 64 bits, the distinction between text and escaped text (`safe` changes
// nothing), format specifications in "{:>5}".format(). Filters that Jinja runs lazily run at once,
// and a loop's own `if` before its first iteration.
#pragma once

#include <string>
#include <string_view>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/syntax/ast.h"

namespace caudal::jinja {

// Both throw TemplateError. A parsed template can be rendered by many threads at a time.
ast::Template parse_template(std::string_view source);
std::string render_template(const ast::Template& source, const RenderInput& input);

}  // namespace caudal::jinja
