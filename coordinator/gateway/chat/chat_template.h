// A model's chat template: a conversation to the text the model was trained on. The template is the
// checkpoint's own (transformers' Jinja dialect) and runs in our own bounded evaluator, never as code;
// a request cannot bring one. Parsed once at load; render() may run on any number of threads.
#pragma once

#include <boost/json/fwd.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "coordinator/gateway/chat/template_traits.h"
#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

namespace jinja::ast {
struct Template;
}

// What a template sees, under the names transformers gives it. Only the variables that the template
// uses are converted.
struct ChatTemplateInput {
  const boost::json::array* messages = nullptr;    // each an object: role, content, tool_calls, ...; not null
  const boost::json::array* tools = nullptr;       // null: the variable `tools` is none
  const boost::json::object* variables = nullptr;  // chat_template_kwargs; null: none. The others win.
  bool add_generation_prompt = true;
  std::optional<std::string> bos_token;  // none: undefined in the template
  std::optional<std::string> eos_token;
  std::chrono::system_clock::time_point now;            // for strftime_now(), as UTC
  std::size_t max_output_bytes = std::size_t{4} << 20;  // 4 x the context length in bytes is plenty
  std::chrono::milliseconds max_time{100};              // wall time
};

class ChatTemplate {
 public:
  // The error names the line. Its field is "chat_template".
  static Result<ChatTemplate> parse(std::string_view source);

  // Errors are the request's (4xx). Field "messages": the template refused the conversation by
  // raise_exception(), whose message this is; "chat_template": it failed or hit a bound.
  Result<std::string> render(const ChatTemplateInput& input) const;

  const TemplateTraits& traits() const { return traits_; }
  // How a model with this template writes calls and reasoning. Empty where the template does not print them.
  const OutputFormat& output_format() const { return output_format_; }

 private:
  explicit ChatTemplate(std::shared_ptr<const jinja::ast::Template> parsed) : parsed_(std::move(parsed)) {}

  std::shared_ptr<const jinja::ast::Template> parsed_;  // shared by copies of this object; immutable
  TemplateTraits traits_;
  OutputFormat output_format_;
};

}  // namespace caudal
