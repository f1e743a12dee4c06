// RequestService: the door between the gateways and the engine. Any thread; nothing here blocks.
// Implemented by Engine; gateway tests implement it with a script.
#pragma once

#include <memory>

#include "common/result.h"
#include "coordinator/request/request.h"

namespace caudal {

struct LoadReport;

// Receives a request's events on the engine thread. Must not block and must not call back.
// The service holds it (shared with the gateway's connection) until every sequence has finished.
class TokenSink {
 public:
  virtual ~TokenSink() = default;
  virtual void on_event(TokenEvent event) = 0;
};

struct ServiceStatus {
  bool ready = false;  // a token can be produced now: a replica is up and its steps make progress
  std::int32_t num_replicas = 0;
  std::int32_t num_running = 0;  // sequences
  std::int32_t num_waiting = 0;  // sequences
};

class RequestService {
 public:
  virtual ~RequestService() = default;

  // Ids are given by the service; the arrival is the caller's to write. An Error when the intake is full or shutting
  // down; everything later arrives at the sink, the first finish_reason != kNone per sequence being its last event.
  virtual Result<RequestId> submit(Request request, std::shared_ptr<TokenSink> sink) = 0;

  // No event follows for sequences that had not finished. Unknown ids are ignored.
  virtual void cancel(RequestId id) = 0;

  // As above for one of the n sequences; the others go on. Unknown indices are ignored.
  virtual void cancel(RequestId id, std::int32_t sequence_index) = 0;

  virtual ServiceStatus status() const = 0;
  // Of prompt and output together, on the model's roomiest replica; 0 while it has none.
  virtual std::int32_t max_context_tokens(ModelId model) const = 0;
  // Of a moment ago; never null.
  virtual std::shared_ptr<const LoadReport> load() const = 0;
};

}  // namespace caudal
