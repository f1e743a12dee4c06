// The report's arithmetic on three hand-made requests, and the stream that fills such records.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/bench/caudal_bench/caudal_bench_report.h"
#include "tests/bench/caudal_bench/caudal_bench_stream.h"

namespace caudal::bench {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Record request(double start_s, std::vector<double> text_s, std::int64_t num_tokens) {
  Record record;
  record.num_prompt_tokens = 10;
  record.due_s = record.start_s = start_s;
  record.end_s = text_s.back();
  record.text_s = std::move(text_s);
  record.num_output_tokens = num_tokens;
  record.finished = true;
  return record;
}

// A: a token per piece. B: seven tokens in two pieces, after waiting 0.5 s. C: failed. D: never finished.
std::vector<Record> hand_made() {
  std::vector<Record> records{request(0.0, {0.5, 0.6, 0.8}, 3), request(0.8, {1.0, 2.2}, 7), request(1.0, {1.1}, 1)};
  records[1].due_s = 0.3;
  records[2].error = "HTTP 429: full";
  records.push_back(request(1.0, {1.5}, 1));
  records[3].finished = false;
  return records;
}

TEST(Percentile, InterpolatesBetweenRanks) {
  const std::vector<double> values{1.0, 2.0, 3.0, 4.0};
  EXPECT_DOUBLE_EQ(percentile(values, 0.0), 1.0);
  EXPECT_DOUBLE_EQ(percentile(values, 50.0), 2.5);
  EXPECT_DOUBLE_EQ(percentile(values, 90.0), 3.7);
  EXPECT_DOUBLE_EQ(percentile(values, 100.0), 4.0);
  EXPECT_DOUBLE_EQ(percentile({}, 99.0), 0.0);
}

TEST(Report, CountsWhatCompleted) {
  const Report report = make_report(hand_made(), 4.0, {});
  EXPECT_EQ(report.completed, 2);
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(report.num_prompt_tokens, 20);
  EXPECT_EQ(report.num_output_tokens, 10);
  EXPECT_DOUBLE_EQ(report.per_s(report.num_output_tokens), 2.5);
  EXPECT_DOUBLE_EQ(report.peak_output_tokens_per_s, 3.5);  // second 1 and second 2: half of B's seven tokens
  EXPECT_EQ(report.peak_concurrent_requests, 1);           // B starts in the instant in which A ends
}

TEST(Report, MeasuresFromTheSending) {
  ReportOptions options;
  options.percentiles = {50.0, 90.0};
  const Report report = make_report(hand_made(), 4.0, options);
  const auto& [ttft, tpot, itl, e2el] = report.summaries;
  EXPECT_NEAR(ttft.mean_ms, (500.0 + 200.0) / 2, 1e-9);
  EXPECT_NEAR(ttft.std_ms, 150.0, 1e-9);
  EXPECT_THAT(ttft.percentiles_ms, ElementsAre(DoubleNear(350.0, 1e-9), DoubleNear(470.0, 1e-9)));
  EXPECT_NEAR(tpot.mean_ms, (300.0 / 2 + 1200.0 / 6) / 2, 1e-9);  // without the first token
  EXPECT_NEAR(itl.mean_ms, (100.0 + 200.0 + 1200.0) / 3, 1e-9);   // between pieces
  EXPECT_NEAR(itl.median_ms, 200.0, 1e-9);
  EXPECT_NEAR(e2el.mean_ms, (800.0 + 1400.0) / 2, 1e-9);
}

TEST(Report, GoodputNeedsEveryLimit) {
  ReportOptions options;
  options.goodput = {parse_limit("ttft:600").value(), parse_limit("e2el:1000").value()};
  EXPECT_EQ(make_report(hand_made(), 4.0, options).num_good, 1);
  options.goodput.push_back(parse_limit("tpot:149.5").value());
  EXPECT_EQ(make_report(hand_made(), 4.0, options).num_good, 0);
  for (const char* bad : {"", "ttft", "ttft:", "ttft:1x", "itl:5", "latency:5"}) EXPECT_FALSE(parse_limit(bad)) << bad;
}

TEST(Report, PrintsTheKnownBlock) {
  ReportOptions options;
  options.metrics = {Metric::kTtft, Metric::kTpot};
  options.percentiles = {99.0, 99.9};
  options.request_rate = 2.5;
  options.max_concurrency = 8;
  const std::string text = report_text(make_report(hand_made(), 4.0, options), options);
  EXPECT_THAT(text, HasSubstr("============ Serving Benchmark Result ============\n"
                              "Successful requests:                     2         \n"
                              "Failed requests:                         1         \n"
                              "Maximum request concurrency:             8         \n"
                              "Request rate configured (RPS):           2.50      \n"
                              "Benchmark duration (s):                  4.00      \n"));
  EXPECT_THAT(text, HasSubstr("---------------Time to First Token----------------\n"
                              "Mean TTFT (ms):                          350.00    \n"
                              "Median TTFT (ms):                        350.00    \n"
                              "P99 TTFT (ms):                           497.00    \n"
                              "P99.9 TTFT (ms):                         499.70    \n"
                              "-----Time per Output Token (excl. 1st token)------\n"));
  EXPECT_TRUE(text.ends_with(std::string(50, '=') + "\n"));
}

TEST(Report, WritesTheKnownKeys) {
  const std::vector<Record> records = hand_made();
  const ReportOptions options;
  const auto out = boost::json::parse(report_json(make_report(records, 4.0, options), records, options)).as_object();
  for (const char* key : {"duration",
                          "completed",
                          "failed",
                          "total_input_tokens",
                          "total_output_tokens",
                          "request_throughput",
                          "request_goodput",
                          "output_throughput",
                          "total_token_throughput",
                          "max_output_tokens_per_s",
                          "max_concurrent_requests",
                          "input_lens",
                          "output_lens",
                          "ttfts",
                          "itls",
                          "latencies",
                          "start_times",
                          "queue_times",
                          "generated_texts",
                          "errors"}) {
    EXPECT_TRUE(out.contains(key)) << key;
  }
  for (const std::string metric : {"ttft", "tpot", "itl", "e2el"}) {
    for (const std::string figure : {"mean", "median", "std", "p99"}) {
      EXPECT_TRUE(out.contains(figure + "_" + metric + "_ms")) << figure << metric;
    }
  }
  EXPECT_EQ(out.at("output_lens"), boost::json::value({3, 7, 0}));
  EXPECT_NEAR(out.at("queue_times").at(1).as_double(), 0.5, 1e-12);
  EXPECT_EQ(out.at("errors").at(2), "HTTP 429: full");
  EXPECT_EQ(out.at("request_rate"), "inf");
}

constexpr std::string_view kStream =
    "data: {\"choices\":[{\"index\":0,\"text\":\"ab\",\"finish_reason\":null}]}\n\n"
    ": a comment\r\n"
    "data: {\"choices\":[{\"index\":0,\"text\":\" \xc3\xa9\"}]}\r\n\r\n"
    "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":5}}\n\n"
    "data: [DONE]\n\n";

TEST(CompletionStream, ReadsTheSameWhereverItIsCut) {
  for (std::size_t cut = 1; cut <= kStream.size(); ++cut) {
    Record record;
    CompletionStream stream(record);
    for (std::size_t at = 0; at < kStream.size(); at += cut) {
      stream.feed(kStream.substr(at, cut), static_cast<double>(std::min(at + cut, kStream.size())));
    }
    stream.end();
    EXPECT_EQ(record.error, "");
    EXPECT_EQ(record.text, "ab \xc3\xa9");
    EXPECT_EQ(record.num_output_tokens, 5);
    ASSERT_EQ(record.text_s.size(), 2U) << "the event without text is no token";
    EXPECT_GE(record.end_s, record.text_s.back());
  }
}

TEST(CompletionStream, SaysWhatWentWrong) {
  const auto error_of = [](std::string_view bytes) {
    Record record;
    CompletionStream stream(record);
    stream.feed(bytes, 1.0);
    stream.end();
    return record.error;
  };
  EXPECT_EQ(error_of(kStream.substr(0, kStream.size() - 3)), "the stream ended early");
  EXPECT_EQ(error_of("data: {\"error\":{\"message\":\"gone\"}}\n\ndata: [DONE]\n\n"), "server: gone");
  EXPECT_EQ(error_of("data: {\n\n"), "an event is not JSON");
}

TEST(CompletionJson, EscapesTheModel) {
  const auto body = boost::json::parse(completion_json({"a\"b", 7, 0.5, false}, {1, 2})).as_object();
  EXPECT_EQ(body.at("model"), "a\"b");
  EXPECT_EQ(body.at("prompt"), boost::json::value({1, 2}));
  EXPECT_EQ(body.at("max_tokens"), 7);
  EXPECT_EQ(body.at("ignore_eos"), false);
  EXPECT_EQ(body.at("stream_options").at("include_usage"), true);
}

}  // namespace
}  // namespace caudal::bench
