#include "common/strong_id.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

using RowId = StrongId<struct RowTag>;
using ColumnId = StrongId<struct ColumnTag>;

// One kind of id is never taken for another, nor a computed number for an id.
static_assert(!std::convertible_to<RowId, ColumnId> && !std::convertible_to<RowId, std::int32_t>);
static_assert(!std::constructible_from<ColumnId, RowId>);
template <typename Id, typename Vector>
concept Indexes = requires(Vector& vector, Id id) { vector[id]; };
static_assert(Indexes<RowId, IndexedVector<RowId, int>>);
static_assert(!Indexes<ColumnId, IndexedVector<RowId, int>>);
static_assert(sizeof(RowId) == sizeof(std::int32_t) && std::is_trivially_copyable_v<RowId>);

TEST(StrongId, IsOrderedAndCounted) {
  const std::size_t computed = 7;
  const RowId seven = RowId::of(computed);
  EXPECT_EQ(seven, RowId(7));
  EXPECT_LT(RowId(-1), seven);
  EXPECT_EQ(seven.value(), 7);
  EXPECT_EQ(seven.index(), 7U);
  std::int32_t sum = 0;
  for (const RowId row : ids<RowId>(4)) sum = 10 * sum + row.value();
  EXPECT_EQ(sum, 123);
}

TEST(IndexedVector, KnowsItsIds) {
  IndexedVector<RowId, bool> rows(3);
  rows[2] = true;
  EXPECT_EQ(rows.size(), 3);
  EXPECT_TRUE(rows.contains(2) && !rows.contains(3) && !rows.contains(-1));
  EXPECT_THROW(rows.at(3), std::out_of_range);
  std::int32_t num_set = 0;
  for (const RowId row : rows.ids()) num_set += rows[row] ? 1 : 0;
  EXPECT_EQ(num_set, 1);
  EXPECT_EQ((IndexedVector<RowId, int>(2, 5)[1]), 5);
}

}  // namespace
}  // namespace caudal
