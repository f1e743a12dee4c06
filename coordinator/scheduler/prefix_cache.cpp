#include "coordinator/scheduler/prefix_cache.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

Prefix PrefixCache::prefix(Sequence& sequence, const std::string& model_digest) const {
  const BlockHash root =
      prefix_root(key_, model_digest, MUTANT(salt_ignored, sequence.request->request.cache_salt, std::string()));
  return sequence.hashes.of(key_, root, sequence.tokens);
}

// What the sequence may take of it. Beams fork from each other behind their different tokens; where windows hide
// blocks, the first one that enters must still have all that its siblings see, so it takes the prompt's alone.
Prefix PrefixCache::usable_prefix(Sequence& sequence, const ReplicaState& replica) const {
  Prefix usable = prefix(sequence, replica.info().model_digest);
  const auto has_window = [](std::int32_t window) { return window != 0; };
  if (!sequence.group().are_sampled() && std::ranges::any_of(replica.info().kv_windows, has_window)) {
    const auto num_prompt_tokens = static_cast<std::size_t>(sequence.request->num_prompt_tokens);
    usable.tokens = usable.tokens.first(std::min(usable.tokens.size(), num_prompt_tokens));
  }
  return usable;
}

namespace {

bool has_begun(const Sequence& sequence) { return sequence.num_tokens() > sequence.request->num_prompt_tokens; }

// In full blocks, of the prompt but its last token.
std::int32_t num_shareable(const RequestState& request) {
  return (request.num_prompt_tokens - 1) / kBlockSize * kBlockSize;
}

// A running sibling on the replica that has all of the prompt but the last token, which the fork computes to
// sample from. Nothing: what the sequence itself has said already is nobody else's.
const Sequence* find_parent(const Sequence& sequence, const ReplicaState& replica) {
  const std::int32_t num_shared = sequence.num_tokens() - 1;
  if (num_shared < kBlockSize || has_begun(sequence)) return nullptr;
  for (const Sequence& sibling : sequence.request->sequences) {
    const Residence& residence = sibling.residence;
    const bool has_it = residence.num_computed >= MUTANT(fork_takes_more, num_shared, num_shared - 1) &&
                        replica.kv().can_fork(residence.table, num_shared);
    if (sibling.is_running() && residence.replica == replica.id() && has_it) return &sibling;
  }
  return nullptr;
}

}  // namespace

bool PrefixCache::shares_prompt(const Sequence& sequence) { return !has_begun(sequence); }

bool PrefixCache::is_under_way(const Sequence& sequence) {
  const auto computes_it = [&](const Sequence& sibling) {
    return sibling.is_running() && sibling.residence.num_computed < num_shareable(*sequence.request);
  };
  return shares_prompt(sequence) && std::ranges::any_of(sequence.request->sequences, computes_it);
}

bool PrefixCache::will_compute_for_siblings(const Sequence& sequence, const CachedPrefix& cached) {
  return sequence.request->sequences.size() > 1 && cached.num_tokens < num_shareable(*sequence.request);
}

CachedPrefix PrefixCache::probe(Sequence& sequence, const ReplicaState& replica) const {
  if (find_parent(sequence, replica) != nullptr) {
    const std::int32_t num_shared = sequence.num_tokens() - 1;
    return {.num_tokens = num_shared, .num_blocks = num_shared / kBlockSize, .num_free = 0};
  }
  CachedPrefix cached = enabled_ ? replica.kv().probe(usable_prefix(sequence, replica)) : CachedPrefix{};
  const HostCopy& host = sequence.host;
  if (host.exists() && host.replica == replica.id()) cached.num_tokens = std::max(cached.num_tokens, host.num_tokens);
  return cached;
}

std::vector<PrefixHolder> PrefixCache::find_holders(Sequence& sequence, const std::string& model_digest,
                                                    std::size_t max_holders) const {
  if (!enabled_) return {};
  return index_.find_holders(prefix(sequence, model_digest), max_holders, sequence.id);
}

std::vector<BlockCopy> PrefixCache::enter(Sequence& sequence, ReplicaState& replica) const {
  Residence& residence = sequence.residence;
  if (const Sequence* parent = find_parent(sequence, replica)) {
    residence.num_computed = sequence.num_tokens() - 1;
    std::optional<Fork> fork = replica.kv().fork(parent->residence.table, residence.num_computed);
    CHECK_MSG(fork.has_value(), "admitted without a block for the copy");
    residence.table = std::move(fork->table);
    return std::move(fork->copies);
  }
  if (!enabled_) return {};
  residence.table = replica.kv().match(usable_prefix(sequence, replica));
  residence.num_computed = replica.kv().capacity(residence.table);
  replica.counters().num_prefix_tokens_queried += sequence.num_tokens();
  replica.counters().num_prefix_tokens_hit += residence.num_computed;
  return {};
}

void PrefixCache::publish(Sequence& sequence, ReplicaState& replica) const {
  Residence& residence = sequence.residence;
  const bool has_full = residence.num_computed >= (residence.table.num_published + 1) * kBlockSize;
  if (enabled_ && has_full) {
    replica.kv().publish(
        residence.table, prefix(sequence, replica.info().model_digest),
        MUTANT(published_unanswered, residence.num_computed, std::min(sequence.max_computed(), sequence.num_tokens())));
  }
}

}  // namespace caudal
