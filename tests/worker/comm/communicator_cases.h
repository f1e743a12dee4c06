// The same checks for every communicator: call check_all() on all ranks of a group at once. Returns what is
// wrong, empty when nothing is.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "kernels/comm/communicator.h"
#include "kernels/half_float.h"

namespace caudal {

// Rank r's element i; sizes differ so much that another order of adding gives another result.
inline float contribution(int r, std::size_t i) {
  constexpr float kScales[] = {1.0F, 1e8F, -1e8F, 1e-3F, 3.0F, 1e4F, -1e4F, 0.1F};
  return kScales[(static_cast<std::size_t>(r) + i) % 8] * (1.0F + static_cast<float>(i % 97) / 97.0F);
}

// The same bits; any NaN for a NaN, of which devices have different ones.
inline bool same_values(DType dtype, const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
  if (a == b) return true;
  const std::size_t n = a.size() / dtype_bytes(dtype);
  std::vector<float> x(n), y(n);
  widen(dtype, a.data(), n, x.data());
  widen(dtype, b.data(), n, y.data());
  for (std::size_t i = 0; i < n; ++i)
    if (std::memcmp(&x[i], &y[i], sizeof(float)) != 0 && !(std::isnan(x[i]) && std::isnan(y[i]))) return false;
  return true;
}

inline std::string check_all_reduce(Communicator& group, DType dtype, std::size_t n) {
  std::vector<std::byte> data(n * dtype_bytes(dtype));
  std::vector<float> expected(n, 0.0F);
  std::vector<float> mine(n), part(n);
  for (int r = 0; r < group.size(); ++r) {
    for (std::size_t i = 0; i < n; ++i) part[i] = contribution(r, i);
    narrow(dtype, part.data(), n, data.data());
    widen(dtype, data.data(), n, part.data());
    if (r == group.rank()) mine = part;
    for (std::size_t i = 0; i < n; ++i) expected[i] = r == 0 ? part[i] : expected[i] + part[i];
  }
  narrow(dtype, mine.data(), n, data.data());
  group.all_reduce(Tensor(data.data(), dtype, {static_cast<std::int64_t>(n)}));
  std::vector<std::byte> wanted(data.size());
  narrow(dtype, expected.data(), n, wanted.data());
  return same_values(dtype, data, wanted) ? "" : fmt::format("all_reduce of {} {} differs\n", n, dtype_name(dtype));
}

inline std::string check_gather(Communicator& group, std::int64_t rows, std::int64_t columns) {
  std::vector<std::int32_t> mine, all(static_cast<std::size_t>(rows * columns * group.size()), -1);
  for (std::int64_t y = 0; y < rows; ++y)
    for (std::int64_t x = 0; x < columns; ++x)
      mine.push_back(static_cast<std::int32_t>(group.rank() * 10000 + y * 100 + x));
  group.all_gather_columns(Tensor(mine.data(), DType::kI32, {rows, columns}),
                           Tensor(all.data(), DType::kI32, {rows, columns * group.size()}));
  std::size_t i = 0;
  for (std::int64_t y = 0; y < rows; ++y)
    for (int r = 0; r < group.size(); ++r)
      for (std::int64_t x = 0; x < columns; ++x)
        if (all[i++] != r * 10000 + y * 100 + x) return fmt::format("gather of [{}, {}] differs\n", rows, columns);
  return "";
}

inline std::string check_broadcast(Communicator& group, int root) {
  std::vector<std::int32_t> numbers(33, group.rank());
  group.broadcast(Tensor(numbers.data(), DType::kI32, {33}), root);
  return numbers == std::vector<std::int32_t>(33, root) ? "" : "broadcast differs\n";
}

// Rounds of different length, the first ranks slower than the last.
inline std::string check_host(Communicator& group) {
  std::string wrong;
  for (std::int32_t round = 1; round <= 30; ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(50 * (group.size() - group.rank())));
    std::vector<std::int32_t> mine(static_cast<std::size_t>(round), 100 * round + group.rank()), wanted;
    for (std::int32_t r = 0; r < group.size(); ++r) wanted.insert(wanted.end(), mine.size(), 100 * round + r);
    const Result<std::span<const std::int32_t>> all = group.host().gather(mine);
    if (!all || !std::ranges::equal(all.value(), wanted)) wrong += fmt::format("gather of {} numbers differs\n", round);
    const std::int32_t root = round % group.size();
    if (!group.host().broadcast(mine, root).ok() || mine.back() != 100 * round + root)
      wrong += fmt::format("broadcast of {} numbers differs\n", round);
  }
  return wrong;
}

inline std::string check_all(Communicator& group) {
  std::string wrong;
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
    for (std::size_t n : {std::size_t{1}, std::size_t{3}, std::size_t{896}, std::size_t{16384}, std::size_t{100'001}})
      wrong += check_all_reduce(group, dtype, n);
  wrong += check_gather(group, 1, 1) + check_gather(group, 5, 3) + check_gather(group, 64, 99);
  for (int root = 0; root < group.size(); ++root) wrong += check_broadcast(group, root);
  return wrong;
}

}  // namespace caudal
