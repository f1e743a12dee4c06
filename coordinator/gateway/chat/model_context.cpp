#include "coordinator/gateway/chat/model_context.h"

#include <ctime>

#include "common/log.h"
#include "common/model_files/model_files.h"

namespace caudal {
namespace {

Result<ChatTemplate> parse_template(const ChatTemplateSource& source) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(source.text);
  if (!parsed) return Error{source.file + ": " + parsed.error().message, source.file};
  return parsed;
}

void take_templates(const TextFiles& text, ModelContext& model) {
  const Result<ChatTemplateSource>& source = text.chat_template;
  Result<ChatTemplate> chat = source ? parse_template(source.value()) : Result<ChatTemplate>(source.error());
  if (chat) model.chat_template = std::move(chat).value();
  if (text.tool_template) {
    Result<ChatTemplate> tools = parse_template(*text.tool_template);
    if (tools) model.tool_template = std::move(tools).value();
    if (!tools) LOG_WARNING("chats with tools get the template without: {}", tools.error().message);
  }
  if (!model.chat_template) {
    LOG_WARNING("no usable chat template ({}): {}", chat.error().message,
                model.tool_template ? "chats without tools are refused" : "chat requests are refused");
  }
}

}  // namespace

Result<ModelContext> load_model_context(const std::filesystem::path& path, std::string served_name) {
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
  const auto eos = model.tokenizer->named_tokens().eos;
  if (model.card.eos_token_ids.empty() && eos) model.card.eos_token_ids.push_back(*eos);
  take_templates(text.value(), model);
  return model;
}

}  // namespace caudal
