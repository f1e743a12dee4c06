// The messages of the control link as plain structs, and their encoding. wire.cpp is the only file that
// sees the generated code of control.proto. Decoding accepts only well-formed messages: one message per
// frame, counts and enums in range. What the numbers refer to (slots, blocks, epochs) is checked by the
// receiver against its own tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/result.h"
#include "common/types.h"

namespace caudal {

inline constexpr std::uint32_t kControlProtocolVersion = 1;

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
