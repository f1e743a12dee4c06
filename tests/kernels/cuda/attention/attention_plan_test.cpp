// Plans of random batches: every row meets each of its keys exactly once, partial results lie apart and are
// all merged, decode workers get equal shares, everything stays within what was announced at start.
#include "kernels/cuda/attention/attention_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>

namespace caudal::cuda {
namespace {

constexpr AttentionDevice kH200{132, 90, 228 << 10};
constexpr AttentionDevice kL40S{142, 89, 100 << 10};

struct Batch {
  std::vector<std::int32_t> query_start = {0}, context;
  void add(std::int32_t queries, std::int32_t length) {
    query_start.push_back(query_start.back() + queries);
    context.push_back(length);
  }
};

// What the kernels read out of the words.
struct Parsed {
  AttentionPlanHeader header;
  std::vector<std::int32_t> worker_start;
  std::vector<AttentionPiece> decode, prefill;
  std::vector<AttentionMerge> merges;

  Parsed(const AttentionGeometry& geometry, const std::vector<std::int32_t>& words) {
    std::memcpy(static_cast<void*>(&header), words.data(), sizeof header);
    worker_start.assign(words.begin() + 4, words.begin() + 5 + geometry.decode_workers);
    const std::int32_t first = decode_piece_offset(geometry.decode_workers);
    decode = read<AttentionPiece>(words, first, worker_start.back());
    prefill = read<AttentionPiece>(words, header.prefill_offset, header.num_prefill);
    merges = read<AttentionMerge>(words, header.merge_offset, header.num_merges);
    EXPECT_EQ(words.size(), static_cast<std::size_t>((header.merge_offset + header.num_merges) * kPlanUnit));
  }
  template <typename T>
  static std::vector<T> read(const std::vector<std::int32_t>& words, std::int32_t offset, std::int32_t count) {
    std::vector<T> values(static_cast<std::size_t>(count));
    if (count > 0)
      std::memcpy(static_cast<void*>(values.data()), words.data() + offset * kPlanUnit, values.size() * sizeof(T));
    return values;
  }
  std::vector<AttentionPiece> all() const {
    std::vector<AttentionPiece> pieces = decode;
    pieces.insert(pieces.end(), prefill.begin(), prefill.end());
    return pieces;
  }
};

// Pieces of the same rows, in order of their keys, cover [first key seen, last position] without gap or
// overlap.
void expect_exact_cover(const Parsed& plan, const Batch& batch, int group, std::int32_t window) {
  std::map<std::pair<std::int32_t, std::int32_t>, std::vector<AttentionPiece>> rows;
  for (const AttentionPiece& piece : plan.all()) rows[{piece.sequence, piece.first_pair}].push_back(piece);
  std::map<std::int32_t, std::int32_t> next_pair;
  for (auto& [key, pieces] : rows) {
    std::ranges::sort(pieces, {}, &AttentionPiece::kv_begin);
    const AttentionPiece& first = pieces.front();
    const auto s = static_cast<std::size_t>(first.sequence);
    EXPECT_EQ(first.first_pair, next_pair[first.sequence]);
    next_pair[first.sequence] += first.num_pairs;
    EXPECT_EQ(first.first_token, batch.query_start[s]);
    EXPECT_EQ(first.first_position, batch.context[s] - (batch.query_start[s + 1] - batch.query_start[s]));
    const std::int32_t from = first.first_position + first.first_pair / group;
    EXPECT_EQ(first.kv_begin, window == 0 ? 0 : std::max(0, from - window + 1) / 16 * 16);
    for (std::size_t i = 1; i < pieces.size(); ++i) EXPECT_EQ(pieces[i].kv_begin, pieces[i - 1].kv_end);
    for (const AttentionPiece& piece : pieces) {
      EXPECT_LT(piece.kv_begin, piece.kv_end);
      EXPECT_EQ(piece.kv_begin % 16, 0);
      EXPECT_EQ(piece.num_pairs, first.num_pairs);
      EXPECT_EQ(piece.partial >= 0, pieces.size() > 1);
    }
    EXPECT_EQ(pieces.back().kv_end, first.first_position + (first.first_pair + first.num_pairs - 1) / group + 1);
  }
  for (std::size_t s = 0; s < batch.context.size(); ++s) {
    EXPECT_EQ(next_pair[static_cast<std::int32_t>(s)], (batch.query_start[s + 1] - batch.query_start[s]) * group);
  }
}

void expect_merges(const AttentionGeometry& geometry, const Parsed& plan) {
  std::vector<char> used(static_cast<std::size_t>(geometry.max_partial_rows), 0);
  std::map<std::int32_t, const AttentionPiece*> at;
  for (const AttentionPiece& piece : plan.decode) at[piece.partial] = &piece;
  for (const AttentionPiece& piece : plan.prefill) at[piece.partial] = &piece;
  std::size_t merged = 0;
  for (const AttentionMerge& merge : plan.merges) {
    EXPECT_GE(merge.num_partials, 2);
    for (std::int32_t i = 0; i < merge.num_partials; ++i, ++merged) {
      const auto piece = at.find(merge.partial + i * merge.num_pairs);
      ASSERT_NE(piece, at.end());
      EXPECT_EQ(piece->second->first_token, merge.first_token);
      EXPECT_EQ(piece->second->first_pair, merge.first_pair);
      EXPECT_EQ(piece->second->num_pairs, merge.num_pairs);
      for (std::int32_t row = 0; row < merge.num_pairs; ++row)
        EXPECT_EQ(used.at(static_cast<std::size_t>(piece->first + row))++, 0);
    }
  }
  at.erase(-1);
  EXPECT_EQ(merged, at.size());
}

std::int64_t pages_of_worker(const Parsed& plan, std::size_t worker) {
  std::int64_t pages = 0;
  for (auto i = static_cast<std::size_t>(plan.worker_start[worker]);
       i < static_cast<std::size_t>(plan.worker_start[worker + 1]); ++i) {
    pages += (plan.decode[i].kv_end - plan.decode[i].kv_begin + 15) / 16 + 4;
  }
  return pages;
}

TEST(AttentionPlan, CoversEveryRowAndKeyOnce) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<std::int32_t>(random() % static_cast<unsigned>(n)); };
  const AttentionShape shapes[] = {{32, 8, 128}, {28, 4, 128}, {8, 8, 64}, {16, 2, 256}, {7, 1, 80}};
  for (int round = 0; round < 200; ++round) {
    const AttentionGeometry geometry =
        attention_geometry(shapes[round % 5], round % 2 == 0 ? kH200 : kL40S, round % 4 > 1);
    const std::int32_t window = round % 3 == 0 ? 1 + below(600) : 0;
    Batch batch;
    for (int s = below(40); s >= 0; --s) {
      const std::int32_t queries = below(4) == 0 ? below(700) : below(10);
      batch.add(queries, queries + (below(3) == 0 ? below(9000) : below(100)) + 1);
    }
    const AttentionPlan plan = plan_attention(geometry, batch.query_start, batch.context, window);
    const Parsed parsed(geometry, plan.words);
    expect_exact_cover(parsed, batch, geometry.group(), window);
    expect_merges(geometry, parsed);
    EXPECT_LE(plan.words.size(), max_plan_words(geometry, std::ssize(batch.context), batch.query_start.back()));
    EXPECT_EQ(plan.grid.merges, parsed.header.num_merges);
    if (geometry.whole_rows) {
      EXPECT_EQ(plan.grid.merges + plan.grid.decode_row_tiles, 0);
    }
    EXPECT_EQ(plan.grid.prefill_workers > 0, parsed.header.num_prefill > 0);
    EXPECT_EQ(plan.grid.decode_row_tiles > 0, !parsed.decode.empty());
    EXPECT_EQ(plan_attention(geometry, batch.query_start, batch.context, window).words, plan.words);
    if (HasFailure()) FAIL() << "round " << round;
  }
}

TEST(AttentionPlan, DecodeWorkersGetEqualShares) {
  const AttentionGeometry geometry = attention_geometry({32, 8, 128}, kH200);
  std::mt19937 random(3);
  for (const int longest : {200, 1024, 8192, 100000}) {
    Batch batch;
    for (int s = 0; s < 64; ++s)
      batch.add(
          1, s == 0 ? longest : 1 + static_cast<std::int32_t>(random() % static_cast<unsigned>(longest / (1 + s % 7))));
    const Parsed plan(geometry, plan_attention(geometry, batch.query_start, batch.context, 0).words);
    std::int64_t total = 0, most = 0;
    for (std::size_t w = 0; w < static_cast<std::size_t>(geometry.decode_workers); ++w) {
      total += pages_of_worker(plan, w), most = std::max(most, pages_of_worker(plan, w));
    }
    EXPECT_LE(most, total / geometry.decode_workers + 12) << longest;
  }
}

TEST(AttentionPlan, SplitsOnlyPrefillTilesThatWouldKeepOthersWaiting) {
  const AttentionGeometry geometry = attention_geometry({32, 8, 128}, kH200);
  Batch chunk, prompt;
  chunk.add(64, 32768);
  prompt.add(8192, 8192);
  const Parsed split(geometry, plan_attention(geometry, chunk.query_start, chunk.context, 0).words);
  EXPECT_GE(split.header.num_prefill * 8, 2 * geometry.prefill_workers - 16);
  const Parsed whole(geometry, plan_attention(geometry, prompt.query_start, prompt.context, 0).words);
  EXPECT_EQ(whole.header.num_prefill, 8192 * 4 / 128);
  EXPECT_EQ(whole.header.num_merges, 0);
  for (std::size_t i = 1; i < whole.prefill.size(); ++i)
    EXPECT_GE(whole.prefill[i - 1].kv_end, whole.prefill[i].kv_end);
}

TEST(AttentionPlan, GraphOfDecodeStepsCoversThem) {
  const AttentionGeometry geometry = attention_geometry({32, 8, 128}, kH200);
  Batch decode, verify;
  for (int s = 0; s < 32; ++s) decode.add(1, 100 + 313 * s), verify.add(6, 100 + 313 * s);
  const AttentionGrid one = plan_attention(geometry, decode.query_start, decode.context, 0).grid;
  const AttentionGrid two = plan_attention(geometry, verify.query_start, verify.context, 0).grid;
  EXPECT_TRUE(AttentionGrid::capture(geometry, 1).covers(one));
  EXPECT_FALSE(AttentionGrid::capture(geometry, 1).covers(two));
  EXPECT_TRUE(AttentionGrid::capture(geometry, 6).covers(two));
  EXPECT_FALSE(geometry.recordable(9));
  const AttentionGeometry whole = attention_geometry({32, 8, 128}, kH200, true);
  EXPECT_TRUE(whole.recordable(9));
  const AttentionGrid any = plan_attention(whole, verify.query_start, verify.context, 0).grid;
  EXPECT_TRUE(AttentionGrid::capture(whole, 9).covers(any));
}

}  // namespace
}  // namespace caudal::cuda
