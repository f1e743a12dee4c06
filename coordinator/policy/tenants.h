// Tenants: who has been served how much, so that the waiting queue can be shared fairly. Each has a counter of
// served tokens over its weight, as in the Virtual Token Counter of Sheng et al., "Fairness in Serving Large
// Language Models" (arXiv 2401.00588): the tenant of the lowest counter goes next, a prompt token counts 1, a
// generated token 2, and who comes back from a pause starts no lower than the one served last, so that nobody
// saves up. Counters only rise. Owned by the scheduler; engine thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace caudal {

struct TenantConfig {
  std::map<std::string, std::int32_t> weights{};  // others have 1
  bool only_known = false;                        // others are refused
};

struct Tenant {
  static constexpr std::int64_t kOneToken = 1 << 20;  // units of service
  std::string name;
  std::uint64_t id = 0;  // in the order of appearance: ties are broken by it
  std::int32_t weight = 1;
  bool is_configured = false;
  std::int64_t token_cost = 0;  // of a prompt token: kOneToken / weight
  std::int64_t service = 0;
  std::int64_t service_seen = 0;  // its place among the waiting or the idle ones; may be outdated
  std::int32_t num_requests = 0;
  std::int32_t num_waiting = 0;  // sequences
  std::uint64_t num_prompt_tokens = 0;
  std::uint64_t num_generated_tokens = 0;
  std::uint64_t num_refused = 0;  // sequences that ended with an error

  void charge_prompt(std::int64_t num_tokens) {
    num_prompt_tokens += static_cast<std::uint64_t>(num_tokens);
    service += num_tokens * token_cost;
  }
  void charge_generated(std::int64_t num_tokens) {
    num_generated_tokens += static_cast<std::uint64_t>(num_tokens);
    service += 2 * num_tokens * token_cost;
  }
};

class Tenants {
 public:
  // Tenants that nobody configured are forgotten when they have no request, first those with the least to answer
  // for; so many are remembered.
  static constexpr std::size_t kMaxIdle = 4096;

  explicit Tenants(TenantConfig config);

  bool admits(const std::string& name) const { return !config_.only_known || config_.weights.contains(name); }
  // Of a new request; leave() when the request is forgotten. admits(name) holds.
  Tenant& enter(const std::string& name);
  void leave(Tenant& tenant);

  // Sequences of it begin or end to wait.
  void begin_waiting(Tenant& tenant, std::int32_t num_sequences = 1);
  void end_waiting(Tenant& tenant, std::int32_t num_sequences = 1);

  const std::map<std::string, Tenant>& all() const { return tenants_; }
  // Generated for tenants that are not remembered any more.
  std::uint64_t num_tokens_of_forgotten() const { return num_tokens_of_forgotten_; }

 private:
  using ByService = std::map<std::pair<std::int64_t, std::uint64_t>, Tenant*>;  // service_seen, id

  Tenant& add(const std::string& name);
  void raise_floor();
  void forget_idle();

  const TenantConfig config_;
  std::map<std::string, Tenant> tenants_;
  ByService waiting_;       // with sequences that wait
  ByService idle_;          // without requests, not configured
  std::int64_t floor_ = 0;  // nobody starts to wait with less
  std::uint64_t last_id_ = 0;
  std::uint64_t num_tokens_of_forgotten_ = 0;
};

}  // namespace caudal
