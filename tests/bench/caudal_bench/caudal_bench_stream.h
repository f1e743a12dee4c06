// A streamed completion as it comes off the wire: bytes to server-sent events, events to a Record.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "tests/bench/caudal_bench/caudal_bench_record.h"

namespace caudal::bench {

// Splits a byte stream into the data of its events (HTML Living Standard, section 9.2.6), wherever it is cut.
class EventParser {
 public:
  void feed(std::string_view bytes, const std::function<void(std::string_view data)>& on_event);

 private:
  void take_line(std::string_view line, const std::function<void(std::string_view data)>& on_event);

  std::string line_;  // the unfinished one
  std::string data_;  // of the unfinished event
  bool has_data_ = false;
};

// One completion of OpenAI's API with "stream" and "include_usage". What goes wrong stands in record.error.
class CompletionStream {
 public:
  explicit CompletionStream(Record& record) : record_(record) {}
  void feed(std::string_view bytes, double now_s);
  // The connection has nothing more: an answer without [DONE] is an error.
  void end();

 private:
  void take(std::string_view data, double now_s);

  Record& record_;
  EventParser events_;
  bool done_ = false;
};

// Body of POST /v1/completions for token ids.
struct CompletionBody {
  std::string model;
  std::int32_t max_tokens = 0;
  double temperature = 0.0;
  bool ignore_eos = true;
};
std::string completion_json(const CompletionBody& body, const std::vector<std::int32_t>& prompt);

}  // namespace caudal::bench
