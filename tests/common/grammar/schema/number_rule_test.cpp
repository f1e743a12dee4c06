// Numbers against all short texts.
#include "common/grammar/schema/number_rule.h"

#include <gtest/gtest.h>

#include <random>

namespace caudal::grammar {
namespace {

Decimal number(const char* text) { return Decimal::parse(text); }

TEST(Decimal, ReadsAndCompares) {
  EXPECT_EQ(number("1.50"), number("15e-1"));
  EXPECT_EQ(number("-0"), number("0.000"));
  EXPECT_LT(number("-1e3"), number("-999.5"));
  EXPECT_LT(number("0.099999"), number("0.1"));
  EXPECT_GT(number("123456789012345678901234567890"), number("123456789012345678901234567889"));
  EXPECT_EQ(number("-0.05").plain(), "-0.05");
  EXPECT_EQ(number("12e2").plain(), "1200");
  EXPECT_TRUE(number("1e3").is_integer());
  EXPECT_FALSE(number("1e-3").is_integer());
}

TEST(Decimal, ComparesLikeDoubles) {
  std::mt19937 random(1);
  for (int i = 0; i < 5000; ++i) {
    const double a =
        static_cast<double>(static_cast<int>(random() % 2001) - 1000) / static_cast<double>(1 << (random() % 6));
    const double b =
        static_cast<double>(static_cast<int>(random() % 2001) - 1000) / static_cast<double>(1 << (random() % 6));
    EXPECT_EQ(Decimal::of(a) < Decimal::of(b), a < b) << a << " " << b;
    EXPECT_EQ(Decimal::of(a) == Decimal::of(b), a == b) << a << " " << b;
  }
}

TEST(Decimal, KnowsItsMultiples) {
  EXPECT_TRUE(number("0.0075").is_multiple_of(number("0.0001")));
  EXPECT_FALSE(number("0.00751").is_multiple_of(number("0.0001")));
  EXPECT_TRUE(number("4.5").is_multiple_of(number("1.5")));
  EXPECT_TRUE(number("0").is_multiple_of(number("7")));
  EXPECT_FALSE(number("35").is_multiple_of(number("1.5")));
  EXPECT_TRUE(number("1e308").is_multiple_of(number("0.5")));
}

// What can become allowed is what some text of up to `length` more characters makes allowed: checked on all texts.
class NumberTexts {
 public:
  explicit NumberTexts(const NumberRule& rule) : rule_(rule) {}

  bool reaches(const std::string& text, int length) {
    if (is_number(text) && rule_.allows(text)) return true;
    if (length == 0) return false;
    for (const char c : std::string("0123456789.")) {
      if (is_prefix(text + c) && reaches(text + c, length - 1)) return true;
    }
    return false;
  }
  static bool is_prefix(const std::string& text) {
    std::string_view rest = text;
    if (rest.starts_with('-')) rest.remove_prefix(1);
    const auto point = rest.find('.');
    const std::string_view whole = rest.substr(0, point);
    if (whole.size() > 1 && whole.front() == '0') return false;
    return point == std::string_view::npos || (!whole.empty() && rest.find('.', point + 1) == std::string_view::npos);
  }
  static bool is_number(const std::string& text) {
    return is_prefix(text) && !text.empty() && text.back() != '.' && text.back() != '-';
  }

 private:
  const NumberRule& rule_;
};

TEST(NumberRule, AllowsWhatCanBeFinished) {
  std::mt19937 random(2);
  const auto below = [&](unsigned n) { return static_cast<int>(random() % n); };
  for (int i = 0; i < 100; ++i) {
    NumberRule rule;
    rule.is_integer = below(2) == 0;
    if (below(3) != 0) rule.min = Decimal::of(static_cast<double>(below(60) - 30) / 2);
    if (below(3) != 0) rule.max = Decimal::of(static_cast<double>(below(60) - 10) / 2);
    rule.excludes_min = below(2) == 0;
    rule.excludes_max = below(2) == 0;
    if (below(4) == 0) rule.multiples_of.push_back(number(below(2) == 0 ? "7" : "0.5"));
    NumberTexts texts(rule);
    for (const char* start : {"-", "1", "-1", "12", "0", "-0", "9", "3.", "2.5", "-4.", "29", "0.", "14.9"}) {
      const std::string text = start;
      // An exponent may help where digits do not, so that only one direction holds for those.
      const bool expected = texts.reaches(text, rule.multiples_of.empty() ? 3 : 4);
      if (expected) {
        EXPECT_TRUE(rule.can_become_allowed(text)) << text;
      }
      const bool is_scientific =
          text.size() == 1 || text[1] == '.' || (text[0] == '-' && (text.size() == 2 || text[2] == '.'));
      if (!expected && !is_scientific && text != "-") {
        EXPECT_FALSE(rule.can_become_allowed(text) && !texts.reaches(text, 4)) << text;
      }
    }
  }
}

TEST(NumberRule, KnowsExponents) {
  NumberRule rule;
  rule.min = number("0");
  rule.max = number("1");
  rule.excludes_min = true;
  EXPECT_TRUE(rule.can_become_allowed("5e-"));
  EXPECT_TRUE(rule.can_become_allowed("5e-07"));
  EXPECT_FALSE(rule.can_become_allowed("5e+"));
  EXPECT_TRUE(rule.allows("5e-07"));
  EXPECT_FALSE(rule.allows("5e1"));
  rule.is_integer = true;
  EXPECT_TRUE(rule.can_become_allowed("1"));
  EXPECT_FALSE(rule.can_become_allowed("2"));
  EXPECT_TRUE(rule.allows("10e-1"));
}

TEST(NumberRule, AmongListedNumbers) {
  NumberRule rule;
  rule.among = {{number("12"), number("-0.5"), number("1e2")}};
  for (const char* text : {"1", "12", "12.", "12.00", "-", "-0.5", "-0.50", "100", "1e", "1E2", "10", "1.2"})
    EXPECT_TRUE(rule.can_become_allowed(text)) << text;
  for (const char* text : {"2", "13", "12.01", "-0.4", "1e3", "101", "1000"})
    EXPECT_FALSE(rule.can_become_allowed(text)) << text;
}

}  // namespace
}  // namespace caudal::grammar
