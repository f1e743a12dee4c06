// How messages are kept apart from control tokens. When, and only when, a message holds the text of a control token
// (or ends in the beginning of one), a guard character goes in front of each such place before the template
// runs. Afterwards the text is cut at the control tokens that have no guard, and the guards are taken out.
#include "coordinator/gateway/chat/prompt_encoder.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/text/unicode.h"
#include "coordinator/gateway/api/limits.h"

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

// One of Unicode's 32 noncharacters of Arabic Presentation Forms-A that the client did not use, or "".
std::string choose_guard(const ChatInput& chat) {
  for (char32_t candidate = 0xFDD0; candidate <= 0xFDEF; ++candidate) {
    std::string guard;
    append_utf8(guard, candidate);
    if (!any_string(chat, [&](std::string_view text) { return text.find(guard) != std::string_view::npos; })) {
      return guard;
    }
  }
  return "";
}

std::optional<std::string> token_text(const Tokenizer& tokenizer, std::optional<TokenId> id) {
  const auto text = id ? tokenizer.id_to_token(*id) : std::nullopt;
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

// Cuts the rendered text behind the last message, so that the model goes on with it.
bool cut_behind_final_message(const json::array& messages, std::string& text) {
  const json::value* content = messages.back().get_object().if_contains("content");
  if (content == nullptr || !content->is_string()) return false;
  std::string_view final = content->get_string();
  while (!final.empty() && (final.back() == ' ' || final.back() == '\n')) final.remove_suffix(1);
  const std::size_t position = text.rfind(final);
  if (position == std::string::npos) return false;
  text.resize(position + final.size());
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

std::pair<TokenId, std::size_t> PromptEncoder::longest_control(std::string_view text) const {
  if (starts_control_[static_cast<unsigned char>(text.front())]) {
    for (const auto& [control, id] : control_tokens_) {
      if (text.starts_with(control)) return {id, control.size()};
    }
  }
  return {-1, 0};
}

std::vector<TokenId> PromptEncoder::encode_guarded(std::string_view text, std::string_view guard) const {
  std::vector<TokenId> tokens;
  std::string plain;
  const auto flush = [&] {
    if (plain.empty()) return;
    const auto ids = model_.tokenizer->encode(plain, {.add_special_tokens = false, .parse_special = false});
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    plain.clear();
  };
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with(guard)) {
      i += guard.size();
      if (i < text.size()) plain += text[i++];  // not the start of a control token, whatever follows
      continue;
    }
    const auto [id, size] = longest_control(text.substr(i));
    if (size == 0) {
      plain += text[i++];
      continue;
    }
    flush();
    tokens.push_back(id);
    i += size;
  }
  flush();
  return tokens;
}

Result<std::vector<TokenId>> PromptEncoder::encode_chat(const ChatInput& chat) const {
  if (!model_.chat_template) return Error{"The served model has no chat template; use /v1/completions.", "messages"};
  if (!any_string(chat, [&](std::string_view text) { return needs_guard(text); })) return render_and_encode(chat, "");
  const std::string guard = choose_guard(chat);
  if (guard.empty()) return Error{"It holds too many different noncharacters.", "messages"};
  ChatInput safe{.messages = {},
                 .tools = {},
                 .template_kwargs = {},
                 .add_generation_prompt = chat.add_generation_prompt,
                 .continue_final_message = chat.continue_final_message};
  safe.messages = guarded(chat.messages, guard);
  safe.tools = guarded(chat.tools, guard);
  safe.template_kwargs = guarded(chat.template_kwargs, guard);
  return render_and_encode(safe, guard);
}

Result<std::vector<TokenId>> PromptEncoder::render_and_encode(const ChatInput& chat, std::string_view guard) const {
  Result<std::string> rendered = render(chat);
  if (!rendered) return Error{rendered.error().message, "messages"};
  std::string text = std::move(rendered).value();
  if (chat.continue_final_message && !cut_behind_final_message(chat.messages, text)) {
    return Error{"The template does not end with the last message.", "continue_final_message"};
  }
  if (guard.empty()) return model_.tokenizer->encode(text, {.add_special_tokens = false, .parse_special = true});
  return encode_guarded(text, guard);
}

Result<std::string> PromptEncoder::render(const ChatInput& chat) const {
  const NamedTokens& named = model_.tokenizer->named_tokens();
  return model_.chat_template->render({.messages = &chat.messages,
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
