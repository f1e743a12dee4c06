#include "worker/sampling/grammars.h"

#include <algorithm>
#include <system_error>

#include "common/grammar/tags/free_text.h"
#include "common/log.h"
#include "common/model_files/model_card.h"
#include "common/model_files/model_files.h"

namespace caudal {
namespace {

constexpr std::size_t kMaxCompiled = 64;

template <typename Map, typename LastUse>
void make_room(Map& map, std::size_t size, LastUse last_use) {
  while (map.size() > size) {
    map.erase(std::ranges::min_element(
        map, [&](const auto& a, const auto& b) { return last_use(a.second) < last_use(b.second); }));
  }
}

// A tokenizer may have tokens that the model does not have, and the other way round.
void fill_mask(grammar::Matcher& matcher, std::span<std::uint64_t> allowed) {
  const std::size_t words = matcher.vocabulary().mask_words();
  if (words <= allowed.size()) return matcher.fill_mask(allowed.first(words));
  std::vector<std::uint64_t> mask(words);
  matcher.fill_mask(mask);
  std::ranges::copy_n(mask.begin(), std::ssize(allowed), allowed.begin());
}

// The special ones: others are text, which the grammar allows or not.
void add_stops(const grammar::Matcher& matcher, std::span<const TokenId> stops, std::span<std::uint64_t> allowed) {
  for (const TokenId token : stops) {
    const auto at = static_cast<std::size_t>(token);
    if (token < 0 || at >= matcher.vocabulary().size() || at >= 64 * allowed.size()) continue;
    if (matcher.vocabulary().bytes(token).starts_with(grammar::kSpecialToken))
      allowed[at / 64] |= std::uint64_t{1} << (at % 64);
  }
}

}  // namespace

Result<TokenText> load_token_text(const std::filesystem::path& model) {
  const Result<std::unique_ptr<ModelFiles>> files = open_model_files(model);
  if (!files) return files.error();
  Result<ModelDocuments> documents = files.value()->documents();
  if (!documents) return documents.error();
  const Result<ModelCard> card = read_model_card(std::move(documents).value());
  if (!card) return card.error();
  Result<TextFiles> text = files.value()->text();
  if (!text) return text.error();
  TokenText result;
  result.tokenizer = std::move(text.value().tokenizer);
  result.vocabulary = std::make_shared<const grammar::TokenVocabulary>(
      grammar::TokenVocabulary::of(*result.tokenizer, end_tokens(card.value(), *result.tokenizer)));
  return result;
}

void Grammars::enter(const SequenceRow& sequence) {
  const GrammarParams& grammar = sequence.params.sampling.grammar;
  if (grammar.kind == GrammarKind::kNone) return;
  followed_.erase(sequence.id);
  (void)compiled(grammar);
}

Grammars::~Grammars() {
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

// Without room for it, or for a thread, it is done here and now.
template <typename Result>
std::shared_future<Result> Grammars::run(std::function<Result()> job) {
  const auto task = std::make_shared<std::packaged_task<Result()>>(std::move(job));
  std::shared_future<Result> result = task->get_future().share();
  try {
    if (!thread_.joinable()) {
      thread_ = std::thread([this] {
        if (begin_thread_) begin_thread_();
        while (const auto next = jobs_.pop()) (*next)();
      });
    }
    if (jobs_.try_push([task] { (*task)(); })) return result;
  } catch (const std::system_error& error) {
    LOG_WARNING("no thread for grammars: {}", error.what());
  }
  (*task)();
  return result;
}

void Grammars::load_text() {
  if (text_.valid()) return;
  text_ = run<std::shared_ptr<const TokenText>>([load = load_]() -> std::shared_ptr<const TokenText> {
    Result<TokenText> text = load();
    if (text) return std::make_shared<const TokenText>(std::move(text).value());
    LOG_WARNING("outputs cannot be held to a grammar: {}", text.error().message);
    return nullptr;
  });
}

Grammars::Compiled Grammars::compiled(const GrammarParams& params) {
  load_text();
  const std::string key = static_cast<char>(params.kind) + params.text;
  const auto [entry, is_new] = compiled_.try_emplace(key);
  entry->second.second = ++clock_;
  if (!is_new) return entry->second.first;
  using Fresh = std::shared_ptr<const grammar::Matcher>;
  Compiled result = run<Fresh>([text = text_, params]() -> Fresh {
    auto compiled = grammar::Grammar::compile(params.kind, params.text);
    if (!compiled) LOG_ERROR("a grammar that the coordinator took is refused: {}", compiled.error().message);
    const std::shared_ptr<const TokenText>& known = text.get();  // an earlier job
    if (!compiled || known == nullptr) return nullptr;
    return std::make_shared<const grammar::Matcher>(std::move(compiled).value(), known->vocabulary);
  });
  entry->second.first = result;
  make_room(compiled_, kMaxCompiled, [](const auto& value) { return value.second; });
  return result;
}

grammar::Matcher* Grammars::follow(const SequenceRow& sequence) {
  Followed& followed = followed_[sequence.id];
  followed.last_used = ++clock_;
  make_room(followed_, max_sequences_, [](const Followed& one) { return one.last_used; });
  if (!followed.matcher) {
    const std::shared_ptr<const grammar::Matcher> fresh = compiled(sequence.params.sampling.grammar).get();
    if (fresh == nullptr) return nullptr;
    followed.matcher = std::make_unique<grammar::Matcher>(*fresh);
  }
  const auto output = std::span(sequence.tokens).subspan(static_cast<std::size_t>(sequence.num_prompt_tokens));
  grammar::Matcher& matcher = *followed.matcher;
  while (matcher.num_tokens() < output.size()) {
    if (!matcher.accept(output[matcher.num_tokens()])) return nullptr;
  }
  return &matcher;
}

template <typename Visit>
auto Grammars::behind(grammar::Matcher& matcher, std::span<const TokenId> drafts, Visit&& visit) {
  std::size_t num_allowed = 0;
  while (num_allowed < drafts.size() && matcher.accept(drafts[num_allowed])) ++num_allowed;
  const auto result = visit(num_allowed);
  matcher.rollback(num_allowed);
  return result;
}

void Grammars::fill_allowed(const SequenceRow& sequence, std::span<const TokenId> drafts,
                            std::span<std::uint64_t> allowed) {
  grammar::Matcher* const matcher = follow(sequence);
  std::ranges::fill(allowed, 0);
  if (matcher == nullptr) return;
  behind(*matcher, drafts, [&](std::size_t num_allowed) {
    if (num_allowed < drafts.size()) {
      std::ranges::fill(allowed, ~std::uint64_t{0});
    } else {
      fill_mask(*matcher, allowed);
      if (matcher->is_complete()) add_stops(*matcher, sequence.params.stop.stop_token_ids, allowed);
    }
    return 0;
  });
}

std::size_t Grammars::num_allowed(const SequenceRow& sequence, std::span<const TokenId> drafts) {
  grammar::Matcher* const matcher = follow(sequence);
  return matcher == nullptr ? 0 : behind(*matcher, drafts, [](std::size_t num_allowed) { return num_allowed; });
}

// The last token of the text is left out: with what follows the model may write it as another one.
std::vector<TokenId> Grammars::forced(const SequenceRow& sequence, std::int32_t max_tokens) {
  grammar::Matcher* const matcher = follow(sequence);
  if (matcher == nullptr) return {};
  constexpr std::size_t kBytesPerToken = 8;
  const std::string text = matcher->forced(kBytesPerToken * (static_cast<std::size_t>(max_tokens) + 1));
  if (text.empty() || text.find(grammar::kSpecialToken) != std::string::npos) return {};
  std::vector<TokenId> tokens =
      text_.get()->tokenizer->encode(text, {.add_special_tokens = false, .parse_special = false});
  if (!tokens.empty()) tokens.pop_back();
  tokens.resize(std::min(tokens.size(), static_cast<std::size_t>(max_tokens)));
  tokens.resize(num_allowed(sequence, tokens));
  return tokens;
}

}  // namespace caudal
