#include "tests/bench/caudal_bench/caudal_bench_stream.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <boost/json.hpp>

#include "tests/bench/caudal_bench/caudal_bench_json.h"

namespace caudal::bench {
namespace {

namespace json = boost::json;

const json::value* first_of(const json::value* list) {
  const json::array* array = list != nullptr ? list->if_array() : nullptr;
  return array != nullptr && !array->empty() ? &array->front() : nullptr;
}

std::string_view text_of(const json::value* value) {
  const json::string* text = value != nullptr ? value->if_string() : nullptr;
  return text != nullptr ? std::string_view(*text) : std::string_view();
}

}  // namespace

void EventParser::feed(std::string_view bytes, const std::function<void(std::string_view)>& on_event) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    if (line_.ends_with('\r')) line_.pop_back();
    take_line(line_, on_event);
    line_.clear();
  }
}

void EventParser::take_line(std::string_view line, const std::function<void(std::string_view)>& on_event) {
  constexpr std::string_view kField = "data:";
  if (line.empty()) {
    if (has_data_) on_event(data_);
    data_.clear();
    has_data_ = false;
  } else if (line.starts_with(kField)) {
    line.remove_prefix(kField.size());
    if (line.starts_with(' ')) line.remove_prefix(1);
    if (has_data_) data_ += '\n';
    data_ += line;
    has_data_ = true;
  }
}

void CompletionStream::feed(std::string_view bytes, double now_s) {
  events_.feed(bytes, [&](std::string_view data) { take(data, now_s); });
}

void CompletionStream::take(std::string_view data, double now_s) {
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  boost::system::error_code failed;
  const json::value chunk = json::parse(data, failed);
  if (failed) {
    record_.error = "an event is not JSON";
    return;
  }
  if (const json::value* error = member(chunk, "error")) {
    record_.error = fmt::format("server: {}", text_of(member(*error, "message")));
  }
  if (const json::value* choice = first_of(member(chunk, "choices"))) {
    record_.add_text(text_of(member(*choice, "text")), now_s);
  }
  const json::value* usage = member(chunk, "usage");
  const json::value* tokens = usage != nullptr ? member(*usage, "completion_tokens") : nullptr;
  if (tokens != nullptr && tokens->is_int64()) record_.num_output_tokens = tokens->get_int64();
}

void CompletionStream::end() {
  if (!done_ && record_.error.empty()) record_.error = "the stream ended early";
}

std::string completion_json(const CompletionBody& body, const std::vector<std::int32_t>& prompt) {
  return fmt::format(R"({{"model":{},"prompt":[{}],"max_tokens":{},"temperature":{},"ignore_eos":{},)"
                     R"("stream":true,"stream_options":{{"include_usage":true}}}})",
                     json::serialize(json::string(body.model)), fmt::join(prompt, ","), body.max_tokens,
                     body.temperature, body.ignore_eos);
}

}  // namespace caudal::bench
