// Plans paged attention: cuts the batch into tasks of (sequence, KV head, up to 128 queries), or of one split of them
// when there are too few to keep all threads busy, runs them, and writes the rows out.
#include "kernels/cpu/attention/attention.h"

#include <algorithm>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/expect.h"

namespace caudal {
namespace {

constexpr std::int64_t kTasksPerThread = 4;  // below this decode is cut into splits

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The splits that the rows of one task see: [begin, end) of absolute split numbers.
struct SplitRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
};

SplitRange split_range(const QueryRows& rows, std::int64_t sliding_window) {
  const KeyRange first = key_range(rows, 0, sliding_window),
                 last = key_range(rows, rows.num_tiles() - 1, sliding_window);
  return {first.begin / kKvSplit, (last.end + kKvSplit - 1) / kKvSplit};
}

// Later chunks of a prompt see more keys; they come first so that the last tasks are short ones.
std::vector<QueryRows> cut_queries(const AttentionBatch& batch, const AttentionJob& job) {
  std::vector<QueryRows> tasks;
  const std::int64_t max_tokens = std::max<std::int64_t>(1, kMaxQueryTiles * kQueryLanes / job.group);
  const auto num_sequences = static_cast<std::int64_t>(batch.context_length_host.size());
  for (std::int64_t s = 0; s < num_sequences; ++s) {
    const std::size_t index = s;
    const std::int64_t begin = batch.query_start_host[index], count = batch.query_start_host[index + 1] - begin;
    const std::int64_t context = batch.context_length_host[index];
    CHECK(count >= 0 && context >= count && context <= batch.block_table.dim(1) * kBlockSize);
    for (std::int64_t first = count == 0 ? -1 : (count - 1) / max_tokens * max_tokens; first >= 0;
         first -= max_tokens) {
      const std::int64_t tokens = std::min(max_tokens, count - first);
      for (std::int64_t head = 0; head < job.num_kv_heads; ++head) {
        tasks.push_back({s, head, begin + first, tokens, context - count + first, context, job.group});
      }
    }
  }
  return tasks;
}

// out[row, head, :] = weighted sum / sum, for the queries of one tile.
template <typename T>
void write_tile(const AttentionJob& job, const QueryRows& rows, std::int64_t tile, const float* state) {
  const std::int64_t begin = tile * kQueryLanes, end = std::min(rows.num_pairs(), begin + kQueryLanes);
  for (std::int64_t pair = begin; pair < end; ++pair) {
    const float* lane = state + (pair - begin);
    const float inverse = 1.0F / lane[kQueryLanes];  // a query sees at least itself
    T* out = job.out.as<T>() + rows.row(pair) * job.out.stride0() + rows.head(pair) * job.head_dim;
    for (std::int64_t d = 0; d < job.head_dim; ++d) {
      const float value = lane[(2 + d) * kQueryLanes] * inverse;
      if constexpr (sizeof(T) == sizeof(float)) {
        out[d] = value;
      } else {
        out[d] = to_bf16(value);
      }
    }
  }
}

void write_out(const AttentionJob& job, const QueryRows& rows, const float* states) {
  for (std::int64_t tile = 0; tile < rows.num_tiles(); ++tile) {
    const float* state = states + tile * state_floats(job.head_dim);
    job.out.dtype() == DType::kF32 ? write_tile<float>(job, rows, tile, state)
                                   : write_tile<BF16>(job, rows, tile, state);
  }
}

class AttentionRun {
 public:
  AttentionRun(CpuContext& context, const AttentionJob& job, const CpuAttentionKernel& kernel)
      : context_(context), job_(job), kernel_(kernel), state_floats_(state_floats(job.head_dim)) {}

  void run(const std::vector<QueryRows>& tasks) {
    const auto count = static_cast<std::int64_t>(tasks.size());
    if (count >= kTasksPerThread * context_.num_threads()) {
      context_.parallel_tasks(count, [&](std::int64_t task, int thread) { run_whole(tasks[task], thread); });
    } else {
      run_splits(tasks);
    }
  }

 private:
  struct SplitTask {
    std::size_t rows;  // index of the task it is part of
    std::int64_t split;
    float* states;
  };

  // Packed queries, two sets of states and the kernel's scratch, one behind the other.
  struct Work {
    std::byte* queries;
    float* total;
    float* part;
    std::byte* kernel;
  };
  Work work_of(int thread) {
    const std::size_t queries = tiles_limit() * kernel_.query_bytes, floats = tiles_limit() * state_floats_;
    auto* base =
        context_.thread_scratch(thread).get<std::byte>(queries + 2 * floats * sizeof(float) + kernel_.work_bytes);
    auto* states = reinterpret_cast<float*>(base + queries);
    return {base, states, states + floats, reinterpret_cast<std::byte*>(states + 2 * floats)};
  }
  // A token's group alone may be wider than kMaxQueryTiles tiles.
  std::size_t tiles_limit() const { return std::max(kMaxQueryTiles, round_up(job_.group, kQueryLanes) / kQueryLanes); }

  void pack(const QueryRows& rows, const Work& work) const {
    for (std::int64_t tile = 0; tile < rows.num_tiles(); ++tile) {
      kernel_.pack_query(job_, rows, tile, work.queries + tile * kernel_.query_bytes);
    }
  }

  void attend(const QueryRows& rows, std::int64_t split, const Work& work, float* states) const {
    for (std::int64_t tile = 0; tile < rows.num_tiles(); ++tile) {
      clear_state(states + tile * state_floats_, job_.head_dim);
    }
    kernel_.attend(job_, rows, split * kKvSplit, (split + 1) * kKvSplit, work.queries, states, work.kernel);
  }

  void fold(const QueryRows& rows, float* states, const float* next) const {
    for (std::size_t tile = 0; tile < static_cast<std::size_t>(rows.num_tiles()); ++tile) {
      kernel_.fold(job_, states + tile * state_floats_, next + tile * state_floats_);
    }
  }

  void run_whole(const QueryRows& rows, int thread) {
    const Work work = work_of(thread);
    const SplitRange splits = split_range(rows, job_.params.sliding_window);
    pack(rows, work);
    attend(rows, splits.begin, work, work.total);
    for (std::int64_t split = splits.begin + 1; split < splits.end; ++split) {
      attend(rows, split, work, work.part);
      fold(rows, work.total, work.part);
    }
    write_out(job_, rows, work.total);
  }

  void run_splits(const std::vector<QueryRows>& tasks) {
    std::vector<SplitTask> parts;
    std::size_t floats = 0;
    for (const QueryRows& rows : tasks) {
      floats += static_cast<std::size_t>(rows.num_tiles() * split_range(rows, job_.params.sliding_window).count()) *
                state_floats_;
    }
    float* states = context_.op_scratch().get<float>(floats);
    std::vector<float*> first(tasks.size());
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const SplitRange splits = split_range(tasks[i], job_.params.sliding_window);
      first[i] = states;
      for (std::int64_t split = splits.begin; split < splits.end; ++split) {
        parts.push_back({i, split, states});
        states += tasks[i].num_tiles() * state_floats_;
      }
    }
    context_.parallel_tasks(static_cast<std::int64_t>(parts.size()), [&](std::int64_t i, int thread) {
      const SplitTask& part = parts[i];
      const Work work = work_of(thread);
      pack(tasks[part.rows], work);
      attend(tasks[part.rows], part.split, work, part.states);
    });
    context_.parallel_tasks(static_cast<std::int64_t>(tasks.size()), [&](std::int64_t i, int) {
      const std::size_t index = i;
      merge_splits(tasks[index], first[index]);
    });
  }

  void merge_splits(const QueryRows& rows, float* states) const {
    const std::size_t set = rows.num_tiles() * state_floats_;
    const std::int64_t count = split_range(rows, job_.params.sliding_window).count();
    for (std::int64_t split = 1; split < count; ++split) fold(rows, states, states + split * set);
    write_out(job_, rows, states);
  }

  CpuContext& context_;
  const AttentionJob& job_;
  const CpuAttentionKernel& kernel_;
  std::size_t state_floats_;
};

}  // namespace

std::int64_t QueryRows::last_position(std::int64_t tile) const {
  return position(std::min(num_pairs(), (tile + 1) * kQueryLanes) - 1);
}

KeyRange key_range(const QueryRows& rows, std::int64_t tile, std::int64_t sliding_window) {
  const std::int64_t first = rows.position(tile * kQueryLanes), last = rows.last_position(tile);
  const auto begin = [&](std::int64_t position) {
    return sliding_window == 0 ? 0 : std::max<std::int64_t>(0, position - sliding_window + 1);
  };
  return {begin(first), last + 1, begin(last), first + 1};
}

void clear_state(float* state, std::int64_t head_dim) {
  std::fill_n(state, kQueryLanes, kNoScore);
  std::fill_n(state + kQueryLanes, (1 + head_dim) * kQueryLanes, 0.0F);
}

void compute(CpuContext& context, const op::PagedAttention& o) {
  const std::int64_t num_heads = o.q.dim(1), head_dim = o.q.dim(2), num_kv_heads = o.k_cache.dim(2);
  Expect(o.kName).that(head_dim % 16 == 0, "head_dim must be a multiple of 16");
  const AttentionJob job{.q = o.q,
                         .k_cache = o.k_cache,
                         .v_cache = o.v_cache,
                         .block_table = o.batch.block_table,
                         .out = o.out,
                         .params = o.params,
                         .group = num_heads / num_kv_heads,
                         .head_dim = head_dim,
                         .num_kv_heads = num_kv_heads};
  const bool amx = context.isa() >= Isa::kAmx && o.q.dtype() == DType::kBF16;
  const CpuAttentionKernel kernel = amx ? attention_amx(head_dim) : attention_simd(context, head_dim);
  AttentionRun(context, job, kernel).run(cut_queries(o.batch, job));
}

}  // namespace caudal
