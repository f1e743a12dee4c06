#include "coordinator/policy/tenants.h"

#include <algorithm>

namespace caudal {
Tenants::Tenants(TenantConfig config) : config_(std::move(config)) {
  for (const auto& [name, weight] : config_.weights) {
    Tenant& tenant = add(name);
    tenant.weight = weight;
    tenant.token_cost = Tenant::kOneToken / weight;
    tenant.is_configured = true;
  }
}

Tenant& Tenants::add(const std::string& name) {
  const auto [entry, is_new] = tenants_.try_emplace(name);
  if (is_new) {
    entry->second.name = name;
    entry->second.id = ++last_id_;
    entry->second.token_cost = Tenant::kOneToken;
  }
  return entry->second;
}

Tenant& Tenants::enter(const std::string& name) {
  Tenant& tenant = add(name);
  if (tenant.num_requests++ == 0) idle_.erase({tenant.service_seen, tenant.id});
  return tenant;
}

void Tenants::leave(Tenant& tenant) {
  if (--tenant.num_requests > 0 || tenant.is_configured) return;
  tenant.service_seen = tenant.service;
  idle_.emplace(std::pair(tenant.service_seen, tenant.id), &tenant);
  raise_floor();
  forget_idle();
}

void Tenants::begin_waiting(Tenant& tenant, std::int32_t num_sequences) {
  if (std::exchange(tenant.num_waiting, tenant.num_waiting + num_sequences) > 0) return;
  raise_floor();
  tenant.service = std::max(tenant.service, floor_);
  tenant.service_seen = tenant.service;
  waiting_.emplace(std::pair(tenant.service_seen, tenant.id), &tenant);
}

void Tenants::end_waiting(Tenant& tenant, std::int32_t num_sequences) {
  tenant.num_waiting -= num_sequences;
  if (tenant.num_waiting > 0) return;
  waiting_.erase({tenant.service_seen, tenant.id});
  if (waiting_.empty()) floor_ = std::max(floor_, tenant.service);
}

// To the least service of those that wait. Entries that turn out to be outdated move to their place.
void Tenants::raise_floor() {
  while (!waiting_.empty()) {
    const auto first = waiting_.begin();
    Tenant& tenant = *first->second;
    if (tenant.service_seen == tenant.service) {
      floor_ = std::max(floor_, tenant.service);
      return;
    }
    waiting_.erase(first);
    tenant.service_seen = tenant.service;
    waiting_.emplace(std::pair(tenant.service_seen, tenant.id), &tenant);
  }
}

// Who is not above the floor would start at the floor anyway.
void Tenants::forget_idle() {
  while (!idle_.empty() && (idle_.begin()->first.first <= floor_ || idle_.size() > kMaxIdle)) {
    const std::string name = idle_.begin()->second->name;
    num_tokens_of_forgotten_ += idle_.begin()->second->num_generated_tokens;
    idle_.erase(idle_.begin());
    tenants_.erase(name);
  }
}

}  // namespace caudal
