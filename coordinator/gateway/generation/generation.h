// One client request from checked parameters to the last delta: the path both gateways share. The connection
// that asked owns it; destroying it cancels what still runs, which is all a vanished client needs.
#pragma once

#include <boost/json/fwd.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "coordinator/gateway/api/api_error.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/generation/best_of.h"
#include "coordinator/gateway/generation/choice.h"

namespace caudal {

class GatewayModels;
class Metrics;
class RequestService;
class TokenStream;
struct GatewayModel;

struct Usage {
  std::int64_t num_prompt_tokens = 0;
  std::int64_t num_generated_tokens = 0;
  std::int64_t num_cached_tokens = 0;  // of the prompts
  std::int64_t num_drafted = 0;        // draft tokens
  std::int64_t num_accepted = 0;       // draft tokens that were right
  bool reports_drafts = false;         // the client asked for speculation
};

// What every generation needs; all outlive it.
struct GenerationContext {
  const GatewayModels& models;
  RequestService& service;
  Metrics& metrics;
  std::int32_t max_logprobs = kDefaultMaxLogprobs;  // of each token; -1: any number
};

// Tokens of prompt and output together: what the model's replicas serve, or while there is none what a worker serves
// unless its operator or its memory says otherwise.
std::int32_t served_context_tokens(const RequestService& service, const GatewayModel& model);

class Generation {
 public:
  using Clock = std::chrono::steady_clock;

  Generation(const GenerationContext& context, const GatewayModel& model, ApiRequest request,
             Clock::time_point arrival);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Templates, tokenizes and checks lengths. On the work pool, before start().
  std::optional<ApiError> prepare();

  // Submits. `wake` is called on the engine thread when advance() has something to take; it must not block, and
  // whatever it touches must outlive it. An error means that nothing runs.
  std::optional<ApiError> start(std::function<void()> wake);

  // Takes what has come: deltas in order, per choice. An error ends everything (and cancels the rest).
  struct Progress {
    std::vector<ChoiceDelta> deltas;
    std::optional<ApiError> error;
  };
  Progress advance();

  bool finished() const { return num_unfinished_ == 0; }
  std::int32_t num_choices() const;  // that the client gets
  const ApiRequest& request() const { return request_; }
  const GatewayModel& model() const { return model_; }
  Usage usage() const;

  // Ends what runs; idempotent.
  void cancel();

 private:
  struct Part;  // one prompt: one engine request of n sequences

  std::optional<ApiError> prepare_chat(Part& part);
  std::optional<ApiError> prepare_part(std::size_t index, std::int32_t max_context);
  void keep_prompt(Part& part) const;
  std::optional<ApiError> fit_context(Part& part, std::int32_t max_context) const;
  Part* part_of(RequestId id);
  void apply(Part& part, const TokenEvent& event, Progress& progress);
  void measure(Part& part, const TokenEvent& event);
  void record_end(FinishReason reason);

  const GenerationContext context_;
  const GatewayModel& model_;
  const ApiRequest request_;
  const Clock::time_point arrival_;
  std::vector<Part> parts_;
  std::unordered_map<RequestId, std::size_t> part_by_id_;  // of parts_
  std::shared_ptr<const StopStrings> stops_;               // shared with the choices
  std::shared_ptr<const OutputPlan> plan_;                 // likewise; null where the output is nothing but text
  std::vector<std::unique_ptr<Choice>> choices_;           // part p, sequence s: p * best_of + s
  std::optional<BestOf> best_of_;                          // when they compete
  std::shared_ptr<TokenStream> stream_;                    // shared with the engine, which holds it as a TokenSink
  std::size_t num_unfinished_ = 0;                         // choices; 0 before start()
  bool first_token_seen_ = false;
  std::optional<ReplicaId> last_replica_;
  bool recorded_ = false;
};

// Body -> validated, templated and tokenized: all that happens before the engine hears of a request, on the work
// pool. `body` may be the error of its own parsing. Either a generation that can start, or why not.
struct Intake {
  std::unique_ptr<Generation> generation;
  std::optional<ApiError> error;
};
Intake take_request(const GenerationContext& context, Endpoint endpoint, Result<boost::json::value> body,
                    Generation::Clock::time_point arrival);

// For the jobs of the work pool: an exception of `work`, as when memory runs out, is this request's error, not the
// end of the process.
Intake contain(const std::function<Intake()>& work);

}  // namespace caudal
