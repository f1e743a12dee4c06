#include "coordinator/prefix_cache.h"

namespace caudal {

Prefix PrefixCache::prefix(Sequence& sequence, const Replica& replica) const {
  const BlockHash root = prefix_root(key_, replica.info.model_digest, sequence.request->request.cache_salt);
  return sequence.hashes.of(key_, root, sequence.tokens);
}

CachedPrefix PrefixCache::probe(Sequence& sequence, const Replica& replica) const {
  return enabled_ ? replica.kv.probe(prefix(sequence, replica)) : CachedPrefix{};
}

void PrefixCache::enter(Sequence& sequence, Replica& replica) const {
  if (!enabled_) return;
  Residence& residence = sequence.residence;
  residence.table = replica.kv.match(prefix(sequence, replica));
  residence.num_computed = static_cast<std::int32_t>(residence.table.blocks.size()) * kBlockSize;
  replica.num_prefix_tokens_queried += sequence.num_tokens();
  replica.num_prefix_tokens_hit += residence.num_computed;
}

void PrefixCache::publish(Sequence& sequence, Replica& replica) const {
  Residence& residence = sequence.residence;
  const bool has_full = residence.num_computed >= (residence.table.num_published + 1) * kBlockSize;
  if (enabled_ && has_full) {
    replica.kv.publish(residence.table, prefix(sequence, replica), residence.num_computed);
  }
}

}  // namespace caudal
