// An attention case on the device of the test, through the whole of paged_attention.
#pragma once

#include "tests/kernels/cuda/attention/attention_case.h"
#include "tests/kernels/cuda/device.h"

namespace caudal::cuda {

inline Tensor as_heads(std::uint16_t* data, DType type, std::int64_t rows, std::size_t stride,
                       const AttentionShape& shape) {
  return Tensor(data, type, {rows, static_cast<std::int64_t>(stride)})
      .columns(0, std::int64_t{shape.num_heads} * shape.head_dim)
      .split_columns(shape.head_dim);
}

// The largest error of a batch, with outputs, workspace and unused slots poisoned.
inline double attention_error(const AttentionSpec& spec) {
  const AttentionCase host(spec);
  const AttentionShape& shape = spec.shape;
  const AttentionGeometry geometry = attention_geometry(shape, spec.device);
  const AttentionPlan plan = plan_attention(geometry, host.query_start, host.context_length, spec.window);
  const std::int64_t num_tokens = host.query_start.back();
  const test::DeviceArray<std::uint16_t> q(host.q), k(host.k), v(host.v);
  const test::DeviceArray<std::uint16_t> out(static_cast<std::size_t>(num_tokens) * host.out_row(), host.nan16());
  const test::DeviceArray<std::int32_t> table(host.block_table), words(plan.words);
  const test::DeviceArray<float> workspace(attention_workspace_bytes(geometry) / sizeof(float), NAN);
  // TMA copies whole pages, so on Hopper the slots behind a context are copied, and must not count.
  host.for_unused_slots(geometry.hopper, [&](std::size_t first, std::size_t count) {
    test::forbid(k.data() + first, count * 2), test::forbid(v.data() + first, count * 2);
  });
  const auto as_cache = [&](std::uint16_t* data) {
    return Tensor(data, shape.dtype, {host.num_blocks(), 16, shape.num_kv_heads, shape.head_dim});
  };
  AttentionCall call;
  call.q = as_heads(q.data(), shape.dtype, num_tokens, host.q_stride(), shape);
  call.k_cache = as_cache(k.data()), call.v_cache = as_cache(v.data());
  call.block_table = Tensor(table.data(), DType::kI32, {std::ssize(host.context_length), host.max_blocks()});
  call.out = as_heads(out.data(), shape.dtype, num_tokens, host.out_row(), shape);
  call.params = host.params();
  call.plan_words = words.data();
  call.workspace = workspace.data();
  paged_attention(geometry, plan.grid, call, nullptr);
  return host.error(out.read());
}

}  // namespace caudal::cuda
