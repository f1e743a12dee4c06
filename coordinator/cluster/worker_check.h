// What a worker may say: bounds of the numbers in its messages. A worker whose message is out of them is broken or
// lies, and its replica leaves; nothing behind this looks at such a number. Whether a result fits the plan that it
// answers is the scheduler's question. One place per message.
#pragma once

#include "common/result.h"
#include "common/wire.h"

namespace caudal {

Result<void> check(const Register& message);
// Of a replica that has said `info` of itself.
Result<void> check(const StepResult& result, const ReplicaInfo& info);

}  // namespace caudal
