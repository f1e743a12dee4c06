#include "common/text/marks.h"

#include "common/text/unicode.h"

namespace caudal {

std::string find_mark(const std::function<bool(std::string_view)>& occurs) {
  for (char32_t candidate = 0xFDD0; candidate <= 0xFDEF; ++candidate) {
    std::string mark;
    append_utf8(mark, candidate);
    if (!occurs(mark)) return mark;
  }
  return "";
}

std::string put_marks(std::string_view text, std::span<const std::size_t> offsets, std::string_view mark) {
  std::string marked;
  marked.reserve(text.size() + offsets.size() * mark.size());
  std::size_t copied = 0;
  for (const std::size_t offset : offsets) {
    marked += text.substr(copied, offset - copied);
    marked += mark;
    copied = offset;
  }
  marked += text.substr(copied);
  return marked;
}

UnmarkedText take_marks(std::string_view marked, std::string_view mark) {
  UnmarkedText unmarked;
  unmarked.text.reserve(marked.size());
  std::size_t begin = 0;
  for (std::size_t at = marked.find(mark); at != std::string_view::npos; at = marked.find(mark, begin)) {
    unmarked.text += marked.substr(begin, at - begin);
    unmarked.offsets.push_back(unmarked.text.size());
    begin = at + mark.size();
  }
  unmarked.text += marked.substr(begin);
  return unmarked;
}

}  // namespace caudal
