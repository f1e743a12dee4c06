#include "coordinator/gateway/jinja/template.h"

#include "coordinator/gateway/jinja/error.h"
#include "coordinator/gateway/jinja/lexer.h"
#include "coordinator/gateway/jinja/parser.h"
#include "coordinator/gateway/jinja/text.h"

namespace caudal::jinja {

ast::Template parse_template(std::string_view source) {
  if (!valid_utf8(source)) fail("the chat template is not valid UTF-8");
  return Parser(tokenize(source)).run();
}

std::string render_template(const ast::Template& source, const RenderInput& input) {
  return Evaluator(source, input).run();
}

}  // namespace caudal::jinja
