// Everything is said of texts without a sign: for a negative number the rule is mirrored at zero.
#include "common/grammar/schema/number_rule.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace caudal::grammar {
namespace {

using Wide = __int128;

constexpr std::int64_t kMaxExponentDigits = 3;
constexpr std::int64_t kMaxPower = 289;
constexpr std::size_t kMaxWideDigits = 36;

// value * 10^scale, which is an integer, if it is small enough.
std::optional<Wide> scaled(const Decimal& value, std::int64_t scale) {
  const std::int64_t zeros = value.exponent() + scale;
  if (static_cast<std::int64_t>(value.digits().size()) + zeros > static_cast<std::int64_t>(kMaxWideDigits))
    return std::nullopt;
  Wide result = 0;
  for (const char c : value.digits()) result = result * 10 + (c - '0');
  for (std::int64_t i = 0; i < zeros && result != 0; ++i) result *= 10;
  return value.is_negative() ? -result : result;
}

NumberRule mirrored(const NumberRule& rule) {
  NumberRule result = rule;
  result.min_value = result.max_value = std::numeric_limits<double>::quiet_NaN();
  std::swap(result.min, result.max);
  std::swap(result.excludes_min, result.excludes_max);
  if (result.min) result.min = result.min->negated();
  if (result.max) result.max = result.max->negated();
  if (result.among) {
    for (Decimal& value : *result.among) value = value.negated();
  }
  return result;
}

bool has_exponent(std::string_view text) { return text.find_first_of("eE") != std::string_view::npos; }
bool has_point(std::string_view text) { return text.find('.') != std::string_view::npos; }

// One digit other than 0 before the point, as in 1.5e-7.
bool is_scientific(std::string_view text) {
  return !text.empty() && text[0] >= '1' && text[0] <= '9' && (text.size() == 1 || text[1] == '.');
}

// The number after this one.
std::string next_number(std::string digits) {
  std::size_t i = digits.size();
  while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
  if (i == 0) return "1" + digits;
  ++digits[i - 1];
  return digits;
}

struct PowerRange {
  std::int64_t first;
  std::int64_t last;
};

// The exponents that the end of `text`, from 'e' on, can become.
std::vector<PowerRange> powers_of(std::string_view exponent) {
  exponent.remove_prefix(1);
  const bool is_negative = exponent.starts_with('-');
  const bool has_sign = is_negative || exponent.starts_with('+');
  if (has_sign) exponent.remove_prefix(1);
  if (exponent.empty()) return {{has_sign && !is_negative ? 0 : -kMaxPower, is_negative ? 0 : kMaxPower}};
  std::int64_t value = 0;
  for (const char c : exponent) value = std::min<std::int64_t>(value * 10 + (c - '0'), 1'000'000);
  std::vector<PowerRange> ranges;
  std::int64_t width = 1;
  for (auto digits = static_cast<std::int64_t>(exponent.size());
       digits == static_cast<std::int64_t>(exponent.size()) || digits <= kMaxExponentDigits; ++digits) {
    const PowerRange range{value * width, value * width + width - 1};
    if (range.first > kMaxPower) break;
    ranges.push_back(is_negative ? PowerRange{-range.last, -range.first} : range);
    width *= 10;
  }
  return ranges;
}

}  // namespace

void NumberRule::intersect(const NumberRule& other) {
  is_integer = is_integer || other.is_integer;
  allows_point = allows_point && other.allows_point;
  if (other.min && (!min || *other.min > *min || (*other.min == *min && other.excludes_min))) {
    min = other.min;
    excludes_min = other.excludes_min;
  }
  if (other.max && (!max || *other.max < *max || (*other.max == *max && other.excludes_max))) {
    max = other.max;
    excludes_max = other.excludes_max;
  }
  multiples_of.insert(multiples_of.end(), other.multiples_of.begin(), other.multiples_of.end());
  if (!other.among) return;
  if (!among) {
    among = other.among;
  } else {
    std::erase_if(*among,
                  [&](const Decimal& value) { return std::ranges::find(*other.among, value) == other.among->end(); });
  }
}

bool NumberRule::is_below_max(const Decimal& value) const {
  return !max || value < *max || (value == *max && !excludes_max);
}

bool NumberRule::is_above_min(const Decimal& value) const {
  return !min || value > *min || (value == *min && !excludes_min);
}

bool NumberRule::allows(const Decimal& value) const {
  if (is_integer && !value.is_integer()) return false;
  if (!is_below_max(value) || !is_above_min(value)) return false;
  if (among && std::ranges::find(*among, value) == among->end()) return false;
  return std::ranges::all_of(multiples_of, [&](const Decimal& divisor) { return value.is_multiple_of(divisor); });
}

bool NumberRule::allows(std::string_view text) const {
  if (is_integer && !allows_point && (has_point(text) || has_exponent(text))) return false;
  return allows(Decimal::parse(text));
}

void NumberRule::finish() {
  if (min) min_value = std::strtod(min->scientific().c_str(), nullptr);
  if (max) max_value = std::strtod(max->scientific().c_str(), nullptr);
}

// A quick answer for the usual number that is far from the bounds: whether it is allowed as it is.
bool NumberRule::is_certainly_allowed(std::string_view text) const {
  constexpr std::size_t kMaxExactDigits = 15;
  if (among || text.size() > kMaxExactDigits || multiples_of.size() > 1) return false;
  const bool is_negative = text.front() == '-';
  std::int64_t digits = 0;
  std::int64_t places = 0;
  bool has_point = false;
  for (const char c : text.substr(is_negative ? 1 : 0)) {
    if (c >= '0' && c <= '9') {
      digits = digits * 10 + (c - '0');
      places += has_point ? 1 : 0;
    } else if (c == '.' && !has_point) {
      has_point = true;
    } else {
      return false;
    }
  }
  if (text.back() < '0' || (has_point && is_integer)) return false;
  if (!multiples_of.empty() && (multiples_of[0].digits() != "1" || -multiples_of[0].exponent() < places)) return false;
  if (!multiples_of.empty() && multiples_of[0].exponent() > 0) return false;
  static constexpr double kPowers[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const double value = (is_negative ? -1.0 : 1.0) * static_cast<double>(digits) / kPowers[places];
  const auto margin = [](double bound) { return 1e-9 * std::max(1.0, std::abs(bound)); };
  return (!min || value > min_value + margin(min_value)) && (!max || value < max_value - margin(max_value));
}

bool NumberRule::can_become_allowed(std::string_view text) const {
  if (is_certainly_allowed(text)) return true;
  if (text.starts_with('-')) {
    const NumberRule other = mirrored(*this);
    if (text.size() > 1) return other.can_become_allowed(text.substr(1));
    for (const char* digit : {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}) {
      if (other.can_become_allowed(digit)) return true;
    }
    return false;
  }
  if (is_integer && !allows_point && (has_point(text) || has_exponent(text))) return false;
  if (among) return reaches_among(text);
  if (has_exponent(text)) return reaches_exponent(text);
  if (reaches_plain(text)) return true;
  return is_scientific(text) && allows_point && reaches_exponent(std::string(text) + "e");
}

bool NumberRule::reaches_among(std::string_view text) const {
  const Decimal mantissa = Decimal::parse(text.substr(0, text.find_first_of("eE")));
  return std::ranges::any_of(*among, [&](const Decimal& value) {
    if (value.is_negative() || !is_below_max(value) || !is_above_min(value)) return false;
    if (has_exponent(text)) {
      const std::int64_t power = value.magnitude() - mantissa.magnitude();
      if (mantissa.digits() != value.digits()) return false;
      return std::ranges::any_of(powers_of(text.substr(text.find_first_of("eE"))),
                                 [&](const PowerRange& range) { return range.first <= power && power <= range.last; });
    }
    const std::string plain = value.plain();
    if (plain.starts_with(text)) return true;
    if (is_scientific(text) && value.digits().starts_with(mantissa.digits()) &&
        text.size() <= value.digits().size() + 1) {
      return true;
    }
    if (!text.starts_with(plain)) return false;
    std::string_view rest = text.substr(plain.size());  // zeros behind the point
    if (!has_point(plain)) {
      if (!rest.starts_with('.')) return false;
      rest.remove_prefix(1);
    }
    return rest.find_first_not_of('0') == std::string_view::npos;
  });
}

bool NumberRule::reaches_exponent(std::string_view text) const {
  const std::size_t e = text.find_first_of("eE");
  const Decimal mantissa = Decimal::parse(text.substr(0, e));
  if (mantissa.is_zero()) return allows(mantissa);
  std::int64_t highest = std::numeric_limits<std::int32_t>::max();
  if (max) {
    if (max->is_zero() || max->is_negative()) return false;
    highest = max->magnitude() - mantissa.magnitude();
    if (!is_below_max(mantissa.times_power_of_ten(highest))) --highest;
  }
  // What holds for an exponent but for the maximum holds for the next one, too.
  return std::ranges::any_of(powers_of(text.substr(e)), [&](const PowerRange& range) {
    const std::int64_t power = std::min(range.last, highest);
    return power >= range.first && allows(mantissa.times_power_of_ten(power));
  });
}

// Whether [low, high) holds an allowed value; `whole`: one without decimal places.
bool NumberRule::reaches_range(const Decimal& low, const Decimal& high, bool whole) const {
  const Decimal& from = min && *min > low ? *min : low;
  const bool excludes_from = min && *min >= low && excludes_min;
  const bool ends_at_max = max && *max < high;
  const Decimal& to = ends_at_max ? *max : high;
  const bool excludes_to = !ends_at_max || excludes_max;
  if (from > to || (from == to && (excludes_from || excludes_to))) return false;
  std::optional<Decimal> unit;
  if (!multiples_of.empty()) unit = multiples_of.front();
  if (whole && (!unit || !unit->is_integer())) unit = Decimal(false, "1", 0);
  if (!unit) return true;
  const std::int64_t scale = std::max<std::int64_t>({0, -from.exponent(), -to.exponent(), -unit->exponent()});
  const auto first = scaled(from, scale);
  const auto last = scaled(to, scale);
  const auto step = scaled(*unit, scale);
  if (!first || !last || !step) return true;
  Wide multiple = *first / *step * *step;  // `first` may be below zero only where low is
  if (multiple < *first || (multiple == *first && excludes_from)) multiple += *step;
  return multiple < *last || (multiple == *last && !excludes_to);
}

bool NumberRule::reaches_plain(std::string_view text) const {
  const Decimal value = Decimal::parse(text.ends_with('.') ? text.substr(0, text.size() - 1) : text);
  if (const std::size_t point = text.find('.'); point != std::string_view::npos) {
    const auto places = static_cast<std::int64_t>(text.size() - point - 1);
    if (is_integer) return value.is_integer() && allows(value);
    const std::string digits = std::string(text.substr(0, point)) + std::string(text.substr(point + 1));
    return reaches_range(value, Decimal(false, next_number(digits), -places), false);
  }
  if (value.is_zero()) return is_integer ? allows(value) : reaches_range(value, Decimal(false, "1", 0), false);
  if (!max) return true;  // with enough digits
  const std::string next = next_number(std::string(text));
  for (std::int64_t zeros = 0; is_below_max(value.times_power_of_ten(zeros)); ++zeros) {
    if (reaches_range(value.times_power_of_ten(zeros), Decimal(false, next, zeros), is_integer)) return true;
  }
  return false;
}

bool NumberRule::allows_all_that_begin(std::string_view text) const {
  if (max || !multiples_of.empty() || among) return false;
  if (!min) return true;
  if (text.starts_with('-') || has_exponent(text)) return false;
  if (min->is_negative()) return true;
  const bool is_positive = text.find_first_of("123456789") != std::string_view::npos;
  return min->is_zero() && (!excludes_min || is_positive);
}

}  // namespace caudal::grammar
