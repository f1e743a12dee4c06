#include "common/text/marks.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

TEST(Marks, ComeOutWhereTheyWentIn) {
  const std::string text = "a\u00e9b";
  const std::vector<std::size_t> offsets{0, 1, 3, 4};
  const std::string mark = find_mark([](std::string_view) { return false; });
  const std::string marked = put_marks(text, offsets, mark);
  EXPECT_EQ(marked, mark + "a" + mark + "\u00e9" + mark + "b" + mark);
  const UnmarkedText unmarked = take_marks(marked, mark);
  EXPECT_EQ(unmarked.text, text);
  EXPECT_EQ(unmarked.offsets, offsets);
}

TEST(Marks, AreOnesThatTheTextDoesNotHave) {
  int num_asked = 0;
  EXPECT_EQ(find_mark([&](std::string_view) { return ++num_asked <= 2; }), "\uFDD2");
  EXPECT_EQ(find_mark([](std::string_view) { return true; }), "");
}

}  // namespace
}  // namespace caudal
