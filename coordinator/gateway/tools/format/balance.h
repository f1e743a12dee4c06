// Finds where a bracketed value ends in text that arrives in pieces: JSON, or a literal of a language like Python.
// Linear; does not check anything else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

class Balance {
 public:
  // `quotes`: what opens and closes a string; '"' and '\'' know the backslash. `depth`: brackets open already.
  explicit Balance(std::vector<std::string> quotes, std::size_t depth = 0);

  enum class State : std::uint8_t { kOpen, kClosed, kBroken };
  // Goes on where it was in `text`, which has only grown. `last`: no more will come.
  State advance(std::string_view text, bool last = false);

  // Behind the closing bracket once it is kClosed, as an offset into the text.
  std::size_t end() const { return position_; }

 private:
  bool skip_string(std::string_view text, bool last);
  const std::string* quote_at(std::string_view text, bool& incomplete) const;

  static constexpr std::size_t kMaxDepth = 64;

  const std::vector<std::string> quotes_;
  std::size_t depth_;
  std::size_t position_ = 0;
  const std::string* inside_ = nullptr;  // the quote of the string that is open
};

}  // namespace caudal
