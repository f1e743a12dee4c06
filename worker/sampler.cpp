#include "worker/sampler.h"

#include "worker/bad_words.h"

namespace caudal {
Result<std::unique_ptr<Sampler>> Sampler::create(Backend& backend, Communicator& group, std::int64_t vocab_size,
                                                 std::int64_t max_rows) {
  Result<std::unique_ptr<HostExchange>> exchange = HostExchange::create(backend, group, max_rows);
  if (!exchange) return exchange.error();
  return std::unique_ptr<Sampler>(new Sampler(backend, group, vocab_size, std::move(exchange).value()));
}

// As it would be if the drafts were the sequence's own: penalties count them, min_tokens and bad words too.
SamplingRow Sampler::row_of(const Draw& draw) {
  const SequenceRow& sequence = *draw.sequence;
  const auto num_drafts = static_cast<std::int32_t>(draw.drafts.size());
  SamplingRow row;
  row.params = &sequence.sampling;
  row.position = sequence.num_tokens() + num_drafts;
  row.counts = sequence.counts.all();
  if (num_drafts > 0 && sequence.sampling.has_penalties()) {
    TokenCounts& counts = counts_.emplace_back(sequence.counts);
    for (TokenId token : draw.drafts) counts.add_output(token);
    row.counts = counts.all();
  }
  if (sequence.num_output_tokens() + num_drafts < sequence.stop.min_tokens) row.banned = sequence.stop.stop_token_ids;
  if (!sequence.sampling.bad_words.empty()) {
    std::vector<TokenId>& banned = banned_.emplace_back(row.banned.begin(), row.banned.end());
    append_banned(sequence, draw.drafts, banned);
    row.banned = banned;
  }
  return row;
}

std::span<const SamplingOutput> Sampler::sample(const Tensor& logits, std::span<const Draw> draws) {
  outputs_.assign(draws.size(), {});
  if (draws.empty()) return outputs_;
  if (group_.rank() == 0) {
    rows_.clear();
    counts_.clear();
    banned_.clear();
    for (const Draw& draw : draws) rows_.push_back(row_of(draw));
    backend_.sample(logits, vocab_size_, rows_, outputs_);
  }
  if (group_.size() > 1) share_tokens();
  return outputs_;
}

void Sampler::share_tokens() {
  tokens_.clear();
  for (const SamplingOutput& output : outputs_) tokens_.push_back(output.valid ? output.token : -1);
  exchange_->broadcast(tokens_, 0);
  if (group_.rank() == 0) return;
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].token = tokens_[i];
    outputs_[i].valid = tokens_[i] >= 0;
  }
}

}  // namespace caudal
