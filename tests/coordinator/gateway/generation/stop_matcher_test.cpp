// Stop strings: against a plain search over whole texts, however the text is cut.
#include "coordinator/gateway/generation/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace caudal {
namespace {

// The earliest end; of those the longest stop string.
std::string expected(const std::string& text, const std::vector<std::string>& stops, bool include) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    std::size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) return text.substr(0, include ? end : end - longest);
  }
  return text;
}

StopMatcher matcher_of(std::vector<std::string> stops, bool include) {
  return {std::make_shared<const StopStrings>(std::move(stops)), include};
}

TEST(StopMatcher, EqualsPlainSearchForEveryCut) {
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    const auto draw = [&](std::size_t max) {
      std::string text(random() % max, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 2);
      return text;
    };
    std::vector<std::string> stops;
    for (std::size_t i = 0; i <= random() % 6; ++i) stops.push_back(draw(6) + "a");
    const std::string text = draw(24);
    const bool include = random() % 2 == 0;
    StopMatcher matcher = matcher_of(stops, include);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = 1 + random() % 4;
      matcher.push(std::string_view(text).substr(at, size), out);
      ASSERT_TRUE(expected(text, stops, include).starts_with(out));
      at += size;
    }
    if (matcher.matched() == nullptr) matcher.finish(out);
    ASSERT_EQ(out, expected(text, stops, include)) << text;
  }
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher = matcher_of({"\n\nUser:"}, false);
  std::string out;
  matcher.push("Hi.\n", out);
  EXPECT_EQ(out, "Hi.");
  matcher.push("There", out);
  EXPECT_EQ(out, "Hi.\nThere");
}

TEST(StopMatcher, AMegabyteOfAlmostStopsIsLinear) {
  StopMatcher matcher = matcher_of({std::string(1023, 'a') + "b"}, false);
  std::string out;
  matcher.push(std::string(1 << 20, 'a'), out);
  EXPECT_EQ(out.size(), (1U << 20) - 1023);
}

// Strings that are parts of one another in every way, and many of them.
TEST(StopMatcher, ManyStopStringsCostNoMoreThanOne) {
  std::vector<std::string> stops;
  for (int i = 0; i < 1024; ++i)
    stops.push_back(std::string(static_cast<std::size_t>(i % 512) + 1, 'a') + (i < 512 ? "b" : "c"));
  StopMatcher matcher = matcher_of(stops, false);
  const std::string text = std::string(1 << 20, 'a') + "d" + std::string(600, 'a') + "c";
  std::string out;
  matcher.push(text, out);
  EXPECT_EQ(out.size(), text.size() - 513);
  ASSERT_NE(matcher.matched(), nullptr);
  EXPECT_EQ(*matcher.matched(), std::string(512, 'a') + "c") << "the longest";
}

}  // namespace
}  // namespace caudal
