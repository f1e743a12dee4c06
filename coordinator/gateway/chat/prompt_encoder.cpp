// How messages are kept apart from control tokens. When, and only when, a message holds the text of a control token
// (or ends in the beginning of one), a guard character goes in front of each such place before the template
// runs. Afterwards the guards are taken out again, and where they stood no control token begins.
#include "coordinator/gateway/chat/prompt_encoder.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/text/marks.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/chat/conversation.h"
#include "coordinator/gateway/tools/tell_tools.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kMaxRenderTime{1};

template <typename Predicate>
bool any_string(const json::value& value, const Predicate& predicate);

template <typename Predicate>
bool any_string(const json::array& items, const Predicate& predicate) {
  return std::any_of(items.begin(), items.end(), [&](const json::value& item) { return any_string(item, predicate); });
}

template <typename Predicate>
bool any_string(const json::object& object, const Predicate& predicate) {
  return std::any_of(object.begin(), object.end(), [&](const auto& member) {
    return predicate(std::string_view(member.key())) || any_string(member.value(), predicate);
  });
}

template <typename Predicate>
bool any_string(const json::value& value, const Predicate& predicate) {
  if (const json::string* string = value.if_string()) return predicate(std::string_view(*string));
  if (const json::array* items = value.if_array()) return any_string(*items, predicate);
  if (const json::object* object = value.if_object()) return any_string(*object, predicate);
  return false;
}

template <typename Predicate>
bool any_string(const ChatInput& chat, const Predicate& predicate) {
  return any_string(chat.messages, predicate) || any_string(chat.tools, predicate) ||
         any_string(chat.template_kwargs, predicate);
}

std::optional<std::string> token_text(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  const auto text = id ? tokenizer.id_to_token(*id) : std::nullopt;
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

std::string unused_mark(const ChatInput& chat, std::string_view other) {
  return find_mark([&](std::string_view mark) {
    return mark == other ||
           any_string(chat, [&](std::string_view text) { return text.find(mark) != std::string_view::npos; });
  });
}

// The white space at the end of the last message's text.
std::string trailing_space(const ChatInput& chat) {
  const json::value& content = chat.messages.back().at("content");
  const json::array* const parts = content.if_array();
  if (parts != nullptr && parts->empty()) return "";
  const std::string_view text = parts == nullptr ? content.get_string() : parts->back().at("text").get_string();
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  return end == std::string_view::npos ? "" : std::string(text.substr(end + 1));
}

// Cuts the rendered text at the end of the last message, so that the model goes on with it. The message was rendered
// with `mark` and a space behind it: a template that trims its end has taken that space, and would have taken the
// message's.
bool cut_at_mark(std::string& text, std::string_view mark, std::string_view trailing_space) {
  const std::size_t position = text.rfind(mark);
  if (position == std::string::npos) return false;
  const bool trimmed = !std::string_view(text).substr(position + mark.size()).starts_with(' ');
  text.resize(position);
  if (trimmed && text.ends_with(trailing_space)) text.resize(position - trailing_space.size());
  return true;
}

}  // namespace

PromptEncoder::PromptEncoder(const ModelContext& model) : model_(model) {
  const Tokenizer& tokenizer = *model.tokenizer;
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_special(id)) continue;
    const std::optional<std::string_view> text = tokenizer.id_to_token(id);
    if (!text || text->empty()) continue;
    control_tokens_.emplace_back(*text, id);
    starts_control_[static_cast<unsigned char>(text->front())] = true;
  }
  std::stable_sort(control_tokens_.begin(), control_tokens_.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

std::vector<TokenId> PromptEncoder::encode_text(std::string_view text) const { return model_.tokenizer->encode(text); }

Result<std::vector<std::vector<TokenId>>> PromptEncoder::encode_bad_words(std::span<const std::string> words) const {
  std::vector<std::vector<TokenId>> encoded;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i].substr(std::min(words[i].find_first_not_of(' '), words[i].size()));
    std::vector<TokenId> alone = model_.tokenizer->encode(word, {.add_special_tokens = false});
    std::vector<TokenId> behind_space = model_.tokenizer->encode(" " + word, {.add_special_tokens = false});
    if (alone.empty() || behind_space.empty()) return Error{"It has no tokens.", fmt::format("bad_words[{}]", i)};
    if (behind_space != alone) encoded.push_back(std::move(behind_space));
    encoded.push_back(std::move(alone));
  }
  return encoded;
}

// Whether a control token, or the beginning of one that the text breaks off, stands at its front.
bool PromptEncoder::may_start_control(std::string_view text) const {
  if (!starts_control_[static_cast<unsigned char>(text.front())]) return false;
  return std::any_of(control_tokens_.begin(), control_tokens_.end(), [&](const auto& token) {
    const std::size_t overlap = std::min(text.size(), token.first.size());
    return text.substr(0, overlap) == std::string_view(token.first).substr(0, overlap);
  });
}

bool PromptEncoder::needs_guard(std::string_view text) const {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (may_start_control(text.substr(i))) return true;
  }
  return false;
}

std::string PromptEncoder::guarded(std::string_view text, std::string_view guard) const {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (may_start_control(text.substr(i))) out += guard;
    out += text[i];
  }
  return out;
}

json::array PromptEncoder::guarded(const json::array& items, std::string_view guard) const {
  json::array out;
  out.reserve(items.size());
  for (const json::value& item : items) out.push_back(guarded(item, guard));
  return out;
}

json::object PromptEncoder::guarded(const json::object& object, std::string_view guard) const {
  json::object out;
  for (const auto& member : object) {
    out[guarded(std::string_view(member.key()), guard)] = guarded(member.value(), guard);
  }
  return out;
}

json::value PromptEncoder::guarded(const json::value& value, std::string_view guard) const {
  if (const json::string* string = value.if_string()) return json::value(guarded(std::string_view(*string), guard));
  if (const json::array* items = value.if_array()) return guarded(*items, guard);
  if (const json::object* object = value.if_object()) return guarded(*object, guard);
  return value;
}

Result<std::vector<TokenId>> PromptEncoder::encode_chat(ChatInput chat) const {
  const ChatTemplate* const chat_template = model_.template_for(!chat.tools.empty());
  if (chat_template == nullptr) {
    return Error{"The served model has no chat template for this; use /v1/completions.", "messages"};
  }
  if (!model_.output_format.told && model_.output_format.tools) {  // the history may have calls, too
    tell_tools(*model_.output_format.tools, chat.tools, chat.messages);
    chat.tools.clear();
  }
  fit_to_template(chat_template->traits(), chat.messages);
  if (model_.output_format.tools && model_.output_format.tools->arguments_as_text) write_arguments(chat.messages);
  std::string guard, end_mark, trailing;
  if (any_string(chat, [&](std::string_view text) { return needs_guard(text); })) {
    guard = unused_mark(chat, "");
    if (guard.empty()) return Error{"It holds too many different noncharacters.", "messages"};
    chat.messages = guarded(chat.messages, guard);
    chat.tools = guarded(chat.tools, guard);
    chat.template_kwargs = guarded(chat.template_kwargs, guard);
  }
  if (chat.continue_final_message) {
    end_mark = unused_mark(chat, guard);
    if (end_mark.empty()) return Error{"It holds too many different noncharacters.", "messages"};
    trailing = trailing_space(chat);
    append_to_content(chat.messages.back().get_object(), end_mark + " ");
  }
  Result<std::string> rendered = render(*chat_template, chat);
  if (!rendered) return Error{rendered.error().message, "messages"};
  std::string text = std::move(rendered).value();
  if (chat.continue_final_message && !cut_at_mark(text, end_mark, trailing)) {
    return Error{"The template does not print the last message.", "continue_final_message"};
  }
  if (guard.empty()) return model_.tokenizer->encode(text, {.add_special_tokens = false, .parse_special = true});
  const UnmarkedText plain = take_marks(text, guard);
  return model_.tokenizer->encode(plain.text,
                                  {.add_special_tokens = false, .parse_special = true, .plain_at = plain.offsets});
}

Result<std::string> PromptEncoder::render(const ChatTemplate& chat_template, const ChatInput& chat) const {
  const NamedTokens& named = model_.tokenizer->named_tokens();
  return chat_template.render({.messages = &chat.messages,
                               .tools = chat.tools.empty() ? nullptr : &chat.tools,
                               .variables = &chat.template_kwargs,
                               .add_generation_prompt = chat.add_generation_prompt,
                               .bos_token = token_text(*model_.tokenizer, named.bos),
                               .eos_token = token_text(*model_.tokenizer, named.eos),
                               .now = std::chrono::system_clock::now(),
                               .max_output_bytes = 2 * kDefaultMaxBodyBytes,
                               .max_time = kMaxRenderTime});
}

}  // namespace caudal
