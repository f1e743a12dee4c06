#include "coordinator/gateway/jinja/value/json.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cmath>

#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

class Writer {
 public:
  Writer(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void write(const Value& value);
  std::string take() { return std::move(out_); }

 private:
  void write_list(const Sequence& sequence);
  void write_dict(const Dict& dict);
  void write_string(const std::string& text);
  void write_escape(char32_t code_point);
  void new_line();
  std::string key_text(const Value& key) const;

  const JsonStyle& style_;
  Budget& budget_;
  std::string out_;
  int level_ = 0;
};

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return number_text(value);
}

void Writer::write(const Value& value) {
  budget_.step();
  budget_.output(out_.size());
  const Sequence* sequence = value.as_sequence();
  if (const std::string* text = value.text()) {
    write_string(*text);
  } else if (value.is_none()) {
    out_ += "null";
  } else if (value.is<bool>()) {
    out_ += truthy(value) ? "true" : "false";
  } else if (value.is<std::int64_t>()) {
    out_ += std::to_string(value.integer());
  } else if (value.is<double>()) {
    out_ += number(value.real());
  } else if (sequence && sequence->indexable() && sequence->kind != SequenceKind::kRange) {
    write_list(*sequence);
  } else if (const Dict* dict = value.as_dict()) {
    write_dict(*dict);
  } else {
    fail(std::string("tojson cannot write a value of type ") + type_name(value));
  }
}

void Writer::new_line() {
  if (!style_.indent) return;
  budget_.allocate(level_ * style_.indent->size() + 1);
  out_ += '\n';
  for (int i = 0; i < level_; ++i) out_ += *style_.indent;
}

void Writer::write_list(const Sequence& sequence) {
  out_ += '[';
  ++level_;
  for (std::size_t i = 0; i < sequence.items.size(); ++i) {
    if (i > 0) out_ += style_.item_separator;
    new_line();
    write(sequence.items[i]);
  }
  --level_;
  if (!sequence.items.empty()) new_line();
  out_ += ']';
}

std::string Writer::key_text(const Value& key) const {
  if (const std::string* text = key.text()) return *text;
  if (key.is_none()) return "null";
  if (key.is<bool>()) return truthy(key) ? "true" : "false";
  if (key.is<std::int64_t>()) return std::to_string(key.integer());
  if (key.is<double>()) return number(key.real());
  fail(std::string("tojson cannot write a key of type ") + type_name(key));
}

void Writer::write_dict(const Dict& dict) {
  auto entries = dict.entries;
  const auto by_key = [&](const auto& a, const auto& b) { return less(a.first, b.first, budget_); };
  if (style_.sort_keys) std::stable_sort(entries.begin(), entries.end(), by_key);
  out_ += '{';
  ++level_;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i > 0) out_ += style_.item_separator;
    new_line();
    write_string(key_text(entries[i].first));
    out_ += style_.key_separator;
    write(entries[i].second);
  }
  --level_;
  if (!entries.empty()) new_line();
  out_ += '}';
}

void Writer::write_escape(char32_t code_point) {
  const auto write_unit = [this](char32_t unit) {
    out_ += "\\u";
    append_hex(out_, unit, 4);
  };
  if (code_point <= 0xFFFF) return write_unit(code_point);
  const char32_t rest = code_point - 0x10000;
  write_unit(0xD800 + (rest >> 10U));
  write_unit(0xDC00 + (rest & 0x3FFU));
}

void Writer::write_string(const std::string& text) {
  static constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f";
  static constexpr std::string_view kLetters = "\"\\nrtbf";
  budget_.allocate(text.size());
  out_ += '"';
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    const std::size_t known = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (known != std::string_view::npos) {
      out_ += '\\';
      out_ += kLetters[known];
    } else if (c < 0x20 || (style_.ascii_only && c > 0x7F)) {
      write_escape(c);
    } else {
      out_.append(text, begin, at - begin);
    }
  }
  out_ += '"';
}

}  // namespace

Value from_json(const boost::json::value& json) {
  switch (json.kind()) {
    case boost::json::kind::null:
      return None{};
    case boost::json::kind::bool_:
      return json.get_bool();
    case boost::json::kind::int64:
      return json.get_int64();
    case boost::json::kind::double_:
      return json.get_double();
    case boost::json::kind::string:
      return std::string(json.get_string());
    case boost::json::kind::uint64:
      fail("an integer of the input needs more than 64 bits");
    case boost::json::kind::array: {
      std::vector<Value> items;
      items.reserve(json.get_array().size());
      for (const auto& item : json.get_array()) items.push_back(from_json(item));
      return Value::list(std::move(items));
    }
    case boost::json::kind::object:
      break;
  }
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(json.get_object().size());
  for (const auto& entry : json.get_object()) {
    entries.emplace_back(Value(std::string(entry.key())), from_json(entry.value()));
  }
  return Value::dict(std::move(entries));
}

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  Writer writer(style, budget);
  writer.write(value);
  return writer.take();
}

}  // namespace caudal::jinja
