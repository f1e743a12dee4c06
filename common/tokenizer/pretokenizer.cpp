// See pretokenizer.h.
#include "common/tokenizer/pretokenizer.h"

#include <algorithm>
#include <utility>

#include "common/text/reference_characters.h"
#include "common/text/unicode.h"

namespace caudal {
namespace {

// A stretch of a word, matched by a pattern or lying between matches.
struct Stretch {
  Span span;
  bool is_match;
};

// Cuts `word` into matches and what lies between them, covering all of it.
void find_stretches(const SplitStep& step, std::string_view word, std::vector<Stretch>& output) {
  output.clear();
  std::size_t end = 0;
  Matches matches(step.pattern, word);
  while (const std::optional<Span> match = matches.next()) {
    if (match->begin != end) output.push_back({{end, match->begin}, step.invert});
    output.push_back({*match, !step.invert});
    end = match->end;
  }
  if (end != word.size()) output.push_back({{end, word.size()}, step.invert});
}

bool joins_previous(SplitBehavior behavior, bool is_match, bool previous_is_match) {
  if (behavior == SplitBehavior::kContiguous) return is_match == previous_is_match;
  return behavior == SplitBehavior::kMergedWithPrevious && is_match && !previous_is_match;
}

// Merges stretches as the behavior says, in place; only spans are left that become words.
void merge_forward(std::vector<Stretch>& stretches, SplitBehavior behavior) {
  std::size_t count = 0;
  bool previous_is_match = false;
  for (const Stretch& stretch : stretches) {
    if (count > 0 && joins_previous(behavior, stretch.is_match, previous_is_match)) {
      stretches[count - 1].span.end = stretch.span.end;
    } else {
      stretches[count++] = stretch;
    }
    previous_is_match = stretch.is_match;
  }
  stretches.resize(count);
}

void merge_backward(std::vector<Stretch>& stretches) {
  std::size_t kept = stretches.size();  // [kept, size) are the merged stretches
  bool previous_is_match = false;
  for (std::size_t i = stretches.size(); i-- > 0;) {
    const Stretch stretch = stretches[i];
    if (kept < stretches.size() && stretch.is_match && !previous_is_match) {
      stretches[kept].span.begin = stretch.span.begin;
    } else {
      stretches[--kept] = stretch;
    }
    previous_is_match = stretch.is_match;
  }
  stretches.erase(stretches.begin(), stretches.begin() + static_cast<std::ptrdiff_t>(kept));
}

void apply_step(const SplitStep& step, Words& words) {
  std::vector<Span> spans;
  spans.reserve(words.spans.size());
  std::vector<Stretch> stretches;
  for (const Span& word : words.spans) {
    find_stretches(step, word.of(words.text), stretches);
    if (step.behavior == SplitBehavior::kMergedWithNext) {
      merge_backward(stretches);
    } else {
      merge_forward(stretches, step.behavior);
    }
    for (const auto& [span, is_match] : stretches) {
      if (span.empty() || (is_match && step.behavior == SplitBehavior::kRemoved)) continue;
      spans.push_back({word.begin + span.begin, word.begin + span.end});
    }
  }
  const bool keeps_start = !spans.empty() && !words.spans.empty() && spans.front().begin == words.spans.front().begin;
  words.starts_input = words.starts_input && keeps_start;
  words.spans = std::move(spans);
}

void apply_step(const ScriptStep&, Words& words) {
  std::vector<Span> spans;
  for (const Span& word : words.spans) {
    int last_script = 0;
    for (std::size_t i = word.begin; i < word.end;) {
      const CodePoint c = decode_utf8(words.text, i);
      const int script = script_number(c.value);
      if (script != 0 && script != last_script) {
        if (last_script != 0) spans.back().end = i;
        spans.push_back({i, word.end});
        last_script = script;
      }
      i += c.num_bytes;
    }
  }
  const bool keeps_start = !spans.empty() && spans.front().begin == words.spans.front().begin;
  words.starts_input = words.starts_input && keeps_start;
  words.spans = std::move(spans);
}

// Rebuilds the text word by word; `rewrite(word, is_first, output)` appends the new word.
template <typename Rewrite>
void rewrite_words(Words& words, Rewrite rewrite) {
  std::string text;
  text.reserve(words.text.size() + words.text.size() / 4);
  bool is_first = true;
  for (Span& word : words.spans) {
    const std::size_t begin = text.size();
    rewrite(word.of(words.text), is_first, text);
    word = {begin, text.size()};
    is_first = false;
  }
  words.text = std::move(text);
}

void apply_step(const PrefixStep& step, Words& words) {
  const bool starts_input = words.starts_input;
  rewrite_words(words, [&](std::string_view word, bool is_first, std::string& output) {
    const bool is_candidate = !step.only_first || (is_first && starts_input);
    if (is_candidate && !word.starts_with(step.prefix)) output += step.prefix;
    output += word;
  });
}

void apply_step(const ReplaceSpacesStep& step, Words& words) {
  rewrite_words(words, [&](std::string_view word, bool, std::string& output) {
    for (std::size_t space = word.find(' '); space != std::string_view::npos; space = word.find(' ')) {
      output += word.substr(0, space);
      output += step.replacement;
      word.remove_prefix(space + 1);
    }
    output += word;
  });
}

void apply_step(const ByteAlphabetStep&, Words& words) {
  rewrite_words(words, [](std::string_view word, bool, std::string& output) {
    for (const char byte : word) output += byte_to_alphabet(static_cast<std::uint8_t>(byte));
  });
}

}  // namespace

Words PreTokenizer::split(std::string text, bool starts_input) const {
  Words words{std::move(text), {}, starts_input};
  if (!words.text.empty()) words.spans.push_back({0, words.text.size()});
  for (const PreTokenizerStep& step : steps_) {
    std::visit([&](const auto& s) { apply_step(s, words); }, step);
  }
  return words;
}

}  // namespace caudal
