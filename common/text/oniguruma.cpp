// See oniguruma.h. One pass over the pattern; everything that needs no change is copied.
#include "common/text/oniguruma.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "common/text/oniguruma_sets.h"

namespace caudal {
namespace {

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  Result<std::string> run() {
    try {
      while (position_ < pattern_.size()) step();
    } catch (const UntranslatableSet& error) {
      return Error{
          fmt::format("unsupported in a regular expression: {} at byte {}", error.what, position_ + error.offset), ""};
    }
    return std::move(output_);
  }

 private:
  void step() {
    const char c = pattern_[position_];
    if (c == '\\') {
      escape();
    } else if (c == '[') {
      begin_atom();
      const ClassText text = translate_class(rest());
      replace(text.num_bytes, text.expression);
    } else if (c == '(') {
      open_groups_.push_back(output_.size());
      rest().starts_with("(?") ? group_options() : copy(1);
    } else if (c == ')') {
      close_group();
    } else if (c == '{') {
      interval();
    } else {
      if (std::string_view("*+?|^$").find(c) == std::string_view::npos) begin_atom();
      copy(1);
    }
  }

  std::string_view rest() const { return pattern_.substr(position_); }

  // What a quantifier that comes next repeats begins here.
  void begin_atom() { atom_begin_ = output_.size(); }

  void copy(std::size_t count) {
    output_ += rest().substr(0, count);
    position_ += std::min(count, pattern_.size() - position_);
  }

  void replace(std::size_t count, std::string_view text) {
    output_ += text;
    position_ += count;
  }

  void close_group() {
    if (!open_groups_.empty()) {
      atom_begin_ = open_groups_.back();
      open_groups_.pop_back();
    }
    copy(1);
  }

  void escape() {
    if (rest().size() == 1) throw UntranslatableSet{"a trailing backslash", 0};
    begin_atom();
    if (const std::optional<SetEscape> escape = read_set_escape(rest(), /*in_class=*/false)) {
      replace(escape->num_bytes, escape->set.as_class());
    } else if (rest()[1] == 'u') {
      replace(kCodeUnitBytes, code_unit(rest()));
    } else {
      copy(2);
    }
  }

  // (?imx-imx) and (?imx-imx:...): Oniguruma's m is PCRE2's s. The first kind is no group that closes.
  void group_options() {
    const std::size_t end = rest().find_first_not_of("imx-", 2);
    const bool is_options = end != std::string_view::npos && end > 2 && (rest()[end] == ')' || rest()[end] == ':');
    if (!is_options) return copy(2);
    std::string options(rest().substr(0, end));
    for (char& option : options) {
      if (option == 'm') option = 's';
    }
    replace(end, options);
  }

  // {n}, {n,}, {n,m} are the same in both; {,m} is not. A + behind one repeats the whole once more.
  void interval() {
    const std::size_t close = rest().find('}');
    const std::size_t odd = rest().find_first_not_of("0123456789,", 1);
    if (close == std::string_view::npos || odd != close || close == 1) {
      begin_atom();
      return replace(1, "\\{");
    }
    if (rest().starts_with("{,")) {
      output_ += "{0";
      ++position_;
    }
    copy(rest().find('}') + 1);
    if (!rest().starts_with('+')) return;
    output_.insert(atom_begin_, "(?:");
    replace(1, ")+");
  }

  std::string_view pattern_;
  std::size_t position_ = 0;
  std::string output_;
  std::size_t atom_begin_ = 0;            // in output_
  std::vector<std::size_t> open_groups_;  // where they begin in output_
};

}  // namespace

Result<std::string> translate_oniguruma(std::string_view pattern) { return Translator(pattern).run(); }

}  // namespace caudal
