// See decimal.h.
#include "common/grammar/schema/decimal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>

namespace caudal::grammar {
namespace {

using UnsignedWide = unsigned __int128;

constexpr std::int64_t kMaxExponent = 1'000'000'000;

}  // namespace

Decimal::Decimal(bool is_negative, std::string_view digits, std::int64_t exponent) {
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return;
  const std::size_t size = digits.find_last_not_of('0') + 1;
  is_negative_ = is_negative;
  exponent_ = exponent + static_cast<std::int64_t>(digits.size() - size);
  digits_ = digits.substr(0, size);
}

Decimal Decimal::parse(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  std::string digits;
  std::int64_t exponent = 0;
  bool has_point = false;
  std::size_t i = is_negative ? 1 : 0;
  for (; i < text.size() && text[i] != 'e' && text[i] != 'E'; ++i) {
    if (text[i] == '.') {
      has_point = true;
    } else {
      digits += text[i];
      exponent -= has_point ? 1 : 0;
    }
  }
  if (i < text.size()) {
    ++i;
    const bool is_below = text[i] == '-';
    if (text[i] == '-' || text[i] == '+') ++i;
    std::int64_t power = 0;
    for (; i < text.size(); ++i) power = std::min(power * 10 + (text[i] - '0'), kMaxExponent);
    exponent += is_below ? -power : power;
  }
  return {is_negative, digits, exponent};
}

Decimal Decimal::of(double value) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return parse({text.data(), static_cast<std::size_t>(end - text.data())});
}

bool Decimal::is_multiple_of(const Decimal& divisor) const {
  if (is_zero()) return true;
  // Neither ends with 0, so a number with more decimal places than the divisor is no multiple.
  if (exponent_ < divisor.exponent_ || divisor.digits_.size() > 19) return false;
  UnsignedWide modulus = 0;
  for (const char c : divisor.digits_) modulus = modulus * 10 + static_cast<unsigned>(c - '0');
  UnsignedWide rest = 0;
  for (const char c : digits_) rest = (rest * 10 + static_cast<unsigned>(c - '0')) % modulus;
  for (std::int64_t i = std::min<std::int64_t>(exponent_ - divisor.exponent_, 4096); i > 0 && rest != 0; --i)
    rest = rest * 10 % modulus;
  return rest == 0;
}

Decimal Decimal::negated() const {
  Decimal result = *this;
  result.is_negative_ = !is_negative_ && !is_zero();
  return result;
}

Decimal Decimal::times_power_of_ten(std::int64_t exponent) const {
  Decimal result = *this;
  if (!is_zero()) result.exponent_ += exponent;
  return result;
}

std::string Decimal::plain() const {
  if (is_zero()) return "0";
  std::string text = is_negative_ ? "-" : "";
  const std::int64_t before = magnitude();
  if (exponent_ >= 0) return text + digits_ + std::string(static_cast<std::size_t>(exponent_), '0');
  if (before <= 0) return text + "0." + std::string(static_cast<std::size_t>(-before), '0') + digits_;
  const auto point = static_cast<std::size_t>(before);
  return text + digits_.substr(0, point) + "." + digits_.substr(point);
}

std::string Decimal::scientific() const {
  return is_zero() ? "0" : (is_negative_ ? "-" : "") + digits_ + "e" + std::to_string(exponent_);
}

std::uint64_t Decimal::hash() const {
  const std::uint64_t sign = is_negative_ ? 0x9E3779B97F4A7C15ULL : 0;
  return std::hash<std::string>()(digits_) * 31 + static_cast<std::uint64_t>(exponent_) + sign;
}

std::strong_ordering Decimal::operator<=>(const Decimal& other) const {
  if (is_negative_ != other.is_negative_)
    return is_negative_ ? std::strong_ordering::less : std::strong_ordering::greater;
  if (is_zero() || other.is_zero()) {
    if (is_zero() && other.is_zero()) return std::strong_ordering::equal;
    const bool is_less = is_zero() ? !other.is_negative_ : is_negative_;
    return is_less ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  auto order = magnitude() <=> other.magnitude();
  if (order == 0) order = digits_.compare(other.digits_) <=> 0;  // a digit is missing only where a 0 would be
  return is_negative_ ? 0 <=> order : order;
}

}  // namespace caudal::grammar
