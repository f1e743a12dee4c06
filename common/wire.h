// The messages of the control link as plain structs, and their encoding (common/protobuf.h; the format is on the page
// proto/control.proto). Decoding accepts only well-formed messages: one message per frame, counts and enums in range.
// What the numbers refer to (slots, blocks, epochs) is checked by the receiver against its own tables.
//
// The worker's half of the contract:
// - Every rank connects a DEALER and sends Register at once, and again after RegisterAgain. Rank 0 makes the
//   replica_key at random and sends it to the other ranks over MPI; it stays the same for the process's life.
// - Welcome starts an epoch: plans queued before are dropped, the sequence table is emptied. Plans of another
//   epoch than the last Welcome are dropped. Plans run in step_id order; a gap ends the process.
// - Beat goes out every 500 ms from the link thread (steps_done and busy come from the step thread), also before
//   Welcome. When nothing was heard from the coordinator for the lease (10 s by default), the process exits with
//   kExitLeaseLost; so it does when no Welcome came in time at start, with kExitNoCoordinator.
// - Refused and Shutdown end the process: Refused with kExitRefused, Shutdown with 0.
// - Links may break between two ranks' receipt of one plan. So each rank first takes a plan from its own queue
//   (an idle rank waits there, not in MPI), then all ranks exchange their (epoch, step_id). A rank whose plan is of
//   an older epoch than another's drops it and takes its next one; different steps of one epoch end the ranks with
//   kExitOutOfStep.
// - Rank 0 alone sends StepResult. Any rank sends Failed before it exits because of an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/field_digest.h"
#include "common/fields.h"
#include "common/result.h"
#include "common/types.h"

namespace caudal {

// The version of the messages: a digest of all their fields, so that builds with other messages refuse each other.
std::uint32_t control_protocol_version();

// Exit codes of a worker, beside 0 and 1 (bad flags, model or memory).
inline constexpr int kExitNoCoordinator = 10;
inline constexpr int kExitLeaseLost = 11;
inline constexpr int kExitRefused = 12;
inline constexpr int kExitOutOfStep = 13;
inline constexpr int kExitStepFailed = 14;

// Instead of 1 where a launcher has set this variable: mpirun itself ends with 1 for many reasons that are not the
// worker's, as when it is told to end, when a rank dies, or when several start at once.
inline constexpr char kLaunchedVariable[] = "CAUDAL_LAUNCHED";
inline constexpr int kExitCannotStart = 15;

// First message of every rank. The replica exists once all ranks with one replica_key have registered.
struct Register {
  std::uint32_t protocol_version = control_protocol_version();  // the first field of every version
  std::string replica_key{};  // the same for all ranks of one replica, different between replicas
  std::uint32_t rank = 0;     // in the topology of `info`, which is the same for all of them
  ReplicaInfo info{};
  std::string build_version{};
};

void visit_fields(Is<Register> auto& message, auto&& visit) {
  visit("protocol_version", message.protocol_version);
  visit("replica_key", message.replica_key);
  visit("rank", message.rank);
  visit("info", message.info);
  visit("build_version", message.build_version);
}

// Progress of the thread that does the work; sent on a timer by the link thread.
struct Beat {
  Epoch epoch = 0;
  StepId steps_done = 0;  // the last step that ended in this epoch
  bool busy = false;      // a plan is waiting or running
};

void visit_fields(Is<Beat> auto& message, auto&& visit) {
  visit("epoch", message.epoch);
  visit("steps_done", message.steps_done);
  visit("busy", message.busy);
}

// The rank cannot go on; the replica leaves.
struct Failed {
  Epoch epoch = 0;
  std::string reason{};
};

void visit_fields(Is<Failed> auto& message, auto&& visit) {
  visit("epoch", message.epoch);
  visit("reason", message.reason);
}

using FromWorker = std::variant<Register, Beat, StepResult, Failed>;

// The replica is a member now; its tables start empty.
struct Welcome {
  Epoch epoch = 0;
  std::uint64_t worker_id = 0;
};

void visit_fields(Is<Welcome> auto& message, auto&& visit) {
  visit("epoch", message.epoch);
  visit("worker_id", message.worker_id);
}

struct Refused {
  std::string reason{};
};

void visit_fields(Is<Refused> auto& message, auto&& visit) { visit("reason", message.reason); }

struct LeaseBeat {
  Epoch epoch = 0;
};

void visit_fields(Is<LeaseBeat> auto& message, auto&& visit) { visit("epoch", message.epoch); }

struct Shutdown {
  std::string reason{};
};

void visit_fields(Is<Shutdown> auto& message, auto&& visit) { visit("reason", message.reason); }

// The coordinator does not know this link (it was restarted): register again.
struct RegisterAgain {};

void visit_fields(Is<RegisterAgain> auto&, auto&&) {}

using ToWorker = std::variant<Welcome, Refused, LeaseBeat, StepPlan, Shutdown, RegisterAgain>;

inline std::uint32_t control_protocol_version() {
  constexpr std::uint32_t kMeaning = 2;  // raised when a field has another meaning under the same name
  using SentByWorker = std::variant<ReplicaInfo, Beat, StepResult, Failed>;  // what Register has besides stays as it is
  static const std::uint32_t version = FieldDigest(kMeaning).add(SentByWorker()).add(ToWorker()).value();
  return version;
}

std::string encode(const FromWorker& message);
std::string encode(const ToWorker& message);
Result<FromWorker> decode_from_worker(std::string_view bytes);
Result<ToWorker> decode_to_worker(std::string_view bytes);

}  // namespace caudal
