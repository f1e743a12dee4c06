#include "coordinator/gateway/chat/model_context.h"

#include <ctime>

#include "common/log.h"
#include "common/model_files/model_files.h"

namespace caudal {
namespace {

Result<ChatTemplate> parse_template(Result<ChatTemplateSource> source) {
  if (!source) return source.error();
  Result<ChatTemplate> parsed = ChatTemplate::parse(source.value().text);
  if (!parsed) return Error{source.value().file + ": " + parsed.error().message, source.value().file};
  return parsed;
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
                     .created = std::time(nullptr)};
  const auto eos = model.tokenizer->named_tokens().eos;
  if (model.card.eos_token_ids.empty() && eos) model.card.eos_token_ids.push_back(*eos);
  Result<ChatTemplate> chat_template = parse_template(std::move(text.value().chat_template));
  if (chat_template) {
    model.chat_template = std::move(chat_template).value();
  } else {
    LOG_WARNING("no usable chat template ({}): chat requests are refused", chat_template.error().message);
  }
  return model;
}

}  // namespace caudal
