// Rows to plain arrays and back.
#include "kernels/cuda/sampling/sampling_pack.h"

#include <algorithm>
#include <map>

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
    out.num_logprobs = std::min(params.num_logprobs, kMaxLogprobs);
    for (const auto& [token, edit] : edits) packed.edits.push_back(edit);
    if (!row.allowed.empty()) {
      out.first_allowed = static_cast<std::int32_t>(packed.allowed.size());
      for (std::int64_t word = 0; word < allowed_words(vocab_size); ++word)
        packed.allowed.push_back(static_cast<std::uint32_t>(row.allowed[word / 2] >> (word % 2 * 32)));
    }
    packed.max_logprobs = std::max(packed.max_logprobs, out.num_logprobs);
  }
  return packed;
}

void unpack_sampling(const SampledArrays& arrays, std::span<const SampleRow> rows, std::span<SamplingOutput> out) {
  const std::size_t width = arrays.max_logprobs + std::size_t{1};
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out[i].token = std::max(arrays.tokens[i], 0);
    out[i].valid = arrays.tokens[i] >= 0;
    out[i].logprobs.clear();
    const std::int32_t asked = rows[i].num_logprobs;
    if (!out[i].valid || asked < 0) continue;
    for (std::size_t j = 0; j <= static_cast<std::size_t>(asked); ++j) {
      const TokenId token = arrays.logprob_tokens[i * width + j];
      if (token >= 0) out[i].logprobs.push_back({token, arrays.logprobs[i * width + j]});
    }
  }
}

}  // namespace caudal::cuda
