// Logit bias, bans and penalties of one row. They touch few of the 150,000 columns, so they are written into
// the row itself and taken back when this object ends; the row is unchanged afterwards.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "kernels/sampling.h"

namespace caudal {

class LogitEdits {
 public:
  // logits [vocab_size]. Order per token: bias, ban, repetition, frequency, presence.
  LogitEdits(std::span<float> logits, const SamplingRow& row);
  ~LogitEdits();
  LogitEdits(const LogitEdits&) = delete;
  LogitEdits& operator=(const LogitEdits&) = delete;

 private:
  void set(TokenId token, float value);
  void add_bias(const SamplingParams& params);
  void ban(std::span<const TokenId> tokens);
  void penalize(const SamplingParams& params, std::span<const TokenCount> counts);
  bool in_row(TokenId token) const { return token >= 0 && token < std::ssize(logits_); }
  float at(TokenId token) const { return logits_[token]; }

  std::span<float> logits_;
  std::vector<std::pair<TokenId, float>> originals_;  // in order of the edits
};

}  // namespace caudal
