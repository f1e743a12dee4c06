#include "coordinator/gateway/http/load_report_json.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "proto/gateway.pb.h"

namespace caudal {
namespace {

namespace json = boost::json;

// Divided, not multiplied by the inverse: so they print as 0.00003 would, not as 0.000029999999999999997.
double seconds(Time us) { return static_cast<double>(us) / 1e6; }

json::object replica_json(const ReplicaLoad& replica) {
  const ReplicaStats& stats = replica.stats;
  return {{"id", replica.id},
          {"running", stats.num_running},
          {"plans_in_flight", stats.num_plans_in_flight},
          {"blocks", stats.num_blocks},
          {"used_blocks", stats.num_used_blocks},
          {"cached_blocks", stats.num_cached_blocks},
          {"preemptions", stats.num_preemptions},
          {"decode_step_s", seconds(stats.decode_us)},
          {"prompt_token_s", static_cast<double>(stats.prompt_token_ns) / 1e9}};
}

json::object tenant_json(const TenantLoad& tenant) {
  json::object out{{"name", nullptr}};  // of all others together
  if (!tenant.name.empty()) out["name"] = tenant.name;
  out["weight"] = tenant.weight;
  out["requests"] = tenant.num_requests;
  out["waiting"] = tenant.num_waiting;
  out["generated_tokens"] = tenant.num_generated_tokens;
  return out;
}

void write(const ReplicaLoad& replica, gateway::Load::Replica& out) {
  const ReplicaStats& stats = replica.stats;
  out.set_id(replica.id);
  out.set_running(stats.num_running);
  out.set_plans_in_flight(stats.num_plans_in_flight);
  out.set_blocks(stats.num_blocks);
  out.set_used_blocks(stats.num_used_blocks);
  out.set_cached_blocks(stats.num_cached_blocks);
  out.set_preemptions(stats.num_preemptions);
  out.set_decode_step_s(seconds(stats.decode_us));
  out.set_prompt_token_s(static_cast<double>(stats.prompt_token_ns) / 1e9);
}

void write(const TenantLoad& tenant, gateway::Load::Tenant& out) {
  out.set_name(tenant.name);
  out.set_weight(tenant.weight);
  out.set_requests(tenant.num_requests);
  out.set_waiting(tenant.num_waiting);
  out.set_generated_tokens(tenant.num_generated_tokens);
}

}  // namespace

std::string load_json(const LoadReport& report) {
  json::array replicas, tenants;
  for (const ReplicaLoad& replica : report.replicas) replicas.push_back(replica_json(replica));
  for (const TenantLoad& tenant : report.tenants) tenants.push_back(tenant_json(tenant));
  json::object refused;
  for (std::size_t i = 1; i < kNumRejectReasons; ++i) {
    refused[reason_name(static_cast<RejectReason>(i))] = report.num_refused[i];
  }
  const QueueWait& wait = report.queue_wait;
  return json::serialize(json::object{{"ready", report.ready},
                                      {"server_load", report.num_running + report.num_waiting},
                                      {"running", report.num_running},
                                      {"waiting", report.num_waiting},
                                      {"max_waiting", report.max_waiting},
                                      {"oldest_wait_s", seconds(report.oldest_wait_us)},
                                      {"queue_wait_s",
                                       {{"count", wait.count},
                                        {"p50", seconds(wait.p50_us)},
                                        {"p90", seconds(wait.p90_us)},
                                        {"p99", seconds(wait.p99_us)}}},
                                      {"replicas", std::move(replicas)},
                                      {"tenants", std::move(tenants)},
                                      {"refused", std::move(refused)}});
}

std::string load_event(std::uint64_t tag, const LoadReport& report) {
  gateway::GatewayEvent event;
  event.set_tag(tag);
  gateway::Load& out = *event.mutable_load();
  out.set_ready(report.ready);
  out.set_running(report.num_running);
  out.set_waiting(report.num_waiting);
  out.set_max_waiting(report.max_waiting);
  out.set_oldest_wait_s(seconds(report.oldest_wait_us));
  out.mutable_queue_wait()->set_count(report.queue_wait.count);
  out.mutable_queue_wait()->set_p50(seconds(report.queue_wait.p50_us));
  out.mutable_queue_wait()->set_p90(seconds(report.queue_wait.p90_us));
  out.mutable_queue_wait()->set_p99(seconds(report.queue_wait.p99_us));
  for (const ReplicaLoad& replica : report.replicas) write(replica, *out.add_replicas());
  for (const TenantLoad& tenant : report.tenants) write(tenant, *out.add_tenants());
  for (std::size_t i = 1; i < kNumRejectReasons; ++i) {
    gateway::Load::Refusal& refusal = *out.add_refused();
    refusal.set_reason(std::string(reason_name(static_cast<RejectReason>(i))));
    refusal.set_count(report.num_refused[i]);
  }
  return event.SerializeAsString();
}

}  // namespace caudal
