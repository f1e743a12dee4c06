#include "coordinator/scheduler/prefix_cache.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"
#include "coordinator/kv/transfer_cost.h"

namespace caudal {

Prefix PrefixCache::prefix(Sequence& sequence, const std::string& model_digest) const {
  const std::string& salt = enabled_ ? sequence.request->request.cache_salt : std::to_string(sequence.id);
  const BlockHash root = prefix_root(key_, model_digest, MUTANT(salt_ignored, salt, std::string()));
  return sequence.hashes.of(key_, root, sequence.tokens);
}

// What the sequence may take of it. A prompt whose log-probabilities are not told yet is computed from where the next
// one comes from. Beams fork from each other behind their different tokens; where windows hide blocks, the first one
// that enters must still have all that its siblings see, so it takes the prompt's alone.
Prefix PrefixCache::usable_prefix(Sequence& sequence, const ReplicaState& replica) const {
  Prefix usable = prefix(sequence, replica.info().model_digest);
  if (MUTANT(untold_taken, sequence.must_tell_prompt(), false)) {
    const std::size_t num_scored = sequence.request->num_told - 1;
    usable.tokens = usable.tokens.first(std::min(usable.tokens.size(), num_scored));
  }
  const auto has_window = [](std::int32_t window) { return window != 0; };
  if (!sequence.group().are_sampled() && std::ranges::any_of(replica.info().kv_windows, has_window)) {
    const std::size_t num_prompt_tokens = sequence.request->num_prompt_tokens;
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
                        MUTANT(forked_before_arrival, !residence.is_arriving(), true) &&
                        replica.kv().can_fork(residence.table, num_shared);
    if (sibling.is_running() && residence.replica == replica.id() && has_it) return &sibling;
  }
  return nullptr;
}

}  // namespace

bool PrefixCache::shares_prompt(const Sequence& sequence) { return !has_begun(sequence); }

bool PrefixCache::is_under_way(const Sequence& sequence) {
  const auto computes_it = [&](const Sequence& sibling) {
    const Residence& residence = sibling.residence;
    return sibling.is_running() &&
           (residence.is_arriving() || residence.num_computed < num_shareable(*sequence.request));
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
  return is_findable(sequence) ? find(sequence, replica).cached : CachedPrefix{};
}

// Beams fork from each other's blocks as soon as they are entered, so theirs must not be on their way.
PrefixCache::Found PrefixCache::find(Sequence& sequence, const ReplicaState& replica) const {
  const KvManager& kv = replica.kv();
  const Prefix prefix = usable_prefix(sequence, replica);
  const Found on_device{kv.probe(prefix)};
  if (kv.host().num_published() == 0 || !sequence.group().are_sampled()) return on_device;
  const Found on_both{kv.probe(prefix, Tiers::kDeviceAndHost), Tiers::kDeviceAndHost};
  const TransferCost cost{.num_blocks = on_both.cached.num_from_host,
                          .num_tokens = on_both.cached.num_tokens - on_device.cached.num_tokens,
                          .block_ns = (replica.info().swap_block_ns + 1) / 2,  // one way
                          .prompt_token_ns = replica.step_budget().prompt_token_ns()};
  return cost.is_cheaper() ? on_both : on_device;
}

std::vector<PrefixHolder> PrefixCache::find_holders(Sequence& sequence, const std::string& model_digest,
                                                    std::size_t max_holders) const {
  if (!is_findable(sequence)) return {};
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
  if (!is_findable(sequence)) return {};
  const Tiers tiers = find(sequence, replica).tiers;
  Match match = replica.kv().match(usable_prefix(sequence, replica), tiers, enabled_);
  residence.table = std::move(match.table);
  residence.arrives = match.arrives;
  residence.num_computed = replica.kv().capacity(residence.table);
  ReplicaCounters& counters = replica.counters();
  counters.num_sequences_from_host += residence.is_arriving() ? 1 : 0;
  if (!enabled_) return {};
  counters.num_prefix_tokens_queried += sequence.num_tokens();
  counters.num_prefix_tokens_hit += residence.num_computed;
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

// Computed tokens in blocks that nobody else holds. Those may be found on the device later, but it is short of blocks,
// so most will have been handed out by then.
static std::int32_t num_lost_tokens(const Residence& residence, const KvManager& kv) {
  const auto is_shared = [&](BlockId block) { return block != kNoBlock && kv.pool().num_references(block) > 1; };
  std::int32_t num_lost = residence.num_computed;
  for (std::int32_t i = 0; (i + 1) * kBlockSize <= residence.num_computed; ++i) {
    const auto blocks = residence.table.blocks.begin() + std::ptrdiff_t{i} * kv.num_groups();
    if (std::any_of(blocks, blocks + kv.num_groups(), is_shared)) num_lost -= kBlockSize;
  }
  return num_lost;
}

void PrefixCache::save(Sequence& sequence, ReplicaState& replica) const {
  const Residence& residence = sequence.residence;
  KvManager& kv = replica.kv();
  // What is still arriving is in host memory, so it is not copied again.
  const bool is_computed = residence.num_computed >= kBlockSize && residence.num_computed < sequence.num_tokens();
  const bool may_save = replica.is_alive() && kv.host().num_blocks() > 0 && sequence.group().are_sampled();
  if (!is_computed || !may_save) return;
  const Prefix own = prefix(sequence, replica.info().model_digest);
  const std::vector<TransferSource<Tier::kDevice>> unsaved =
      kv.find_unsaved(residence.table, own, residence.num_computed);
  const TransferCost cost{.num_blocks = static_cast<std::int32_t>(unsaved.size()),
                          .num_tokens = num_lost_tokens(residence, kv),
                          .block_ns = replica.info().swap_block_ns,
                          .prompt_token_ns = replica.step_budget().prompt_token_ns()};
  if (unsaved.empty() || cost.num_blocks > kv.host().num_free() || !cost.is_cheaper()) return;
  kv.transfers().to_host(unsaved);
  kv.publish(sequence.residence.table, own, residence.num_computed);  // it may come back before they are there
  ++replica.counters().num_sequences_to_host;
}

}  // namespace caudal
