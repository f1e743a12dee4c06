// What a schema asks of a number, and which texts can still become one that it allows. Pure, any thread.
#pragma once

#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "common/grammar/schema/decimal.h"

namespace caudal::grammar {

struct NumberRule {
  bool is_integer = false;
  bool allows_point = true;  // an integer may be written as 1.0
  std::optional<Decimal> min;
  std::optional<Decimal> max;
  bool excludes_min = false;
  bool excludes_max = false;
  std::vector<Decimal> multiples_of;
  std::optional<std::vector<Decimal>> among;
  // The bounds for quick answers; without finish() there are none.
  double min_value = std::numeric_limits<double>::quiet_NaN();
  double max_value = std::numeric_limits<double>::quiet_NaN();

  // The rule does not change any more.
  void finish();

  // Nothing but whether it is an integer is asked.
  bool is_plain() const { return !min && !max && multiples_of.empty() && !among; }
  // Both rules.
  void intersect(const NumberRule& other);

  // Of a whole JSON number.
  bool allows(std::string_view text) const;
  bool allows(const Decimal& value) const;
  // Of the beginning of one, "" excepted.
  bool can_become_allowed(std::string_view text) const;
  // Whatever number begins with this text is allowed, if it is an integer where one is asked.
  bool allows_all_that_begin(std::string_view text) const;

 private:
  bool is_certainly_allowed(std::string_view text) const;
  bool reaches_plain(std::string_view text) const;
  bool reaches_exponent(std::string_view text) const;
  bool reaches_among(std::string_view text) const;
  bool reaches_range(const Decimal& low, const Decimal& high, bool whole) const;
  bool is_below_max(const Decimal& value) const;
  bool is_above_min(const Decimal& value) const;
};

}  // namespace caudal::grammar
