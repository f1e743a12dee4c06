#include "tests/coordinator/scheduler/world.h"

namespace caudal::sim {

namespace {

SchedulerConfig draw_config(std::mt19937_64& random) {
  const auto up_to = [&](std::int32_t n) { return 1 + static_cast<std::int32_t>(random() % n); };
  SchedulerConfig config;
  config.max_tokens_per_step = up_to(random() % 2 == 0 ? 8 : 64);
  config.max_num_sequences = up_to(8);
  config.max_waiting = 3 + up_to(12);
  config.max_plans_in_flight = random() % 4 == 0 ? 1 : 2;
  config.chunked_prefill = random() % 4 != 0;
  config.prefix_caching = random() % 8 != 0;
  config.prefix_key = {random(), random()};
  config.max_preemptions = up_to(4);
  config.oldest_every = static_cast<std::int32_t>(random() % 5);
  config.tenants.weights = {{"a", 3}};
  return config;
}

std::uint64_t salt_digest(const Request& request) {
  return request.cache_salt.empty() ? 1 : static_cast<std::uint64_t>(request.cache_salt[0]);
}

}  // namespace

World::World(std::uint64_t seed) : random_(seed), config_(draw_config(random_)), scheduler_(config_) {
  nodes_.resize(draw(1, 3));
  const std::int32_t max_context = draw(8, 160);  // of the model, so of all replicas
  std::vector<std::int32_t> windows{chance(30) ? draw(2, 60) : 0};
  if (chance(15)) windows.push_back(draw(2, 60));  // layers that see less than others
  if (chance(5)) windows.push_back(draw(2, 60));
  const auto reach = [](std::int32_t window) {
    return window == 0 ? std::numeric_limits<std::int32_t>::max() : window;
  };
  std::ranges::sort(windows, std::greater(), reach);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i].id = static_cast<ReplicaId>(i);
    nodes_[i].info.max_context_tokens = max_context;
    nodes_[i].info.kv_windows = windows;
  }
  if (chance(80)) join(nodes_[0]);
}

void World::step() {
  now_ += draw(0, 3);
  Node& node = any_node();
  const std::int32_t operation = draw(0, 99);
  if (operation < 10) {
    submit();
  } else if (operation < 12) {
    cancel();
  } else if (operation < 13) {
    if (chance(40)) lose(node);
  } else if (operation < 20) {
    if (node.epoch == 0 || chance(2)) join(node);
  } else if (operation < 24) {
    deliver_nonsense(node);
  } else if (operation < 26) {
    scheduler_.expire(now_);
  } else if (operation < 28) {
    forget_lost();
  } else if (operation < 40) {
    plan(node);
  } else if (operation < 50) {
    run(node);
  } else if (operation < 60) {
    deliver(node);
  } else {
    run(node);
    deliver(node);
    plan_all();
  }
  check();
}

void World::finish() {
  for (Node& node : nodes_) {
    if (node.epoch == 0) join(node);
  }
  while (!lost_.empty()) forget_lost();
  const auto num_live = [&] {
    const SchedulerStats stats = scheduler_.stats();
    return stats.num_waiting + stats.num_running + stats.num_leaving;
  };
  for (std::int32_t rounds = 0; num_live() > 0; ++rounds) {
    CHECK_MSG(rounds < 20000, "the cluster does not come to an end");
    plan_all();
    for (Node& node : nodes_) {
      run(node);
      if (chance(70)) deliver(node);
    }
    now_ += 1;
    check();
  }
  const auto has_transfers = [&](const Node& node) { return scheduler_.replica_stats(node.id).num_transfers > 0; };
  do {  // what is still on its way ends
    plan_all();
    for (Node& node : nodes_) {
      while (!node.plans.empty()) run(node);
      while (!node.results.empty()) deliver(node);
    }
  } while (std::ranges::any_of(nodes_, has_transfers));
  check();
  for (const auto& [id, client] : clients_) {
    for (const Stream& stream : client.streams) CHECK_MSG(!stream.is_live(), "a request was lost");
  }
  for (const Node& node : nodes_) CHECK_MSG(scheduler_.replica_stats(node.id).num_used_blocks == 0, "blocks leaked");
}

std::int32_t World::max_admissions() const {
  std::int32_t most = 0;
  for (const auto& [id, count] : num_admissions_) most = std::max(most, count);
  return most - static_cast<std::int32_t>(num_losses_);
}

// Most of them begin like others do.
std::vector<TokenId> World::draw_prompt() {
  std::vector<TokenId> prompt;
  const std::int32_t group = draw(0, 3);
  const std::int32_t num_shared = group < 3 ? draw(0, 70) : 0;
  for (std::int32_t i = 0; i < num_shared; ++i) prompt.push_back(static_cast<TokenId>(mix(group, i) % 32));
  for (std::int32_t i = draw(1, chance(70) ? 12 : 70); i > 0; --i) prompt.push_back(draw(0, 31));
  return prompt;
}

Request World::draw_request() {
  Request request;
  request.id = clients_.size() + 1;
  request.arrival = now_;
  request.prompt = draw_prompt();
  if (chance(30)) request.cache_salt = chance(50) ? "a" : "b";
  request.params.sampling.seed = random_();
  request.params.stop.max_tokens = draw(1, chance(40) ? 10 : 90);
  request.params.stop.min_tokens = draw(0, std::min(5, request.params.stop.max_tokens));
  if (chance(40)) request.params.stop.stop_token_ids = {draw(0, 31), draw(0, 31)};
  request.num_sequences = forks_ && chance(30) ? draw(2, 4) : 1;
  if (forks_ && chance(20)) {
    request.num_sequences = draw(1, 3);
    request.beam = toy_beam_params(request.num_sequences, random_());
  }
  if (!request.beam && chance(25)) request.params.num_prompt_logprobs = draw(0, 2);
  if (chance(50)) request.params.speculative = static_cast<SpeculativeMode>(draw(0, 3));
  request.priority = chance(80) ? 0 : draw(-1, 1);
  request.tenant = std::string(1, static_cast<char>('a' + draw(0, 2)));
  if (chance(15)) request.ttft_target_us = draw(1, 30);
  if (chance(15)) request.deadline = now_ + draw(0, 30);
  return request;
}

void World::submit() {
  if (clients_.size() >= 40) return;
  Client client;
  client.request = draw_request();
  const SchedulerStats before = scheduler_.stats();
  const RejectReason reason = scheduler_.submit(client.request, now_);
  if (reason != RejectReason::kNone) {
    CHECK(scheduler_.stats().num_accepted == before.num_accepted);
    return;
  }
  num_submitted_ += client.request.num_running();
  const ReplicaInfo& info = nodes_[0].info;
  for (Output& expected : expected_outputs(client.request, info.max_context_tokens, info.kv_windows)) {
    client.streams.push_back({std::move(expected), {}, false, false, {}});
    if (client.request.beam && client.streams.size() > 1) client.streams.back().num_cached = 0;  // told with the first
  }
  for (std::int32_t i = 0; i < client.request.num_running(); ++i) streams_.emplace_back(client.request.id, i);
  clients_.emplace(client.request.id, std::move(client));
}

void World::cancel() {
  if (clients_.empty()) return;
  auto& [id, client] = *std::next(clients_.begin(), draw(0, static_cast<std::int32_t>(clients_.size()) - 1));
  for (const TokenEvent& event : scheduler_.take_events()) receive(event);
  if (chance(50)) {
    scheduler_.cancel(id, now_);
    for (Stream& stream : client.streams) stream.cancelled = true;
    return;
  }
  const std::int32_t index = draw(-1, client.request.num_sequences);  // at both ends: none of them
  scheduler_.cancel(id, index, now_);
  if (index >= 0 && index < client.request.num_sequences) client.streams[index].cancelled = true;
}

void World::join(Node& node) {
  if (node.epoch != 0) ++num_losses_;
  if (node.epoch != 0) lost_.push_back(node.epoch);
  for (const StepResult& result : node.results) outdated_.push_back(result);
  node.results.clear();
  node.plans.clear();
  node.info.num_blocks = draw(1, 14) * node.info.num_kv_groups();
  node.info.max_num_sequences = draw(1, 8);
  node.info.max_tokens_per_step = draw(1, 80);
  node.info.max_draft_tokens = chance(70) ? draw(0, 8) : 0;
  node.info.has_draft_model = chance(50);
  node.info.num_host_blocks = chance(85) ? draw(1, 30) * node.info.num_kv_groups() : 0;
  node.info.swap_block_ns = chance(85) ? 1 : draw(0, 4'000'000);  // else dearer than computing again, or unknown
  node.epoch = ++last_epoch_;
  node.computed.clear();
  node.worker.emplace(node.info);
  node.checker.emplace(config_, node.info, node.epoch);
  scheduler_.replica_joined(node.id, node.epoch, node.info, now_);
  for (const TokenEvent& event : scheduler_.take_events()) receive(event);
}

void World::lose(Node& node) {
  if (node.epoch == 0) return;
  while (!node.plans.empty()) run(node);  // on their way
  for (const StepResult& result : node.results) outdated_.push_back(result);
  node.results.clear();
  node.plans.clear();
  lost_.push_back(node.epoch);
  node.epoch = 0;
  ++num_losses_;
  scheduler_.replica_lost(node.id, now_);
}

void World::forget_lost() {
  if (lost_.empty()) return;
  scheduler_.replica_forgotten(lost_.front(), now_);
  lost_.pop_front();
}

bool World::plan(Node& node) {
  auto plan = scheduler_.plan(node.id, now_);
  if (!plan) return false;
  CHECK(node.epoch != 0);
  node.checker->sent(*plan);
  note_beams(node, *plan);
  for (const NewSequence& sequence : plan->new_sequences) {
    if (!sequence.is_beam) ++num_admissions_[sequence.sequence_id];
    check_cached(node, sequence, *plan);
  }
  digest_ = mix(digest_, node.checker->trace_digest());
  node.plans.push_back(std::move(*plan));
  return true;
}

void World::plan_all() {
  for (bool any = true; any;) {
    any = false;
    for (Node& node : nodes_) any |= plan(node);
  }
  check_work_conserving();
}

void World::run(Node& node) {
  if (node.plans.empty()) return;
  using WaitedFor = SimulatedWorker::WaitedFor;
  const bool is_followed = node.plans.size() > 1;
  const WaitedFor waited_for = is_followed && chance(80) ? WaitedFor::kNextPlan : WaitedFor::kTransfer;
  node.results.push_back(node.worker->run(node.plans.front(), waited_for));
  node.plans.pop_front();
}

void World::deliver(Node& node) {
  if (node.results.empty()) return;
  const StepResult result = node.results.front();
  node.results.pop_front();
  CHECK(scheduler_.apply(node.id, result, now_));
  node.checker->answered(result);
  note_computed(node, result);
  if (chance(10)) CHECK_MSG(!scheduler_.apply(node.id, result, now_), "an answer was taken twice");
}

void World::deliver_nonsense(Node& node) {
  if (node.results.size() > 1) CHECK_MSG(!scheduler_.apply(node.id, node.results.back(), now_), "overtaken");
  if (outdated_.empty()) return;
  CHECK_MSG(!scheduler_.apply(node.id, outdated_.front(), now_), "an answer of a past epoch was taken");
  outdated_.pop_front();
}

void World::note_beams(Node& node, const StepPlan& plan) {
  for (const NewSequence& sequence : plan.new_sequences) {
    if (!sequence.is_beam) continue;
    node.beams[sequence.slot] = sequence.sequence_id;
    beam_tokens_[sequence.sequence_id] = sequence.tokens;
  }
  for (const ScheduledSequence& scheduled : plan.scheduled) {
    if (scheduled.next_token) beam_tokens_.at(node.beams.at(scheduled.slot)).push_back(*scheduled.next_token);
  }
}

// What may be found from now on, under the sequence's salt.
void World::note_computed(Node& node, const StepResult& result) {
  for (const SequenceResult& entry : result.sequences) {
    const auto [request_id, index] = streams_.at(entry.sequence_id - 1);
    const Client& client = clients_.at(request_id);
    std::vector<TokenId> tokens = client.request.prompt;
    if (client.request.beam) {
      tokens = beam_tokens_.at(entry.sequence_id);
    } else {
      const std::vector<TokenId>& output = client.streams[index].expected.tokens;
      tokens.insert(tokens.end(), output.begin(), output.end());
    }
    std::uint64_t prefix = salt_digest(client.request);
    for (std::int32_t i = 0; i < entry.num_computed; ++i) {
      prefix = mix(prefix, tokens.at(i));
      if ((i + 1) % kBlockSize == 0) node.computed.insert(prefix);
    }
  }
}

void World::check_cached(const Node& node, const NewSequence& sequence, const StepPlan& plan) {
  const auto [request_id, index] = streams_.at(sequence.sequence_id - 1);
  Client& client = clients_.at(request_id);
  const bool is_stream = index < std::ssize(client.streams);
  if (is_stream && !client.streams[index].num_cached) {
    client.streams[index].num_cached = std::exchange(client.started, true) ? 0 : sequence.num_computed;
  }
  if (sequence.num_computed == 0) return;
  if (sequence.is_beam) {
    num_beam_moves_ += index > 0 ? 1 : 0;
    return;  // what it took over from whom the simulated worker compares with its tokens
  }
  const auto comes_back = [&](const TransferFromHost& transfer) {
    return std::ranges::count(sequence.blocks, transfer.copies.front().destination) > 0;
  };
  const bool is_from_host = std::ranges::any_of(plan.transfers_from_host, comes_back);
  num_from_host_ += is_from_host ? 1 : 0;
  const bool forked =
      sequence.num_computed + 1 == std::ssize(client.request.prompt) && sequence.tokens == client.request.prompt;
  if (forked && client.request.num_sequences > 1) {
    ++num_forks_;
    return;
  }
  CHECK(sequence.num_computed % kBlockSize == 0);
  if (!is_from_host) {
    num_tokens_hit_ += sequence.num_computed;
    CHECK(config_.prefix_caching || num_admissions_[sequence.sequence_id] > 1);
  }
  std::uint64_t prefix = salt_digest(client.request);
  for (std::int32_t i = 0; i < sequence.num_computed / kBlockSize * kBlockSize; ++i)
    prefix = mix(prefix, sequence.tokens[i]);
  CHECK_MSG(sequence.num_computed < kBlockSize || node.computed.contains(prefix),
            "found what nobody with this salt has computed");
}

bool World::fits(const Client& client, const ReplicaInfo& info) const {
  const auto num_prompt = static_cast<std::int32_t>(client.request.prompt.size());
  Demand demand{num_prompt, client.request.params.stop.max_tokens, num_prompt};
  if (client.request.beam) demand.num_together = client.request.num_running();
  return can_ever_fit(config_, info, demand);
}

void World::receive(const TokenEvent& event) {
  Client& client = clients_.at(event.request_id);
  Stream& stream = clients_.at(event.request_id).streams.at(event.sequence_index);
  CHECK_MSG(!stream.cancelled, "an event after the cancel");
  CHECK_MSG(!stream.has_ended, "an event after the end");
  const bool tells_prompt = !event.prompt_logprobs.empty();
  CHECK(!event.tokens.empty() || tells_prompt || event.finish_reason == FinishReason::kError);
  CHECK_MSG(sim::are_next_scores(client.request, client.num_told, event.prompt_logprobs), "wrong scores of a prompt");
  client.num_told += event.prompt_logprobs.size();
  num_scores_ += event.prompt_logprobs.size();
  CHECK_MSG(event.tokens.empty() || client.num_told == expected_scores(client.request).size(),
            "tokens before the prompt is told");
  if (stream.tokens.empty() && !event.tokens.empty()) CHECK(event.num_cached_tokens == *stream.num_cached);
  num_tokens_received_ += event.tokens.size();
  stream.tokens.insert(stream.tokens.end(), event.tokens.begin(), event.tokens.end());
  const auto& expected = stream.expected.tokens;
  CHECK_MSG(stream.tokens.size() <= expected.size() &&
                std::equal(stream.tokens.begin(), stream.tokens.end(), expected.begin()),
            "wrong tokens");
  stream.has_ended = event.finish_reason != FinishReason::kNone;
  for (const TokenId token : event.tokens) digest_ = mix(digest_, token);
  if (!stream.has_ended) return;
  digest_ = mix(digest_, static_cast<std::uint64_t>(event.finish_reason));
  if (client.request.beam && event.finish_reason != FinishReason::kError) ++num_searches_;
  if (event.reject == RejectReason::kDeadline) {
    CHECK(stream.tokens.empty() && *client.request.deadline < now_);
  } else if (event.reject == RejectReason::kTooLong || event.reject == RejectReason::kNoReplica) {
    for (const Node& node : nodes_) CHECK(node.epoch == 0 || !fits(client, node.info));
  } else {
    CHECK_MSG(event.finish_reason == stream.expected.finish_reason, "wrong end");
    CHECK_MSG(stream.tokens.size() == expected.size(), "ended too early");
  }
}

void World::check() {
  for (const TokenEvent& event : scheduler_.take_events()) receive(event);
  scheduler_.check_integrity();
  const SchedulerStats stats = scheduler_.stats();
  CHECK(stats.num_accepted == num_submitted_);
  CHECK(stats.num_generated_tokens == num_tokens_received_);
  CHECK(stats.num_leaving >= 0);
  std::uint64_t num_live = 0;
  std::uint64_t num_prompt_tokens = 0;
  for (const auto& [id, client] : clients_) {
    num_prompt_tokens += client.request.prompt.size();
    num_live += client.num_live();
  }
  CHECK(stats.num_prompt_tokens == num_prompt_tokens);
  CHECK_MSG(num_live == static_cast<std::uint64_t>(stats.num_waiting + stats.num_running + stats.num_leaving),
            "the scheduler and the clients disagree on who is still there");
}

// After full rounds of planning, a replica without a plan has nobody left to work for, except whom a busy
// replica with more of their prefix or with their KV in host memory is to have, and who waits to be forked.
void World::check_work_conserving() {
  const SchedulerStats stats = scheduler_.stats();
  const bool any_on_host = std::ranges::any_of(
      nodes_, [&](const Node& node) { return scheduler_.replica_stats(node.id).num_used_host_blocks > 0; });
  const bool any_busy = std::ranges::any_of(
      nodes_, [&](const Node& node) { return scheduler_.replica_stats(node.id).num_plans_in_flight > 0; });
  for (const Node& node : nodes_) {
    if (node.epoch == 0 || scheduler_.replica_stats(node.id).num_plans_in_flight > 0) continue;
    CHECK_MSG(scheduler_.replica_stats(node.id).num_running == 0, "a replica idles with sequences on it");
    if ((config_.prefix_caching || forks_ || any_on_host) && any_busy) continue;
    std::int32_t num_misfits = 0;
    for (const auto& [id, client] : clients_) {
      if (fits(client, node.info)) continue;
      num_misfits += client.num_live();
    }
    CHECK_MSG(stats.num_waiting <= num_misfits, "a replica idles while a sequence that fits it waits");
  }
}

}  // namespace caudal::sim
