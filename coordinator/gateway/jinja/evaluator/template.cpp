#include "coordinator/gateway/jinja/evaluator/template.h"

#include "coordinator/gateway/jinja/syntax/lexer.h"
#include "coordinator/gateway/jinja/syntax/parser.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {

ast::Template parse_template(std::string_view source) {
  if (!valid_utf8(source)) fail("the chat template is not valid UTF-8");
  return Parser(tokenize(source)).run();
}

std::string render_template(const ast::Template& source, const RenderInput& input) {
  return Evaluator(source, input).run();
}

}  // namespace caudal::jinja
