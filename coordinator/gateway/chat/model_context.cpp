#include "coordinator/gateway/chat/model_context.h"

#include <ctime>

#include "common/log.h"
#include "common/model_files/model_files.h"
#include "coordinator/gateway/tools/format/known_formats.h"

namespace caudal {
namespace {

Result<ChatTemplate> parse_template(const ChatTemplateSource& source) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(source.text);
  if (!parsed) return Error{source.file + ": " + parsed.error().message, source.file};
  return parsed;
}

// Leaves `to` empty and says why where there is no usable one.
void take_template(const Result<ChatTemplateSource>& source, const char* consequence, std::optional<ChatTemplate>& to) {
  Result<ChatTemplate> parsed = source ? parse_template(source.value()) : Result<ChatTemplate>(source.error());
  if (parsed) {
    to = std::move(parsed).value();
  } else {
    LOG_WARNING("no usable chat template ({}): {}", parsed.error().message, consequence);
  }
}

void take_templates(const TextFiles& text, ModelContext& model) {
  if (text.tool_template) take_template(*text.tool_template, "chats with tools get the other", model.tool_template);
  take_template(text.chat_template,
                model.tool_template ? "chats without tools are refused" : "chat requests are refused",
                model.chat_template);
}

// A model whose template knows no tools is told of them in words, in a form that most have seen.
void take_format(const FormatNames& names, ModelContext& model) {
  OutputFormat& format = model.output_format;
  if (const ChatTemplate* with_tools = model.template_for(true)) format = with_tools->output_format();
  if (model.tool_template && model.chat_template) format.reasoning = model.chat_template->output_format().reasoning;
  if (!names.tool_calls.empty()) format.tools = known_tool_format(names.tool_calls);
  if (!names.reasoning.empty()) format.reasoning = known_reasoning_format(names.reasoning);
  if (format.told || model.template_for(true) == nullptr || names.tool_calls == "none") return;
  if (!format.tools) format.tools = guessed_tool_format("");
  LOG_INFO("{}: the chat template knows no tools; a system message tells of them, in the form {}", model.served_name,
           names.tool_calls.empty() ? "hermes" : names.tool_calls);
}

}  // namespace

Result<ModelContext> load_model_context(const std::filesystem::path& path, std::string served_name,
                                        const FormatNames& formats) {
  // The coordinator prints the field in front of the message, which names file and field already.
  const auto refuse = [](const Error& error) { return Error{error.message, ""}; };
  const Result<std::unique_ptr<ModelFiles>> files = open_model_files(path);
  if (!files) return refuse(files.error());
  Result<ModelDocuments> documents = files.value()->documents();
  if (!documents) return refuse(documents.error());
  Result<ModelCard> card = read_model_card(std::move(documents).value());
  if (!card) return refuse(card.error());
  Result<TextFiles> text = files.value()->text();
  if (!text) return refuse(text.error());
  ModelContext model{.served_name = std::move(served_name),
                     .card = std::move(card).value(),
                     .tokenizer = std::move(text.value().tokenizer),
                     .chat_template = std::nullopt,
                     .tool_template = std::nullopt,
                     .created = std::time(nullptr)};
  model.card.eos_token_ids = end_tokens(model.card, *model.tokenizer);
  take_templates(text.value(), model);
  take_format(formats, model);
  return model;
}

}  // namespace caudal
