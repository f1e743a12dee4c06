// Rows to plain arrays and back.
#include "kernels/cuda/sampling/sampling_pack.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace caudal::cuda {
namespace {

// In order of the token, so that equal rows make equal arrays.
using Edits = std::map<TokenId, LogitEdit>;

LogitEdit& edit_of(Edits& edits, TokenId token) {
  LogitEdit& edit = edits[token];
  edit.token = token;
  return edit;
}

Edits edits_of(const SamplingRow& row, std::int64_t vocab_size) {
  Edits edits;
  const auto in_row = [&](TokenId token) { return token >= 0 && token < vocab_size; };
  for (const auto& [token, bias] : row.params->logit_bias) {
    if (in_row(token)) edit_of(edits, token).bias += bias;
  }
  for (const TokenId token : row.banned) {
    if (in_row(token)) edit_of(edits, token).banned = 1;
  }
  if (!row.params->has_penalties()) return edits;
  for (const TokenCount& count : row.counts) {
    if (!in_row(count.token)) continue;
    LogitEdit& edit = edit_of(edits, count.token);
    edit.repetition = row.params->repetition_penalty;
    edit.frequency = row.params->frequency_penalty * static_cast<float>(count.output_count);
    edit.presence = count.output_count > 0 ? row.params->presence_penalty : 0.0F;
  }
  return edits;
}

void pack_columns(std::span<const SamplingRow> rows, PackedSampling& packed) {
  const auto is_named = [](const SampleRow& row) { return row.num_named > 0; };
  if (std::ranges::none_of(packed.rows, is_named)) return;
  const std::size_t width = packed.max_logprobs + std::size_t{1};
  packed.columns.resize(packed.rows.size() * width, -1);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const SampleRow& row = packed.rows[i];
    if (row.num_named == 0) continue;
    const auto first = packed.columns.begin() + static_cast<std::ptrdiff_t>(i * width) + 1 + row.num_logprobs;
    std::ranges::copy(rows[i].logprob_tokens, first);
  }
}

}  // namespace

PackedSampling pack_sampling(std::span<const SamplingRow> rows, std::int64_t vocab_size) {
  PackedSampling packed;
  for (const SamplingRow& row : rows) {
    const SamplingParams& params = *row.params;
    const Edits edits = edits_of(row, vocab_size);
    SampleRow& out = packed.rows.emplace_back();
    out.seed = params.seed;
    out.position = row.position;
    out.temperature = params.temperature;
    out.top_p = params.top_p;
    out.min_p = params.min_p;
    out.top_k = params.top_k;
    out.first_edit = static_cast<std::int32_t>(packed.edits.size());
    out.num_edits = static_cast<std::int32_t>(edits.size());
    const bool wide = is_wide(row);
    out.num_logprobs = wide ? 0 : params.num_logprobs;
    out.num_named = wide || out.num_logprobs < 0 ? 0 : static_cast<std::int32_t>(row.logprob_tokens.size());
    for (const auto& [token, edit] : edits) packed.edits.push_back(edit);
    if (!row.allowed.empty()) {
      out.first_allowed = static_cast<std::int32_t>(packed.allowed.size());
      for (std::int64_t word = 0; word < allowed_words(vocab_size); ++word)
        packed.allowed.push_back(static_cast<std::uint32_t>(row.allowed[word / 2] >> (word % 2 * 32)));
    }
    packed.max_logprobs = std::max(packed.max_logprobs, out.num_logprobs + out.num_named);
  }
  pack_columns(rows, packed);
  return packed;
}

void unpack_sampling(const SampledArrays& arrays, std::span<const SampleRow> rows, std::span<SamplingOutput> out) {
  const std::size_t width = arrays.max_logprobs + std::size_t{1};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out[i].token = std::max(arrays.tokens[i], 0);
    out[i].valid = arrays.tokens[i] >= 0;
    out[i].logprobs.clear();
    const std::int32_t asked = rows[i].num_logprobs + rows[i].num_named;
    if (!out[i].valid || asked < 0) continue;
    for (std::size_t j = 0; j <= static_cast<std::size_t>(asked); ++j) {
      const TokenId token = arrays.logprob_tokens[i * width + j];
      if (token >= 0) out[i].logprobs.push_back({token, arrays.logprobs[i * width + j]});
    }
  }
}

std::vector<TokenLogprob> wide_logprobs(std::span<const float> logits, const SamplingRow& row) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto is_usable = [](float logit) { return logit < kInfinity; };  // NaN is not
  if (!std::ranges::all_of(logits, is_usable)) return {};
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](TokenId token) { return logits[token] == -kInfinity; });
  const auto count = std::min<std::ptrdiff_t>(row.params->num_logprobs, std::ssize(order));
  const auto is_before = [&](TokenId a, TokenId b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; };
  std::ranges::partial_sort(order, order.begin() + count, is_before);
  order.resize(count);
  const double maximum = static_cast<double>(*std::ranges::max_element(logits));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - maximum);
  order.insert(order.end(), row.logprob_tokens.begin(), row.logprob_tokens.end());
  const double log_sum = maximum + std::log(sum);
  std::vector<TokenLogprob> result;
  result.reserve(order.size());
  for (const TokenId token : order)
    result.push_back({token, static_cast<float>(static_cast<double>(logits[token]) - log_sum)});
  return result;
}

}  // namespace caudal::cuda
