#include "coordinator/gateway/tools/format/atoms.h"

#include <algorithm>

namespace caudal {
namespace {

bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') || c == '_';
}

// Of a mark that begins here, also of one that a cut has left open; 0: there is none.
std::size_t mark_length(std::string_view text) {
  if (text.front() == '<') {
    const std::size_t end = text.find_first_of("<>\n", 1);
    if (end == std::string_view::npos) return text.size();
    return text[end] == '>' ? end + 1 : end;
  }
  if (text.front() != '[') return 0;
  std::size_t end = 1;
  while (end < text.size() && (is_word(text[end]) || text[end] == '/' || text[end] == ' ')) ++end;
  const bool closed = end > 2 && end < text.size() && text[end] == ']';
  const bool upper =
      closed && std::ranges::none_of(text.substr(1, end - 1), [](char c) { return c >= 'a' && c <= 'z'; });
  return upper ? end + 1 : 0;
}

template <typename Predicate>
std::size_t run(std::string_view text, const Predicate& predicate) {
  std::size_t end = 0;
  while (end < text.size() && predicate(text[end])) ++end;
  return end;
}

}  // namespace

std::vector<std::string_view> atoms_of(std::string_view text) {
  std::vector<std::string_view> atoms;
  while (!text.empty()) {
    std::size_t length = mark_length(text);
    if (length == 0) length = run(text, is_space);
    if (length == 0) length = run(text, is_word);
    if (length == 0) length = 1;
    atoms.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return atoms;
}

bool is_mark(std::string_view atom) { return atom.size() > 1 && (atom.front() == '<' || atom.front() == '['); }

std::string_view shared_prefix(std::string_view text, std::string_view other) {
  const auto ours = atoms_of(text), theirs = atoms_of(other);
  std::size_t length = 0;
  for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()) && ours[i] == theirs[i]; ++i)
    length += ours[i].size();
  return text.substr(0, length);
}

std::string_view shared_suffix(std::string_view text, std::string_view other) {
  const auto ours = atoms_of(text), theirs = atoms_of(other);
  std::size_t length = 0;
  for (std::size_t i = 1; i <= std::min(ours.size(), theirs.size()); ++i) {
    if (ours[ours.size() - i] != theirs[theirs.size() - i]) break;
    length += ours[ours.size() - i].size();
  }
  return text.substr(text.size() - length);
}

std::string_view trimmed_left(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kSpaces), text.size()));
}

std::string_view trimmed_right(std::string_view text) {
  const std::size_t last = text.find_last_not_of(kSpaces);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

std::string_view trimmed(std::string_view text) { return trimmed_left(trimmed_right(text)); }

}  // namespace caudal
