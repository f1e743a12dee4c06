#include "coordinator/served_model.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "common/log.h"
#include "coordinator/gateway/chat_template.h"

namespace caudal {
namespace {

// Prompts are bounded by the context; what a template makes of them by a few bytes per token.
constexpr std::size_t kMaxBytesPerToken = 16;

std::optional<std::string> spelled(const Tokenizer& tokenizer, std::optional<TokenId> token) {
  if (!token) return std::nullopt;
  const auto text = tokenizer.id_to_token(*token);
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

}  // namespace

Result<ModelContext> load_served_model(const std::string& model_dir, const std::string& served_name) {
  ModelContext model;
  model.served_name = served_name;
  model.created = std::chrono::duration_cast<std::chrono::seconds>(
                      std::chrono::system_clock::now().time_since_epoch()).count();
  auto tokenizer = load_tokenizer(model_dir);
  if (!tokenizer.ok()) return tokenizer.error();
  model.tokenizer = std::move(tokenizer).value();
  if (auto loaded = load_model_defaults(model_dir, model); !loaded.ok()) return loaded.error();
  if (model.eos_token_ids.empty() && model.tokenizer->named_tokens().eos) {
    model.eos_token_ids.push_back(*model.tokenizer->named_tokens().eos);
  }

  auto chat_template = load_chat_template(model_dir);
  if (!chat_template.ok()) {
    LOG_WARNING("no chat: {} ({})", chat_template.error().message, chat_template.error().field);
    return model;
  }
  const NamedTokens& named = model.tokenizer->named_tokens();
  model.render_chat = [parsed = std::move(chat_template).value(), bos = spelled(*model.tokenizer, named.bos),
                       eos = spelled(*model.tokenizer, named.eos),
                       max_bytes = static_cast<std::size_t>(model.max_context_tokens) * kMaxBytesPerToken](
                          const ChatInput& chat) -> Result<std::string> {
    return parsed.render({.messages = &chat.messages,
                          .tools = chat.tools.empty() ? nullptr : &chat.tools,
                          .variables = &chat.template_kwargs,
                          .add_generation_prompt = chat.add_generation_prompt,
                          .bos_token = bos,
                          .eos_token = eos,
                          .now = std::chrono::system_clock::now(),
                          .max_output_bytes = std::max<std::size_t>(max_bytes, 1 << 16)});
  };
  return model;
}

}  // namespace caudal
