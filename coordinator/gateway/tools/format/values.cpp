#include "coordinator/gateway/tools/format/values.h"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "common/json/strict_json.h"
#include "common/text/unicode.h"
#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/format/balance.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr int kMaxDepth = 48;

std::optional<json::value> parsed(std::string_view text) {
  boost::system::error_code failed;
  json::value value = json::parse(text, failed);
  if (failed) return std::nullopt;
  return value;
}

// Behind the JSON string or value that begins at `from`. The text is valid JSON.
std::size_t value_end(std::string_view text, std::size_t from) {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = from; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']' || c == ',') {
      if (depth == 0) return i;
      if (c != ',') --depth;
    } else if (c == ':' && depth == 0) {
      return i;
    }
  }
  return text.size();
}

// Reads literals from a text: a cursor and the JSON so far.
class LooseReader {
 public:
  LooseReader(std::string_view text, const LooseForm& form) : rest_(text), form_(form) {}

  // The members of one object up to `close`, or up to the end of the text where it is 0.
  bool members(char close, char key_close, int depth) {
    out_ += '{';
    for (bool first = true;; first = false) {
      skip_separators();
      if (ends(close)) break;
      if (!first) out_ += ',';
      if (!key(key_close) || !value(depth + 1)) return false;
    }
    out_ += '}';
    return true;
  }

  // The whole text.
  bool only_value() { return value(0) && trimmed(rest_).empty(); }

  std::string take() { return std::move(out_); }

 private:
  void skip_separators() {
    while (!rest_.empty() && std::string_view(" \t\r\n,").find(rest_.front()) != std::string_view::npos)
      rest_.remove_prefix(1);
  }

  bool ends(char close) {
    if (rest_.empty()) return close == 0;
    if (close == 0 || rest_.front() != close) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool key(char key_close) {
    std::optional<std::string> name = quoted();
    if (!name) {
      const std::size_t end = rest_.find_first_of(std::string(1, key_close) + ",()[]{}\"'");
      if (end == std::string_view::npos || rest_[end] != key_close) return false;
      name = std::string(trimmed(rest_.substr(0, end)));
      rest_.remove_prefix(end);
    }
    rest_ = trimmed_left(rest_);
    if (name->empty() || rest_.empty() || rest_.front() != key_close) return false;
    rest_.remove_prefix(1);
    append_json_string(out_, *name);
    out_ += ':';
    return true;
  }

  bool value(int depth) {
    if (depth > kMaxDepth) return false;
    rest_ = trimmed_left(rest_);
    if (rest_.empty()) return false;
    if (const std::optional<std::string> text = quoted()) {
      append_json_string(out_, *text);
      return true;
    }
    const char first = rest_.front();
    if (first == '{') {
      rest_.remove_prefix(1);
      return members('}', ':', depth);
    }
    if (first == '[' || first == '(') {
      rest_.remove_prefix(1);
      return items(first == '[' ? ']' : ')', depth);
    }
    return word();
  }

  bool items(char close, int depth) {
    out_ += '[';
    for (bool first = true;; first = false) {
      skip_separators();
      if (ends(close)) break;
      if (!first) out_ += ',';
      if (!value(depth + 1)) return false;
    }
    out_ += ']';
    return true;
  }

  bool word() {
    const std::size_t end = std::min(rest_.find_first_of(",()[]{}"), rest_.size());
    const std::string_view text = trimmed(rest_.substr(0, end));
    if (text.empty()) return false;
    rest_.remove_prefix(end);
    if (text == "True" || text == "true") {
      out_ += "true";
    } else if (text == "False" || text == "false") {
      out_ += "false";
    } else if (text == "None" || text == "null") {
      out_ += "null";
    } else if (is_json(text)) {
      out_ += text;
    } else {
      append_json_string(out_, text);
    }
    return true;
  }

  // A string, whichever quote it has.
  std::optional<std::string> quoted() {
    if (rest_.starts_with(form_.quote) && form_.quote.size() > 1) return marked();
    if (rest_.empty() || (rest_.front() != '"' && rest_.front() != '\'')) return std::nullopt;
    const char quote = rest_.front();
    std::string text;
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return text;
      }
      if (rest_[i] != '\\') {
        text += rest_[i];
      } else if (++i < rest_.size()) {
        escape(i, text);
      }
    }
    return std::nullopt;
  }

  std::optional<std::string> marked() {
    const std::size_t size = form_.quote.size();
    const std::size_t end = rest_.find(form_.quote, size);
    if (end == std::string_view::npos) return std::nullopt;
    std::string text(rest_.substr(size, end - size));
    rest_.remove_prefix(end + size);
    return text;
  }

  // `i`: of the character behind the backslash; afterwards of the last one that was read.
  void escape(std::size_t& i, std::string& text) {
    constexpr std::string_view kNames = "ntrbf", kMeant = "\n\t\r\b\f";
    const char c = rest_[i];
    if (const std::size_t known = kNames.find(c); known != std::string_view::npos) {
      text += kMeant[known];
    } else if (c == 'u' && i + 4 < rest_.size()) {
      const std::size_t pair = rest_.substr(i + 5, 2) == "\\u" ? 11 : 5;
      std::optional<json::value> read = parsed("\"\\" + std::string(rest_.substr(i, pair)) + "\"");
      const std::size_t taken = read ? pair : 5;
      if (!read) read = parsed("\"\\" + std::string(rest_.substr(i, 5)) + "\"");
      if (read && read->is_string()) {
        text += std::string_view(read->get_string());
        i += taken - 1;
      } else {
        text += "\\u";
      }
    } else {
      if (c != '\\' && c != '\'' && c != '"' && c != '/') text += '\\';
      text += c;
    }
  }

  std::string_view rest_;
  const LooseForm& form_;
  std::string out_;
};

}  // namespace

bool is_json(std::string_view text) { return parsed(text).has_value(); }

bool is_json_object(std::string_view text) {
  const std::optional<json::value> value = parsed(text);
  return value && value->is_object();
}

std::optional<std::string> json_string(std::string_view text) {
  const std::optional<json::value> value = parsed(text);
  if (!value || !value->is_string()) return std::nullopt;
  return std::string(std::string_view(value->get_string()));
}

std::optional<std::vector<std::pair<std::string, std::string_view>>> json_members(std::string_view object) {
  if (!is_json_object(object)) return std::nullopt;
  std::vector<std::pair<std::string, std::string_view>> members;
  const std::string_view text = trimmed(object);
  for (std::size_t at = 1; at + 1 < text.size();) {
    const std::size_t colon = value_end(text, at);
    if (colon >= text.size() || text[colon] != ':') break;
    const std::size_t end = value_end(text, colon + 1);
    members.emplace_back(json_string(trimmed(text.substr(at, colon - at))).value_or(""),
                         trimmed(text.substr(colon + 1, end - colon - 1)));
    at = end + 1;
  }
  return members;
}

std::optional<std::string> value_of_text(std::string_view text) {
  const std::string_view value = trimmed(text);
  if (is_json(value)) return std::string(value);
  constexpr std::array<std::string_view, 3> kNames{"True", "False", "None"};
  const bool brackets = value.size() > 1 && ((value.front() == '{' && value.back() == '}') ||
                                             (value.front() == '[' && value.back() == ']'));
  if (!brackets && std::ranges::find(kNames, value) == kNames.end()) return std::nullopt;
  const LooseForm python;
  LooseReader reader(value, python);
  if (!reader.only_value()) return std::nullopt;
  std::string read = reader.take();
  if (!is_json(read)) return std::nullopt;
  return read;
}

std::optional<std::string> loose_arguments(std::string_view text, const LooseForm& form) {
  LooseReader reader(text, form);
  if (!reader.members(0, form.key_close, 0)) return std::nullopt;
  std::string arguments = reader.take();
  if (!is_json_object(arguments)) return std::nullopt;
  return arguments;
}

}  // namespace caudal
