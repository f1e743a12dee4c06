// See raw_json.h.
#include "tests/common/grammar/check/raw_json.h"

#include <string>

namespace caudal {
namespace {

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  char peek() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void skip() { ++at_; }

  std::string_view value() {
    peek();
    const std::size_t begin = at_;
    int depth = 0;
    bool in_string = false;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (in_string) {
        if (c == '\\') ++at_;
        if (c == '"') in_string = false;
        if (c == '"' && depth == 0) return text_.substr(begin, ++at_ - begin);
        continue;
      }
      if (c == '"') {
        in_string = true;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else if (c == '}' || c == ']') {
        if (depth == 0) break;  // the end of what the value is in
        if (--depth == 0) return text_.substr(begin, ++at_ - begin);
      } else if (depth == 0 && (c == ',' || c == ':' || c == ' ' || c == '\n')) {
        break;
      }
    }
    return text_.substr(begin, at_ - begin);
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<std::pair<std::string_view, std::string_view>> raw_members(std::string_view text) {
  Scanner scanner(text);
  std::vector<std::pair<std::string_view, std::string_view>> members;
  if (scanner.peek() != '{') return members;
  for (scanner.skip(); scanner.peek() == '"';) {
    const std::string_view key = scanner.value();
    if (scanner.peek() != ':') break;
    scanner.skip();
    members.emplace_back(key, scanner.value());
    if (scanner.peek() == ',') scanner.skip();
  }
  return members;
}

std::vector<std::string_view> raw_items(std::string_view text) {
  Scanner scanner(text);
  std::vector<std::string_view> items;
  if (scanner.peek() != '[') return items;
  scanner.skip();
  while (scanner.peek() != ']' && scanner.peek() != '\0') {
    items.push_back(scanner.value());
    if (scanner.peek() == ',') scanner.skip();
  }
  return items;
}

std::string_view raw_member(std::string_view object, std::string_view key) {
  for (const auto& [name, value] : raw_members(object)) {
    if (name.substr(1, name.size() - 2) == key) return value;
  }
  return {};
}

std::string without_space(std::string_view text) {
  std::string result;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!in_string && std::string_view(" \t\r\n").find(text[i]) != std::string_view::npos) continue;
    result += text[i];
    if (in_string && text[i] == '\\') {
      result += text[++i];
    } else if (text[i] == '"') {
      in_string = !in_string;
    }
  }
  return result;
}

}  // namespace caudal
