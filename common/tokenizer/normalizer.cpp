// See normalizer.h.
#include "common/tokenizer/normalizer.h"

namespace caudal {
namespace {

std::string apply_step(NormalForm form, std::string_view text) { return normalize_unicode(text, form); }
std::string apply_step(const ReplaceStep& step, std::string_view text) { return step.apply(text); }
std::string apply_step(const PrependStep& step, std::string_view text) {
  return text.empty() ? std::string() : step.prefix + std::string(text);
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
