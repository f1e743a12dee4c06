// Exact decimal numbers, as JSON writes them. Pure, any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace caudal::grammar {

class Decimal {
 public:
  Decimal() = default;                                                        // zero
  Decimal(bool is_negative, std::string_view digits, std::int64_t exponent);  // digits * 10^exponent

  // `text` is a whole JSON number.
  static Decimal parse(std::string_view text);
  static Decimal of(double value);  // the shortest text that reads as this value

  bool is_zero() const { return digits_.empty(); }
  bool is_negative() const { return is_negative_; }
  bool is_integer() const { return exponent_ >= 0 || is_zero(); }
  // `divisor` is above zero.
  bool is_multiple_of(const Decimal& divisor) const;
  Decimal negated() const;
  Decimal times_power_of_ten(std::int64_t exponent) const;
  // Without an exponent, as in "-120" and "0.05".
  std::string plain() const;
  // As in "-12e-7".
  std::string scientific() const;
  std::uint64_t hash() const;
  // How many digits stand before the decimal point; below 1 for numbers below 1.
  std::int64_t magnitude() const { return static_cast<std::int64_t>(digits_.size()) + exponent_; }
  const std::string& digits() const { return digits_; }
  std::int64_t exponent() const { return exponent_; }

  std::strong_ordering operator<=>(const Decimal& other) const;
  bool operator==(const Decimal& other) const = default;

 private:
  bool is_negative_ = false;
  std::string digits_;  // neither begins nor ends with 0; empty: zero
  std::int64_t exponent_ = 0;
};

}  // namespace caudal::grammar
