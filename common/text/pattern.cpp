// See pattern.h. Scratch memory of PCRE2 (match data, JIT stack) is per thread, made on first use.
#include "common/text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/text/oniguruma.h"
#include "common/text/unicode.h"

namespace caudal {
namespace {

constexpr std::size_t kMaxExpressionBytes = 64 << 10;
constexpr std::uint32_t kMatchLimit = 20'000'000;  // far above what 1 MB of text needs with a sane expression
constexpr std::size_t kJitStackBytes = 1 << 20;

struct MatchScratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, kJitStackBytes, nullptr);

  MatchScratch() {
    CHECK(data != nullptr && context != nullptr);
    pcre2_set_match_limit(context, kMatchLimit);
    pcre2_set_heap_limit(context, 64 << 10);  // KiB, when there is no JIT
    if (stack != nullptr) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~MatchScratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  MatchScratch(const MatchScratch&) = delete;
  MatchScratch& operator=(const MatchScratch&) = delete;
};

MatchScratch& match_scratch() {
  thread_local MatchScratch scratch;
  return scratch;
}

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Pattern::Code {
  pcre2_code* compiled;

  explicit Code(pcre2_code* code) : compiled(code) {}
  ~Code() { pcre2_code_free(compiled); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
};

Pattern::Pattern(std::string literal, std::unique_ptr<Code> code)
    : literal_(std::move(literal)), code_(std::move(code)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::regex(std::string_view expression) {
  if (expression.size() > kMaxExpressionBytes) return Error{"the regular expression is longer than 64 KiB", ""};
  Result<std::string> translated = translate_oniguruma(expression);
  if (!translated) return translated.error();

  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  CHECK(context != nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 100);
  int error = 0;
  std::size_t offset = 0;
  pcre2_code* code =
      pcre2_compile(units(translated.value()), translated.value().size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (code == nullptr) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof(text));
    return Error{fmt::format("the regular expression does not compile: {}", reinterpret_cast<const char*>(text)), ""};
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without JIT, pcre2_match interprets
  return Pattern("", std::make_unique<Code>(code));
}

Result<Pattern> Pattern::literal(std::string_view text) {
  if (text.empty()) return regex("");  // matches between all characters
  return Pattern(std::string(text), nullptr);
}

Pattern Pattern::character(bool (*is_member)(char32_t)) {
  Pattern pattern("", nullptr);
  pattern.is_member_ = is_member;
  return pattern;
}

std::optional<Span> Pattern::find(std::string_view text, std::size_t from) const {
  if (is_member_ != nullptr) {
    while (from < text.size()) {
      const CodePoint c = decode_utf8(text, from);
      if (is_member_(c.value)) return Span{from, from + c.num_bytes};
      from += c.num_bytes;
    }
    return std::nullopt;
  }
  if (code_ == nullptr) {
    const std::size_t begin = text.find(literal_, from);
    if (begin == std::string_view::npos) return std::nullopt;
    return Span{begin, begin + literal_.size()};
  }
  MatchScratch& scratch = match_scratch();
  const int count =
      pcre2_match(code_->compiled, units(text), text.size(), from, PCRE2_NO_UTF_CHECK, scratch.data, scratch.context);
  if (count < 0) return std::nullopt;
  const std::size_t* bounds = pcre2_get_ovector_pointer(scratch.data);
  const std::size_t begin = std::max(bounds[0], from);  // \K can move the start anywhere
  return Span{begin, std::max(begin, bounds[1])};
}

std::optional<Span> Matches::next() {
  while (from_ <= text_.size()) {
    const std::optional<Span> match = pattern_.find(text_, from_);
    if (!match) return std::nullopt;
    if (match->empty() && last_end_ == match->end) {
      from_ += from_ < text_.size() ? decode_utf8(text_, from_).num_bytes : 1;
      continue;
    }
    from_ = match->end;
    last_end_ = match->end;
    return match;
  }
  return std::nullopt;
}

}  // namespace caudal
