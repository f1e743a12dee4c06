// What caudal-bench keeps of one request: when things happened, in seconds after the start of the run. All
// figures of the report come from these times.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace caudal::bench {

struct Record {
  std::int32_t num_prompt_tokens = 0;
  std::int64_t num_output_tokens = -1;  // as the server counted them; -1 while unknown
  double due_s = 0.0;                   // when the workload wanted it sent
  double start_s = 0.0;                 // when it was sent; later than due_s under --max-concurrency
  double end_s = 0.0;                   // last event of the stream
  std::vector<double> text_s;           // arrival of each piece of text; a piece may hold several tokens
  std::string text;
  std::string error;      // empty: it succeeded
  bool finished = false;  // succeeded or failed

  void add_text(std::string_view piece, double now_s) {
    end_s = now_s;
    if (piece.empty()) return;
    text_s.push_back(now_s);
    text += piece;
  }

  bool ok() const { return finished && error.empty(); }
  // A server that does not say how many tokens it made is taken to send one per piece.
  std::int64_t output_tokens() const {
    if (!ok()) return 0;
    return num_output_tokens >= 0 ? num_output_tokens : static_cast<std::int64_t>(text_s.size());
  }
  double latency_s() const { return end_s - start_s; }
  double ttft_s() const { return (text_s.empty() ? end_s : text_s.front()) - start_s; }
  // Time per output token, the first one left out; 0 for a single token.
  double tpot_s() const {
    const double rest = static_cast<double>(output_tokens() - 1);
    return rest > 0.0 ? (latency_s() - ttft_s()) / rest : 0.0;
  }
  // Between pieces of text.
  std::vector<double> itls_s() const {
    std::vector<double> gaps;
    for (std::size_t i = 1; i < text_s.size(); ++i) gaps.push_back(text_s[i] - text_s[i - 1]);
    return gaps;
  }
};

}  // namespace caudal::bench
