#include "coordinator/gateway/tools/format/balance.h"

#include <utility>

namespace caudal {

Balance::Balance(std::vector<std::string> quotes, std::size_t depth) : quotes_(std::move(quotes)), depth_(depth) {}

// The quote that begins here. `incomplete`: one may, once more has come.
const std::string* Balance::quote_at(std::string_view text, bool& incomplete) const {
  for (const std::string& quote : quotes_) {
    if (text.starts_with(quote)) return &quote;
    if (text.size() < quote.size() && quote.starts_with(text)) incomplete = true;
  }
  return nullptr;
}

// To behind the quote that closes the string; false when it is not there yet.
bool Balance::skip_string(std::string_view text, bool last) {
  const std::string& quote = *inside_;
  while (position_ < text.size()) {
    const std::string_view rest = text.substr(position_);
    if (quote.size() == 1 && rest.front() == '\\') {
      if (rest.size() < 2) return false;
      position_ += 2;
    } else if (rest.starts_with(quote)) {
      position_ += quote.size();
      inside_ = nullptr;
      return true;
    } else if (!last && rest.size() < quote.size() && quote.starts_with(rest)) {
      return false;
    } else {
      ++position_;
    }
  }
  return false;
}

Balance::State Balance::advance(std::string_view text, bool last) {
  while (position_ < text.size()) {
    if (inside_ != nullptr) {
      if (!skip_string(text, last)) return State::kOpen;
      continue;
    }
    bool incomplete = false;
    if (const std::string* quote = quote_at(text.substr(position_), incomplete)) {
      inside_ = quote;
      position_ += quote->size();
      continue;
    }
    if (incomplete && !last) return State::kOpen;
    const char c = text[position_++];
    if (c == '{' || c == '[' || c == '(') {
      if (++depth_ > kMaxDepth) return State::kBroken;
    } else if (c == '}' || c == ']' || c == ')') {
      if (depth_ == 0) return State::kBroken;
      if (--depth_ == 0) return State::kClosed;
    }
  }
  return State::kOpen;
}

}  // namespace caudal
