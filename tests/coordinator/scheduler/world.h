// World: a scheduler, some simulated replicas and clients under one seed. Everything that can go wrong
// between them does: cancels, deadlines, lost and returning replicas, pools of a few blocks, late, doubled,
// overtaking and outdated answers. CHECKs after every step; finish() lets the faults stop and drains.
#pragma once

#include <deque>
#include <map>
#include <random>
#include <set>

#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/simulated_worker.h"

namespace caudal::sim {

class World {
 public:
  explicit World(std::uint64_t seed);

  void step();    // one random operation, then all checks
  void finish();  // all replicas are back, no more faults: everything ends, pools are as at the start

  std::uint64_t digest() const { return digest_; }
  std::int32_t max_admissions() const;  // of one sequence, beyond those that losses explain
  SchedulerStats stats() const { return scheduler_.stats(); }
  std::uint64_t num_losses() const { return num_losses_; }
  std::uint64_t num_forks() const { return num_forks_; }
  std::uint64_t num_searches() const { return num_searches_; }      // with beams, to their end
  std::uint64_t num_beam_moves() const { return num_beam_moves_; }  // beams that went on from another
  std::uint64_t num_tokens_hit() const { return num_tokens_hit_; }  // in prefix caches
  std::uint64_t num_scores() const { return num_scores_; }          // of prompts' tokens
  std::uint64_t num_from_host() const { return num_from_host_; }    // sequences that came back from host memory

 private:
  struct Node {
    ReplicaId id;
    ReplicaInfo info;
    Epoch epoch = 0;  // 0: away
    std::optional<SimulatedWorker> worker;
    std::optional<PlanChecker> checker;
    std::deque<StepPlan> plans;          // sent, not run
    std::deque<StepResult> results;      // run, not delivered
    std::map<SlotId, SequenceId> beams;  // by slot
    std::set<std::uint64_t> computed;    // digests of salt and whole blocks that an answer has told of
  };
  struct Stream {
    Output expected;
    std::vector<TokenId> tokens;
    bool has_ended = false;
    bool cancelled = false;
    std::optional<std::int32_t> num_cached;  // of the prompt, in the first plan that named it

    bool is_live() const { return !has_ended && !cancelled; }
  };
  struct Client {
    Request request;  // with its prompt
    std::vector<Stream> streams;
    bool started = false;
    std::size_t num_told = 0;  // log-probabilities of the prompt that came

    // Sequences that the scheduler counts for it.
    std::int32_t num_live() const {
      const auto live = static_cast<std::int32_t>(std::ranges::count_if(streams, &Stream::is_live));
      return request.beam && live > 0 ? request.beam->width : live;
    }
  };

  // lowest .. highest, both included
  std::int32_t draw(std::int32_t lowest, std::int32_t highest) {
    return lowest + static_cast<std::int32_t>(random_() % static_cast<std::uint64_t>(highest - lowest + 1));
  }
  bool chance(std::int32_t percent) { return draw(1, 100) <= percent; }
  Node& any_node() { return nodes_[draw(0, static_cast<std::int32_t>(nodes_.size()) - 1)]; }

  Request draw_request();
  std::vector<TokenId> draw_prompt();
  void submit();
  void cancel();
  void join(Node& node);
  void lose(Node& node);
  void forget_lost();  // the one that was lost first
  bool plan(Node& node);
  void plan_all();
  void run(Node& node);
  void deliver(Node& node);
  void deliver_nonsense(Node& node);

  bool fits(const Client& client, const ReplicaInfo& info) const;
  void receive(const TokenEvent& event);
  void note_beams(Node& node, const StepPlan& plan);
  void note_computed(Node& node, const StepResult& result);
  void check_cached(const Node& node, const NewSequence& sequence, const StepPlan& plan);
  void check();
  void check_work_conserving();

  std::mt19937_64 random_;
  SchedulerConfig config_;
  bool forks_ = chance(70);  // some requests ask for more than one sequence, or search with beams
  Scheduler scheduler_;
  std::vector<Node> nodes_;
  std::map<RequestId, Client> clients_;
  std::deque<StepResult> outdated_;  // of epochs that are gone
  std::deque<Epoch> lost_;           // that may come back
  std::map<SequenceId, std::int32_t> num_admissions_;
  std::map<SequenceId, std::vector<TokenId>> beam_tokens_;   // as plans told them
  std::vector<std::pair<RequestId, std::int32_t>> streams_;  // by sequence id - 1
  Time now_ = 0;
  Epoch last_epoch_ = 0;
  std::uint64_t num_losses_ = 0;
  std::uint64_t num_submitted_ = 0;  // sequences
  std::uint64_t num_tokens_received_ = 0;
  std::uint64_t num_tokens_hit_ = 0;
  std::uint64_t num_scores_ = 0;
  std::uint64_t num_forks_ = 0;
  std::uint64_t num_searches_ = 0;
  std::uint64_t num_beam_moves_ = 0;
  std::uint64_t num_from_host_ = 0;
  std::uint64_t digest_ = 0;
};

}  // namespace caudal::sim
