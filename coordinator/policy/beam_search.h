// BeamSearch: which beams of a request go on, by what token, and which hypotheses are the best so far. Pure: knows
// nothing of blocks, slots or replicas. The rules are those of Hugging Face transformers (Graves, "Sequence
// Transduction with Recurrent Neural Networks", arXiv 1211.3711; length penalty after Wu et al., arXiv 1609.08144):
// of all continuations of all beams the `width` best that do not stop go on; one that stops becomes a hypothesis if
// it is itself among the `width` best. Owned by the request's state; engine thread.
#pragma once

#include <span>
#include <vector>

#include "common/types.h"
#include "coordinator/request/request.h"

namespace caudal {

struct Beam {
  std::vector<TokenId> tokens;                      // generated
  std::vector<std::vector<TokenLogprob>> logprobs;  // per token, where asked for: its own, then the most likely
  double sum = 0.0;                                 // of the tokens' log-probabilities
};

struct Hypothesis {
  Beam beam;
  double score = 0.0;
  FinishReason finish_reason = FinishReason::kNone;
};

// Of each beam, so that as many as there are beams neither stop nor are banned. `request.beam` is set.
std::int32_t num_candidates(const Request& request);

class BeamSearch {
 public:
  static constexpr std::int32_t kNone = -1;

  // `num_logprobs` as in SamplingParams.
  BeamSearch(const BeamParams& params, std::vector<TokenId> stop_token_ids, std::int32_t num_logprobs);

  // By position, 0 .. width - 1. Before the first advance() there is one, without tokens, in position 0.
  const std::vector<Beam>& beams() const { return beams_; }
  bool is_live(std::size_t position) const { return is_live_[position]; }

  // candidates[position], best first, are the most likely next tokens of each live beam: enough that `width` of them do
  // not stop, if there are so many. Nothing gets longer than `max_tokens`. Returns for each position which one its new
  // beam comes from (kNone: it has none); a beam that goes on does so in its position, and position 0 is never empty.
  // All kNone: the search is over.
  std::vector<std::int32_t> advance(std::span<const std::vector<TokenLogprob>> candidates, std::int32_t max_tokens);

  // The best `count` hypotheses, the best first: at the end.
  std::vector<Hypothesis> take_best(std::int32_t count);

 private:
  struct Continuation {
    std::int32_t position = 0;
    TokenLogprob next;
    double sum = 0.0;
  };

  std::vector<Continuation> rank(std::span<const std::vector<TokenLogprob>> candidates) const;
  Beam extended(const Continuation& continuation, std::span<const TokenLogprob> candidates) const;
  void keep(Beam beam, FinishReason reason);
  bool is_stop(TokenId token) const;
  bool is_over(double best_sum, std::int32_t num_tokens, std::int32_t max_tokens) const;
  double score(double sum, std::int32_t num_tokens) const;
  std::vector<std::int32_t> positions_for(std::span<const Continuation> chosen) const;

  const BeamParams params_;
  const std::vector<TokenId> stop_token_ids_;
  const std::int32_t num_logprobs_;
  std::vector<Beam> beams_;
  std::vector<bool> is_live_;
  std::vector<Hypothesis> hypotheses_;  // at most `width`, the best first
};

}  // namespace caudal
