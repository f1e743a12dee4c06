// See decoder.h.
#include "common/tokenizer/decoder.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/text/unicode.h"

namespace caudal {
namespace {

// A step, and the one it passes its output to.
class Step : public DecoderSink {
 public:
  explicit Step(DecoderSink& next) : next_(next) {}
  void text(std::string_view piece) override { next_.text(piece); }
  void end_token() override { next_.end_token(); }
  void finish() override { next_.finish(); }

 protected:
  DecoderSink& next_;
};

// A step that needs whole tokens.
class WholeTokenStep : public Step {
 public:
  using Step::Step;
  void text(std::string_view piece) final { token_ += piece; }
  void end_token() final {
    token(token_);
    token_.clear();
  }

 protected:
  virtual void token(std::string_view token) = 0;

 private:
  std::string token_;
};

class ByteLevelStep final : public WholeTokenStep {
 public:
  ByteLevelStep(const ByteLevelDecoder&, DecoderSink& next) : WholeTokenStep(next) {}

  void finish() override {
    text_.clear();
    repair_.finish(text_);
    next_.text(text_);
    next_.end_token();  // all tokens have become one
    next_.finish();
  }

 private:
  void token(std::string_view token) override {
    bytes_.clear();
    for (std::size_t i = 0; i < token.size();) {
      const CodePoint c = decode_utf8(token, i);
      i += c.num_bytes;
      const int byte = alphabet_to_byte(c.value);
      if (byte < 0) {
        bytes_ = token;
        break;
      }
      bytes_ += static_cast<char>(byte);
    }
    text_.clear();
    repair_.push(bytes_, text_);
    next_.text(text_);
  }

  Utf8Repair repair_;
  std::string bytes_;
  std::string text_;
};

// The byte of a token "<0xHH>". "<0x+H>" counts too, as the reference implementation has it.
std::optional<char> fallback_byte(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  int value = 0;
  for (const char digit : token[3] == '+' ? token.substr(4, 1) : token.substr(3, 2)) {
    value *= 16;
    if (digit >= '0' && digit <= '9') {
      value += digit - '0';
    } else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f') {
      value += (digit | 0x20) - 'a' + 10;
    } else {
      return std::nullopt;
    }
  }
  return static_cast<char>(value);
}

class ByteFallbackStep final : public WholeTokenStep {
 public:
  ByteFallbackStep(const ByteFallbackDecoder&, DecoderSink& next) : WholeTokenStep(next) {}

  void finish() override {
    flush();
    next_.finish();
  }

 private:
  void token(std::string_view token) override {
    if (const std::optional<char> byte = fallback_byte(token)) {
      run_ += *byte;
      return;
    }
    flush();
    next_.text(token);
    next_.end_token();
  }

  void flush() {
    if (run_.empty()) return;
    const bool valid = is_valid_utf8(run_);
    const std::size_t num_tokens = valid ? 1 : run_.size();
    for (std::size_t i = 0; i < num_tokens; ++i) {
      next_.text(valid ? std::string_view(run_) : "\xEF\xBF\xBD");
      next_.end_token();
    }
    run_.clear();
  }

  std::string run_;  // bytes of the tokens since the last other token
};

class FuseStep final : public Step {
 public:
  FuseStep(const FuseDecoder&, DecoderSink& next) : Step(next) {}
  void end_token() override {}
  void finish() override {
    next_.end_token();
    next_.finish();
  }
};

class ReplaceTokenStep final : public WholeTokenStep {
 public:
  ReplaceTokenStep(ReplaceDecoder spec, DecoderSink& next) : WholeTokenStep(next), spec_(std::move(spec)) {}

 private:
  void token(std::string_view token) override {
    next_.text(spec_.step->apply(token));
    next_.end_token();
  }

  ReplaceDecoder spec_;
};

class StripStep final : public Step {
 public:
  StripStep(StripDecoder spec, DecoderSink& next) : Step(next), spec_(std::move(spec)) {}

  void text(std::string_view piece) override {
    while (at_front_ && num_stripped_ < spec_.start && piece.starts_with(spec_.content)) {
      piece.remove_prefix(spec_.content.size());
      ++num_stripped_;
    }
    if (piece.empty()) return;
    at_front_ = false;
    hold_back(piece);
  }

  void end_token() override {
    const std::size_t num_kept = num_held_ - std::min(num_held_, spec_.stop);
    for (std::size_t i = 0; i < num_kept; ++i) next_.text(spec_.content);
    num_held_ = 0;
    num_stripped_ = 0;
    at_front_ = true;
    next_.end_token();
  }

 private:
  // Passes on everything but the last `stop` contents at the end, which end_token() may remove.
  void hold_back(std::string_view piece) {
    std::size_t num_trailing = 0;
    while (num_trailing < spec_.stop && piece.ends_with(spec_.content)) {
      piece.remove_suffix(spec_.content.size());
      ++num_trailing;
    }
    const std::size_t limit = piece.empty() ? spec_.stop - num_trailing : 0;  // of the ones held already
    for (; num_held_ > limit; --num_held_) next_.text(spec_.content);
    next_.text(piece);
    num_held_ += num_trailing;
  }

  StripDecoder spec_;
  bool at_front_ = true;
  std::size_t num_stripped_ = 0;  // at the front of this token
  std::size_t num_held_ = 0;      // contents at the end of this token that are not passed on yet
};

class MetaspaceStep final : public Step {
 public:
  MetaspaceStep(MetaspaceDecoder spec, DecoderSink& next) : Step(next), spec_(std::move(spec)) {}

  void text(std::string_view piece) override {
    const std::string_view space = is_first_ && spec_.drop_in_first ? "" : " ";
    text_.clear();
    for (std::size_t at = piece.find(spec_.replacement); at != std::string_view::npos;
         at = piece.find(spec_.replacement)) {
      text_ += piece.substr(0, at);
      text_ += space;
      piece.remove_prefix(at + spec_.replacement.size());
    }
    text_ += piece;
    next_.text(text_);
  }

  void end_token() override {
    is_first_ = false;
    next_.end_token();
  }

 private:
  MetaspaceDecoder spec_;
  bool is_first_ = true;
  std::string text_;
};

std::string replaced(std::string_view text, std::string_view old, std::string_view by) {
  std::string output;
  for (std::size_t at = text.find(old); at != std::string_view::npos; at = text.find(old)) {
    output += text.substr(0, at);
    output += by;
    text.remove_prefix(at + old.size());
  }
  return output += text;
}

// Holds a token back from its first suffix on: only the next token tells that it was not the last.
class WordSuffixStep final : public WholeTokenStep {
 public:
  WordSuffixStep(WordSuffixDecoder spec, DecoderSink& next) : WholeTokenStep(next), spec_(std::move(spec)) {}

  void finish() override {
    if (is_open_) end_held("");
    next_.finish();
  }

 private:
  void token(std::string_view token) override {
    if (is_open_) end_held(" ");
    const std::size_t certain = std::min(token.find(spec_.suffix), token.size());
    next_.text(token.substr(0, certain));
    held_ = token.substr(certain);
    is_open_ = true;
  }

  void end_held(std::string_view by) {
    next_.text(replaced(held_, spec_.suffix, by));
    next_.end_token();
  }

  WordSuffixDecoder spec_;
  std::string held_;
  bool is_open_ = false;  // a token has not ended yet
};

class WordPieceStep final : public WholeTokenStep {
 public:
  WordPieceStep(WordPieceDecoder spec, DecoderSink& next) : WholeTokenStep(next), spec_(std::move(spec)) {}

 private:
  void token(std::string_view token) override {
    std::string text(token);
    if (!is_first_) text = token.starts_with(spec_.prefix) ? text.substr(spec_.prefix.size()) : " " + text;
    is_first_ = false;
    if (spec_.cleanup) clean_up(text);
    next_.text(text);
    next_.end_token();
  }

  static void clean_up(std::string& text) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kShorter{{{" .", "."},
                                                                                      {" ?", "?"},
                                                                                      {" !", "!"},
                                                                                      {" ,", ","},
                                                                                      {" ' ", "'"},
                                                                                      {" n't", "n't"},
                                                                                      {" 'm", "'m"},
                                                                                      {" do not", " don't"},
                                                                                      {" 's", "'s"},
                                                                                      {" 've", "'ve"},
                                                                                      {" 're", "'re"}}};
    for (const auto& [longer, shorter] : kShorter) text = replaced(text, longer, shorter);
  }

  WordPieceDecoder spec_;
  bool is_first_ = true;
};

class JoinStep final : public Step {
 public:
  JoinStep(const JoinDecoder&, DecoderSink& next) : Step(next) {}

  void text(std::string_view piece) override {
    if (!is_open_ && !is_first_) next_.text(" ");
    is_open_ = true;
    next_.text(piece);
  }

  void end_token() override {
    is_open_ = false;
    is_first_ = false;
    next_.end_token();
  }

 private:
  bool is_open_ = false;
  bool is_first_ = true;
};

std::unique_ptr<DecoderSink> make_step(const DecoderSpec::value_type& spec, DecoderSink& next) {
  struct Maker {
    DecoderSink& next;
    std::unique_ptr<DecoderSink> operator()(const ByteLevelDecoder& s) {
      return std::make_unique<ByteLevelStep>(s, next);
    }
    std::unique_ptr<DecoderSink> operator()(const ByteFallbackDecoder& s) {
      return std::make_unique<ByteFallbackStep>(s, next);
    }
    std::unique_ptr<DecoderSink> operator()(const FuseDecoder& s) { return std::make_unique<FuseStep>(s, next); }
    std::unique_ptr<DecoderSink> operator()(const ReplaceDecoder& s) {
      return std::make_unique<ReplaceTokenStep>(s, next);
    }
    std::unique_ptr<DecoderSink> operator()(const StripDecoder& s) { return std::make_unique<StripStep>(s, next); }
    std::unique_ptr<DecoderSink> operator()(const MetaspaceDecoder& s) {
      return std::make_unique<MetaspaceStep>(s, next);
    }
    std::unique_ptr<DecoderSink> operator()(const WordSuffixDecoder& s) {
      return std::make_unique<WordSuffixStep>(s, next);
    }
    std::unique_ptr<DecoderSink> operator()(const WordPieceDecoder& s) {
      return std::make_unique<WordPieceStep>(s, next);
    }
    std::unique_ptr<DecoderSink> operator()(const JoinDecoder& s) { return std::make_unique<JoinStep>(s, next); }
  };
  return std::visit(Maker{next}, spec);
}

}  // namespace

class DecoderChain::Output final : public DecoderSink {
 public:
  void text(std::string_view piece) override { *target_ += piece; }
  void end_token() override {}
  void finish() override {}
  void write_to(std::string& target) { target_ = &target; }

 private:
  std::string* target_ = nullptr;  // only valid during push and finish
};

DecoderChain::DecoderChain(const DecoderSpec& spec) : output_(std::make_unique<Output>()), first_(output_.get()) {
  for (auto step = spec.rbegin(); step != spec.rend(); ++step) {
    steps_.push_back(make_step(*step, *first_));
    first_ = steps_.back().get();
  }
}

DecoderChain::~DecoderChain() = default;

void DecoderChain::push(std::string_view token, std::string& output) {
  output_->write_to(output);
  first_->text(token);
  first_->end_token();
}

void DecoderChain::finish(std::string& output) {
  output_->write_to(output);
  first_->finish();
}

}  // namespace caudal
