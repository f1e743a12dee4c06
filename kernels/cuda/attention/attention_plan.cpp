// The plan: a line of pages for decode, sorted tiles for prefill, and the words the kernels read.
#include "kernels/cuda/attention/attention_plan.h"

#include <algorithm>
#include <cstring>

#include "common/check.h"
#include "common/types.h"

namespace caudal::cuda {
namespace {

constexpr std::int64_t kStartPages = 4;         // what starting and ending a sequence costs a worker, in pages of time
constexpr std::int64_t kMinPages = 4;           // a shorter part is left to the neighbour: a page per warp
constexpr std::int32_t kPrefillStep = 128;      // tiles are split at multiples of this many keys
constexpr std::int64_t kMinPrefillKeys = 512;   // of a split tile's part
constexpr std::int64_t kPrefillStartKeys = 64;  // what starting a tile costs, in keys of time

std::int64_t ceil_div(std::int64_t value, std::int64_t by) { return (value + by - 1) / by; }

// The rows of one sequence, or of one tile of it.
struct Rows {
  AttentionPiece piece;  // with all its keys
  std::int64_t keys() const { return piece.kv_end - piece.kv_begin; }
  std::int64_t pages() const { return ceil_div(keys(), kPage); }
};

std::int32_t first_key(std::int32_t position, std::int32_t window) {
  return window == 0 ? 0 : std::max(0, position - window + 1) / kPage * kPage;
}

class Planner {
 public:
  Planner(const AttentionGeometry& geometry, std::int32_t window) : geometry_(geometry), window_(window) {}

  void add_sequence(std::int32_t sequence, std::int32_t first_token, std::int32_t num_tokens, std::int32_t context) {
    CHECK(num_tokens >= 0 && context >= num_tokens);
    if (num_tokens == 0) return;
    const std::int32_t pairs = num_tokens * geometry_.group(), position = context - num_tokens;
    const std::int32_t step = pairs <= geometry_.decode_max_pairs ? pairs : geometry_.prefill_rows;
    std::vector<Rows>& rows = pairs <= geometry_.decode_max_pairs ? decode_ : prefill_;
    for (std::int32_t first = 0; first < pairs; first += step) {
      const std::int32_t count = std::min(step, pairs - first);
      const std::int32_t begin = position + first / geometry_.group(),
                         last = position + (first + count - 1) / geometry_.group();
      rows.push_back({{sequence, first_token, position, first, count, first_key(begin, window_), last + 1, -1}});
    }
  }

  AttentionPlan finish() {
    cut_decode();
    cut_prefill();
    AttentionPlan plan;
    plan.grid.decode_row_tiles = row_tiles();
    plan.grid.prefill_workers = prefill_pieces_.empty() ? 0 : geometry_.prefill_workers;
    plan.grid.merges = static_cast<int>(merges_.size());
    for (const AttentionMerge& merge : merges_)
      plan.grid.merge_slices = std::max(plan.grid.merge_slices, (merge.num_pairs + 15) / 16);
    write(plan.words);
    return plan;
  }

 private:
  // Where worker w ends and w + 1 begins, as (sequence, page of it).
  struct Cut {
    std::size_t sequence;
    std::int64_t page;
  };

  int row_tiles() const {
    int tiles = decode_.empty() ? 0 : 1;
    for (const Rows& rows : decode_) tiles = std::max(tiles, rows.piece.num_pairs > 16 ? 2 : 1);
    return tiles;
  }

  // Blocks with two row tiles need more shared memory and registers: two fit where three with one do.
  void cut_decode() {
    std::int64_t total = 0;
    for (const Rows& rows : decode_) total += kStartPages + rows.pages();
    const std::int64_t most =
        row_tiles() == 2 ? std::max(1, geometry_.decode_workers * 2 / 3) : geometry_.decode_workers;
    const std::int64_t workers = std::clamp<std::int64_t>(total / (kStartPages + kMinPages), 1, most);
    worker_start_.assign(1, 0);
    Cut from{0, 0};
    std::int64_t line = 0;  // where sequence `at` begins
    std::size_t at = 0;
    for (std::int64_t worker = 1; worker <= geometry_.decode_workers; ++worker) {
      Cut to{decode_.size(), 0};
      if (worker < workers) {
        const std::int64_t cut = worker * total / workers;
        while (line + kStartPages + decode_[at].pages() <= cut) line += kStartPages + decode_[at++].pages();
        to = snap(at, cut - line - kStartPages);
      }
      emit(from, to);
      from = to;
      worker_start_.push_back(static_cast<std::int32_t>(decode_pieces_.size()));
    }
    merge_cut(decode_pieces_);
  }

  Cut snap(std::size_t sequence, std::int64_t page) const {
    if (page < kMinPages) return {sequence, 0};
    return decode_[sequence].pages() - page < kMinPages ? Cut{sequence + 1, 0} : Cut{sequence, page};
  }

  void emit(const Cut& from, const Cut& to) {
    for (std::size_t s = from.sequence; s < decode_.size() && (s < to.sequence || (s == to.sequence && to.page > 0));
         ++s) {
      AttentionPiece piece = decode_[s].piece;
      const std::int32_t begin = piece.kv_begin;
      if (s == from.sequence) piece.kv_begin = begin + static_cast<std::int32_t>(from.page) * kPage;
      if (s == to.sequence) piece.kv_end = begin + static_cast<std::int32_t>(to.page) * kPage;
      if (piece.kv_begin < piece.kv_end) decode_pieces_.push_back(piece);
    }
  }

  // A tile that would keep one worker busy for more than 3/4 of its share of the whole is split.
  void cut_prefill() {
    std::int64_t total = 0;
    for (const Rows& rows : prefill_) total += rows.keys() + kPrefillStartKeys;
    const std::int64_t share =
        ceil_div(total * geometry_.shape.num_kv_heads, std::int64_t{2} * geometry_.prefill_workers);
    const std::int64_t cap = std::max(share, kMinPrefillKeys);
    for (const Rows& rows : prefill_) {
      std::int64_t parts = rows.keys() * 2 > cap * 3 && !geometry_.whole_rows ? ceil_div(rows.keys(), cap) : 1;
      const std::int64_t step = ceil_div(ceil_div(rows.keys(), parts), kPrefillStep) * kPrefillStep;
      parts = ceil_div(rows.keys(), step);
      if (partial_rows_ + parts * rows.piece.num_pairs > geometry_.max_partial_rows) parts = 1;
      std::vector<AttentionPiece> cut(parts, rows.piece);
      for (std::size_t i = 0; i + 1 < cut.size(); ++i) {
        cut[i].kv_end = cut[i + 1].kv_begin =
            rows.piece.kv_begin + static_cast<std::int32_t>(static_cast<std::int64_t>(i + 1) * step);
      }
      merge_cut(cut);
      prefill_pieces_.insert(prefill_pieces_.end(), cut.begin(), cut.end());
    }
    std::ranges::stable_sort(prefill_pieces_, std::greater{},
                             [](const AttentionPiece& piece) { return piece.kv_end - piece.kv_begin; });
  }

  // Gives runs of pieces of the same rows their partial results and a merge.
  void merge_cut(std::vector<AttentionPiece>& pieces) {
    for (std::size_t begin = 0, end = 0; begin < pieces.size(); begin = end) {
      const AttentionPiece& first = pieces[begin];
      while (end < pieces.size() && pieces[end].sequence == first.sequence &&
             pieces[end].first_pair == first.first_pair)
        ++end;
      if (end - begin == 1) continue;
      merges_.push_back({first.first_token,
                         first.first_pair,
                         first.num_pairs,
                         partial_rows_,
                         static_cast<std::int32_t>(end - begin),
                         {}});
      for (std::size_t i = begin; i < end; ++i) {
        pieces[i].partial = partial_rows_;
        partial_rows_ += pieces[i].num_pairs;
      }
    }
    CHECK(partial_rows_ <= geometry_.max_partial_rows);
  }

  template <typename T>
  static void append(std::vector<std::int32_t>& words, const std::vector<T>& values) {
    static_assert(sizeof(T) == kPlanUnit * sizeof(std::int32_t));
    const std::size_t begin = words.size();
    words.resize(begin + values.size() * kPlanUnit);
    if (!values.empty()) std::memcpy(words.data() + begin, values.data(), values.size() * sizeof(T));
  }

  void write(std::vector<std::int32_t>& words) const {
    const std::int32_t decode = decode_piece_offset(geometry_.decode_workers);
    const auto prefill = decode + static_cast<std::int32_t>(decode_pieces_.size());
    const AttentionPlanHeader header{prefill, static_cast<std::int32_t>(prefill_pieces_.size()),
                                     prefill + static_cast<std::int32_t>(prefill_pieces_.size()),
                                     static_cast<std::int32_t>(merges_.size())};
    words.resize(std::size_t{kPlanUnit} * decode);
    std::memcpy(words.data(), &header, sizeof header);
    std::ranges::copy(worker_start_, words.begin() + 4);
    append(words, decode_pieces_);
    append(words, prefill_pieces_);
    append(words, merges_);
  }

  const AttentionGeometry& geometry_;
  std::int32_t window_;
  std::vector<Rows> decode_, prefill_;
  std::vector<std::int32_t> worker_start_;
  std::vector<AttentionPiece> decode_pieces_, prefill_pieces_;
  std::vector<AttentionMerge> merges_;
  std::int32_t partial_rows_ = 0;
};

// Parts of split tiles, per KV head: with workers W and total keys T, a part is at least T / 2W long and the
// last of each tile may be short; at most 4/3 W tiles are longer than 3/2 T / 2W.
std::int64_t max_prefill_parts(const AttentionGeometry& geometry) {
  return ceil_div(std::int64_t{4} * geometry.prefill_workers, geometry.shape.num_kv_heads);
}

}  // namespace

AttentionGeometry attention_geometry(const AttentionShape& shape, const AttentionDevice& device, bool whole_rows) {
  CHECK(shape.num_kv_heads > 0 && shape.num_heads % shape.num_kv_heads == 0);
  const int head_dim = shape.head_dim;
  AttentionGeometry geometry;
  geometry.shape = shape;
  geometry.whole_rows = whole_rows;
  geometry.hopper =
      !whole_rows && device.compute_capability == 90 && (head_dim == 64 || head_dim == 128 || head_dim == 256);
  // Blocks of the decode kernel with one row tile take up to 76 KiB of an SM at every head size
  // (attention_decode.cu).
  const int blocks_per_sm = std::clamp(device.shared_bytes_per_sm / (76 << 10), 1, 3);
  geometry.decode_max_pairs = head_dim <= 128 ? 32 : 16;
  geometry.decode_workers = std::max(1, device.num_sms * blocks_per_sm / shape.num_kv_heads);
  geometry.prefill_rows = geometry.hopper ? 128 : 64;
  geometry.prefill_workers = device.num_sms * (geometry.hopper ? 1 : std::min(blocks_per_sm, 2));
  if (whole_rows) {
    geometry.decode_max_pairs = 0;
    geometry.decode_workers = 1;
    return geometry;  // and no partial results
  }
  // Every decode worker leaves at most two partial results.
  geometry.max_partial_rows = 2 * geometry.decode_workers * geometry.decode_max_pairs +
                              static_cast<int>(max_prefill_parts(geometry)) * geometry.prefill_rows;
  return geometry;
}

// Per partial row and KV head: head_dim sums, then the maximum and the sum of weights.
std::size_t attention_workspace_bytes(const AttentionGeometry& geometry) {
  const auto rows =
      static_cast<std::size_t>(geometry.max_partial_rows) * static_cast<std::size_t>(geometry.shape.num_kv_heads);
  return rows * (static_cast<std::size_t>(geometry.shape.head_dim) + 2) * sizeof(float);
}

AttentionGrid AttentionGrid::capture(const AttentionGeometry& geometry, int max_tokens) {
  CHECK(geometry.recordable(max_tokens));
  if (geometry.whole_rows) return {0, geometry.prefill_workers, 0, 0};
  const int row_tiles = max_tokens * geometry.group() > 16 ? 2 : 1;
  return {row_tiles, 0, geometry.decode_workers - 1, row_tiles};
}

bool AttentionGrid::covers(const AttentionGrid& other) const {
  return decode_row_tiles >= other.decode_row_tiles && prefill_workers >= other.prefill_workers &&
         merges >= other.merges && merge_slices >= other.merge_slices;
}

AttentionPlan plan_attention(const AttentionGeometry& geometry, std::span<const std::int32_t> query_start,
                             std::span<const std::int32_t> context_length, std::int32_t sliding_window) {
  CHECK(query_start.size() == context_length.size() + 1 && sliding_window >= 0);
  Planner planner(geometry, sliding_window);
  for (std::size_t s = 0; s < context_length.size(); ++s) {
    planner.add_sequence(static_cast<std::int32_t>(s), query_start[s], query_start[s + 1] - query_start[s],
                         context_length[s]);
  }
  return planner.finish();
}

std::size_t max_plan_words(const AttentionGeometry& geometry, std::int64_t max_sequences, std::int64_t max_tokens) {
  const std::int64_t tiles = max_sequences + ceil_div(max_tokens * geometry.group(), geometry.prefill_rows);
  const std::int64_t units = decode_piece_offset(geometry.decode_workers) + tiles +
                             std::int64_t{2} * geometry.decode_workers + 2 * max_prefill_parts(geometry);
  return units * kPlanUnit;
}

}  // namespace caudal::cuda
