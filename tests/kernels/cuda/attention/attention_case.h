// A paged batch for attention tests: random contexts in shuffled blocks, and attention in float64. Pages
// nobody owns, pages before a sliding window, slots past a context and table entries past its blocks must not
// count: they are NaN, wild, and poisoned for AddressSanitizer where a kernel must not even read them.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cuda/attention/attention.h"

namespace caudal::cuda {

struct SequenceSpec {
  std::int32_t num_queries = 1, context_length = 1;
};

struct AttentionSpec {
  AttentionShape shape;
  std::vector<SequenceSpec> sequences;
  std::int32_t window = 0;
  float soft_cap = 0.0F;
  AttentionDevice device{4, 80, 164 << 10};
};

class AttentionCase {
 public:
  explicit AttentionCase(const AttentionSpec& spec) : spec_(spec), random_(1) {
    for (const SequenceSpec& sequence : spec.sequences) {
      query_start.push_back(query_start.back() + sequence.num_queries);
      context_length.push_back(sequence.context_length);
      max_blocks_ = std::max(max_blocks_, blocks_of(sequence.context_length));
    }
    deal_blocks();
    k.assign(static_cast<std::size_t>(num_blocks_) * 16 * row(), nan16());
    v = k;
    for (std::size_t s = 0; s < spec.sequences.size(); ++s) fill_context(s);
    q.resize(static_cast<std::size_t>(query_start.back()) * q_stride());
    for (std::uint16_t& value : q) value = draw();
  }

  std::size_t q_stride() const { return static_cast<std::size_t>((spec_.shape.num_heads + 2) * spec_.shape.head_dim); }
  std::size_t out_row() const { return static_cast<std::size_t>(spec_.shape.num_heads * spec_.shape.head_dim); }
  std::int64_t num_blocks() const { return num_blocks_; }
  std::int64_t max_blocks() const { return max_blocks_; }
  AttentionParams params() const {
    return {1.3F / std::sqrt(static_cast<float>(spec_.shape.head_dim)), spec_.window, spec_.soft_cap};
  }

  double decode(std::uint16_t bits) const {
    return spec_.shape.dtype == DType::kBF16 ? static_cast<double>(__bfloat162float(__nv_bfloat16_raw{bits}))
                                             : static_cast<double>(__half2float(__half_raw{bits}));
  }
  std::uint16_t encode(float value) const {
    return spec_.shape.dtype == DType::kBF16 ? static_cast<__nv_bfloat16_raw>(__float2bfloat16(value)).x
                                             : static_cast<__half_raw>(__float2half(value)).x;
  }

  static std::uint16_t nan16() { return 0x7fff; }  // of both types

  // [num_heads * head_dim] of query row `r` of sequence s.
  std::vector<double> reference(std::size_t s, std::int32_t r) const {
    std::vector<double> out;
    for (int head = 0; head < spec_.shape.num_heads; ++head) {
      const std::vector<double> one = attend(s, r, head);
      out.insert(out.end(), one.begin(), one.end());
    }
    return out;
  }

  // Largest relative error (2-norm of a head's vector) of all rows; NaN when a result is NaN.
  double error(const std::vector<std::uint16_t>& out) const {
    double worst = 0;
    for (std::size_t s = 0; s < spec_.sequences.size(); ++s) {
      for (std::int32_t r = 0; r < spec_.sequences[s].num_queries; ++r) {
        const std::vector<double> want = reference(s, r);
        const std::size_t first = static_cast<std::size_t>(query_start[s] + r) * out_row();
        for (std::size_t head = 0; head < want.size(); head += static_cast<std::size_t>(spec_.shape.head_dim)) {
          double difference = 0, norm = 0;
          for (std::size_t i = head; i < head + static_cast<std::size_t>(spec_.shape.head_dim); ++i) {
            const double delta = decode(out[first + i]) - want[i];
            difference += delta * delta, norm += want[i] * want[i];
          }
          const double error = std::sqrt(difference / norm);
          if (!(error <= worst)) worst = error;
        }
      }
    }
    return worst;
  }

  // Ranges (first element, elements) of the cache that belong to no context; `whole_pages`: only pages of
  // none.
  template <typename F>
  void for_unused_slots(bool whole_pages, F visit) const {
    std::vector<std::int32_t> used(static_cast<std::size_t>(num_blocks_), 0);
    for (std::size_t s = 0; s < spec_.sequences.size(); ++s) {
      for (std::int32_t token = first_seen(s); token < context_length[s]; ++token)
        used[static_cast<std::size_t>(block(s, token))] = token % 16 + 1;
    }
    for (std::size_t b = 0; b < used.size(); ++b) {
      const std::size_t begin = (b * 16 + static_cast<std::size_t>(used[b])) * row(), end = (b + 1) * 16 * row();
      if (begin < end && (used[b] == 0 || !whole_pages)) visit(begin, end - begin);
    }
  }

  std::vector<std::int32_t> query_start = {0}, context_length, block_table;
  std::vector<std::uint16_t> q, k, v;

 private:
  static std::int64_t blocks_of(std::int32_t tokens) { return (tokens + 15) / 16; }
  std::size_t row() const { return static_cast<std::size_t>(spec_.shape.num_kv_heads * spec_.shape.head_dim); }
  std::uint16_t draw() { return encode(normal_(random_)); }

  void deal_blocks() {
    num_blocks_ = 3;
    for (const std::int32_t context : context_length) num_blocks_ += blocks_of(context);
    std::vector<std::int32_t> free(static_cast<std::size_t>(num_blocks_));
    std::iota(free.begin(), free.end(), 0);
    std::shuffle(free.begin(), free.end(), random_);
    block_table.assign(context_length.size() * static_cast<std::size_t>(max_blocks_), 1 << 27);
    for (std::size_t s = 0; s < context_length.size(); ++s) {
      for (std::int64_t b = 0; b < blocks_of(context_length[s]); ++b) {
        block_table[s * static_cast<std::size_t>(max_blocks_) + static_cast<std::size_t>(b)] = free.back();
        free.pop_back();
      }
    }
  }

  std::int32_t block(std::size_t s, std::int32_t token) const {
    return block_table[s * static_cast<std::size_t>(max_blocks_) + static_cast<std::size_t>(token / 16)];
  }
  std::size_t slot(std::size_t s, std::int32_t token) const {
    return (static_cast<std::size_t>(block(s, token)) * 16 + static_cast<std::size_t>(token % 16)) * row();
  }

  // First token of the first page that some query sees.
  std::int32_t first_seen(std::size_t s) const {
    const std::int32_t position = context_length[s] - spec_.sequences[s].num_queries;
    return spec_.window == 0 ? 0 : std::max(0, position - spec_.window + 1) / 16 * 16;
  }

  void fill_context(std::size_t s) {
    for (std::int32_t token = first_seen(s); token < context_length[s]; ++token) {
      for (std::size_t i = 0; i < row(); ++i) k[slot(s, token) + i] = draw(), v[slot(s, token) + i] = draw();
    }
    for (std::int32_t b = 0; b < first_seen(s) / 16; ++b) {
      block_table[s * static_cast<std::size_t>(max_blocks_) + static_cast<std::size_t>(b)] = 1 << 27;  // freed
    }
  }

  std::vector<double> attend(std::size_t s, std::int32_t r, int head) const {
    const auto dim = static_cast<std::size_t>(spec_.shape.head_dim);
    const std::size_t kv = static_cast<std::size_t>(head / (spec_.shape.num_heads / spec_.shape.num_kv_heads)) * dim;
    const std::int32_t position = context_length[s] - spec_.sequences[s].num_queries + r;
    const std::int32_t first = spec_.window == 0 ? 0 : std::max(0, position - spec_.window + 1);
    const std::uint16_t* query =
        q.data() + static_cast<std::size_t>(query_start[s] + r) * q_stride() + static_cast<std::size_t>(head) * dim;
    std::vector<double> score(static_cast<std::size_t>(position + 1)), out(dim, 0.0);
    double largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (std::int32_t key = first; key <= position; ++key) {
      double dot = 0;
      for (std::size_t i = 0; i < dim; ++i) dot += decode(query[i]) * decode(k[slot(s, key) + kv + i]);
      dot *= static_cast<double>(params().scale);
      if (spec_.soft_cap > 0)
        dot = static_cast<double>(spec_.soft_cap) * std::tanh(dot / static_cast<double>(spec_.soft_cap));
      score[static_cast<std::size_t>(key)] = dot;
      largest = std::max(largest, dot);
    }
    for (std::int32_t key = first; key <= position; ++key) {
      const double weight = std::exp(score[static_cast<std::size_t>(key)] - largest);
      sum += weight;
      for (std::size_t i = 0; i < dim; ++i) out[i] += weight * decode(v[slot(s, key) + kv + i]);
    }
    for (double& value : out) value /= sum;
    return out;
  }

  AttentionSpec spec_;
  std::mt19937 random_;
  std::normal_distribution<float> normal_;
  std::int64_t num_blocks_ = 0, max_blocks_ = 1;
};

}  // namespace caudal::cuda
