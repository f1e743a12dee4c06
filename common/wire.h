// The messages of the control link as plain structs, and their encoding. wire.cpp is the only file that
// sees the generated code of control.proto. Decoding accepts only well-formed messages: one message per
// frame, counts and enums in range. What the numbers refer to (slots, blocks, epochs) is checked by the
// receiver against its own tables.
//
// The worker's half of the contract:
// - Every rank connects a DEALER and sends Register at once, and again after RegisterAgain. The replica_key is
//   drawn by rank 0 at random and told to the other ranks over MPI; it stays the same for the process's life.
// - Welcome starts an epoch: plans queued before are dropped, the sequence table is emptied. Plans of another
//   epoch than the last Welcome are dropped. Plans run in step_id order; a gap ends the process.
// - Beat goes out every 500 ms from the link thread (steps_done and busy come from the step thread), also before
//   Welcome. When nothing was heard from the coordinator for the lease (10 s by default), the process exits with
//   kExitLeaseLost; so it does when no Welcome came in time at start, with kExitNoCoordinator.
// - Refused and Shutdown end the process: Refused with kExitRefused, Shutdown with 0.
// - Links may break between two ranks' receipt of one plan. So each rank first takes a plan from its own queue
//   (an idle rank waits there, not in MPI), then all tell each other its (epoch, step_id). A rank whose plan is of
//   an older epoch than another's drops it and takes its next one; different steps of one epoch end the ranks with
//   kExitOutOfStep.
// - Rank 0 alone sends StepResult. Any rank sends Failed before it exits because of an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/result.h"
#include "common/types.h"

namespace caudal {

inline constexpr std::uint32_t kControlProtocolVersion = 1;

// Exit codes of a worker, beside 0 and 1 (bad flags, model or memory).
inline constexpr int kExitNoCoordinator = 10;
inline constexpr int kExitLeaseLost = 11;
inline constexpr int kExitRefused = 12;
inline constexpr int kExitOutOfStep = 13;
inline constexpr int kExitStepFailed = 14;

// First message of every rank. The replica exists once all ranks with one replica_key have registered.
struct Register {
  std::uint32_t protocol_version = kControlProtocolVersion;
  std::string replica_key;
  std::uint32_t rank = 0;
  std::uint32_t tensor_parallel_size = 1;
  ReplicaInfo info;
  std::string build_version;
};

// Progress of the thread that does the work; sent on a timer by the link thread.
struct Beat {
  Epoch epoch = 0;
  StepId steps_done = 0;
  bool busy = false;
};

// The rank cannot go on.
struct Failed {
  Epoch epoch = 0;
  std::string reason;
};

using FromWorker = std::variant<Register, Beat, StepResult, Failed>;

struct Welcome {
  Epoch epoch = 0;
  std::uint64_t worker_id = 0;
};
struct Refused {
  std::string reason;
};
struct LeaseBeat {
  Epoch epoch = 0;
};
struct Shutdown {
  std::string reason;
};
// The coordinator does not know this link (it was restarted): register again.
struct RegisterAgain {};

using ToWorker = std::variant<Welcome, Refused, LeaseBeat, StepPlan, Shutdown, RegisterAgain>;

std::string encode(const FromWorker& message);
std::string encode(const ToWorker& message);
Result<FromWorker> decode_from_worker(std::string_view bytes);
Result<ToWorker> decode_to_worker(std::string_view bytes);

}  // namespace caudal
