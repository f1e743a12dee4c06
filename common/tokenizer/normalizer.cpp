// See normalizer.h.
#include "common/tokenizer/normalizer.h"

#include "common/text/unicode.h"

namespace caudal {
namespace {

std::string apply_step(NormalForm form, std::string_view text) { return normalize_unicode(text, form); }
std::string apply_step(const ReplaceStep& step, std::string_view text) { return step.apply(text); }
std::string apply_step(const PrependStep& step, std::string_view text) {
  return text.empty() ? std::string() : step.prefix + std::string(text);
}
std::string apply_step(const CharsMapStep& step, std::string_view text) { return step.map.apply(text); }

std::string apply_step(const MapStep& step, std::string_view text) {
  std::string output;
  output.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    step.map(output, c.value);
    i += c.num_bytes;
  }
  return output;
}

std::string apply_step(const TrimStep& step, std::string_view text) {
  std::size_t first = 0;  // of what stays, if the left is trimmed
  std::size_t last = 0;   // behind it, if the right is
  bool blank = true;
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    if (!is_space(c.value)) {
      if (blank) first = i;
      last = i + c.num_bytes;
      blank = false;
    }
    i += c.num_bytes;
  }
  if (blank && (step.left || step.right)) return "";
  const std::size_t begin = step.left ? first : 0;
  return std::string(text.substr(begin, (step.right ? last : text.size()) - begin));
}

}  // namespace

std::string ReplaceStep::apply(std::string_view text) const {
  std::string output;
  output.reserve(text.size() + text.size() / 4);
  std::size_t end = 0;
  Matches matches(pattern, text);
  while (const std::optional<Span> match = text.empty() ? std::nullopt : matches.next()) {
    output += text.substr(end, match->begin - end);
    output += replacement;
    end = match->end;
  }
  output += text.substr(end);
  return output;
}

std::string Normalizer::normalize(std::string_view text) const {
  std::string normalized(text);
  for (const NormalizerStep& step : steps_) {
    normalized = std::visit([&](const auto& s) { return apply_step(s, normalized); }, step);
  }
  return normalized;
}

}  // namespace caudal
