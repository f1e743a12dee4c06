// An engine that says what the test tells it to: each sequence gets the tokens of a text, a few per event, with a
// pause between events, on a thread of its own. Remembers what was submitted and cancelled.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/gateway/generation/gateway_models.h"
#include "coordinator/gateway/generation/generation.h"
#include "coordinator/metrics/metrics.h"
#include "coordinator/request/load_report.h"
#include "coordinator/request/request_service.h"
#include "tests/coordinator/gateway/byte_tokenizer.h"

namespace caudal {

class ScriptedService final : public RequestService {
 public:
  struct Script {
    std::string text = "Hello, world";
    std::size_t tokens_per_event = 1;
    std::chrono::microseconds pause{0};
    FinishReason finish = FinishReason::kStop;  // after the text; the end token comes last with kStop
    RejectReason reject = RejectReason::kNone;  // instead of any token
    bool endless = false;                       // repeats the text until cancelled, whatever max_tokens says
    bool silent = false;                        // waits to be cancelled
  };

  ScriptedService() : thread_([this] { run(); }) {}
  ~ScriptedService() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void set_script(Script script) {
    std::lock_guard lock(mutex_);
    script_ = std::move(script);
  }
  void set_ready(bool ready) {
    std::lock_guard lock(mutex_);
    ready_ = ready;
  }
  void refuse_submissions(bool refuse) {
    std::lock_guard lock(mutex_);
    refuse_ = refuse;
  }

  Result<RequestId> submit(Request request, std::shared_ptr<TokenSink> sink) override {
    std::lock_guard lock(mutex_);
    if (refuse_) return Error{"full", ""};
    const RequestId id = ++last_id_;
    request.id = id;
    running_[id] = {request, std::move(sink), script_, 0, 0, {}, {}, 0};
    submitted_.push_back(std::move(request));
    changed_.notify_all();
    return id;
  }

  void cancel(RequestId id) override {
    std::lock_guard lock(mutex_);
    if (running_.erase(id) > 0) cancelled_.insert(id);
    changed_.notify_all();
  }

  // A request counts as cancelled when all its sequences are.
  void cancel(RequestId id, std::int32_t sequence_index) override {
    {
      std::lock_guard lock(mutex_);
      const auto running = running_.find(id);
      if (running == running_.end()) return;
      running->second.silenced.insert(sequence_index);
      if (std::ssize(running->second.silenced) < running->second.request.num_sequences) return;
    }
    cancel(id);
  }

  ServiceStatus status() const override {
    std::lock_guard lock(mutex_);
    ServiceStatus status;
    status.ready = ready_;
    status.num_running = static_cast<std::int32_t>(running_.size());
    return status;
  }

  std::int32_t max_context_tokens(ModelId model) const override {
    std::lock_guard lock(mutex_);
    const auto known = max_context_tokens_.find(model);
    return known == max_context_tokens_.end() ? 4096 : known->second;
  }

  std::shared_ptr<const LoadReport> load() const override {
    std::lock_guard lock(mutex_);
    return std::make_shared<LoadReport>(load_);
  }
  void set_max_context(std::int32_t num_tokens, ModelId model = 0) {
    std::lock_guard lock(mutex_);
    max_context_tokens_[model] = num_tokens;
  }
  void set_load(LoadReport report) {
    std::lock_guard lock(mutex_);
    load_ = std::move(report);
  }

  std::vector<Request> submitted() const {
    std::lock_guard lock(mutex_);
    return submitted_;
  }
  std::size_t num_running() const {
    std::lock_guard lock(mutex_);
    return running_.size();
  }
  // Waits up to five seconds.
  bool wait_for_cancel(std::size_t count = 1) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return cancelled_.size() >= count; });
  }
  bool wait_for_running(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, kPatience, [&] { return running_.size() == count; });
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kPatience{30};  // of a loaded machine under a sanitizer
  struct Running {
    Request request;
    std::shared_ptr<TokenSink> sink;
    Script script;
    std::size_t position = 0;
    std::int32_t num_tokens = 0;
    Clock::time_point next;
    std::set<std::int32_t> silenced;  // cancelled sequences
    std::size_t num_told = 0;         // of the prompt
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      auto soonest = Clock::now() + std::chrono::milliseconds(50);
      std::vector<std::pair<std::shared_ptr<TokenSink>, TokenEvent>> events;
      for (auto next = running_.begin(); next != running_.end();) {
        const auto current = next++;
        Running& running = current->second;
        if (running.script.silent) continue;
        if (running.next > Clock::now()) {
          soonest = std::min(soonest, running.next);
          continue;
        }
        soonest = Clock::now();
        const bool ended = step(running, events);
        running.next = Clock::now() + running.script.pause;
        if (ended) running_.erase(current);
      }
      lock.unlock();
      for (auto& [sink, event] : events) sink->on_event(std::move(event));
      events.clear();
      lock.lock();
      changed_.notify_all();
      if (soonest > Clock::now() && !stopping_) changed_.wait_until(lock, soonest);
    }
  }

  // One event per sequence. True when the request is over.
  static bool step(Running& running, std::vector<std::pair<std::shared_ptr<TokenSink>, TokenEvent>>& events) {
    TokenEvent event;
    event.request_id = running.request.id;
    const Script& script = running.script;
    if (tell_prompt(running, event)) {
      events.emplace_back(running.sink, event);
      return false;
    }
    if (script.reject != RejectReason::kNone) {
      event.finish_reason = FinishReason::kError;
      event.reject = script.reject;
    }
    for (std::size_t i = 0; i < script.tokens_per_event && event.finish_reason == FinishReason::kNone; ++i) {
      if (running.position == script.text.size() && script.endless) running.position = 0;
      if (running.position == script.text.size()) {
        event.finish_reason = script.finish;
        if (script.finish == FinishReason::kStop) event.tokens.push_back(ByteTokenizer::kEnd);
        break;
      }
      event.tokens.push_back(static_cast<unsigned char>(script.text[running.position++]));
      const bool full = ++running.num_tokens == running.request.params.stop.max_tokens;
      if (full && !script.endless) event.finish_reason = FinishReason::kLength;
    }
    const SamplingParams& sampling = running.request.params.sampling;
    if (sampling.num_logprobs >= 0) add_logprobs(sampling, event);
    for (std::int32_t i = 0; i < running.request.num_sequences; ++i) {
      if (running.silenced.contains(i)) continue;
      event.sequence_index = i;
      events.emplace_back(running.sink, event);
    }
    return event.finish_reason != FinishReason::kNone;
  }

  // Token i of a prompt has the log-probability -i. In two pieces, before any other event.
  static bool tell_prompt(Running& running, TokenEvent& event) {
    const std::vector<TokenId>& prompt = running.request.prompt;
    const std::int32_t count = running.request.params.num_prompt_logprobs;
    const std::size_t end = running.num_told == 0 ? 1 + prompt.size() / 2 : prompt.size();
    if (count < 0 || running.num_told + 1 >= prompt.size()) return false;
    for (std::size_t i = 1 + running.num_told; i < end; ++i) {
      std::vector<TokenLogprob> entries{{prompt[i], -static_cast<float>(i)}};
      for (std::int32_t top = 0; top < count; ++top)
        entries.push_back({top + 'a', -0.25F * static_cast<float>(1 + top)});
      event.prompt_logprobs.push_back(std::move(entries));
    }
    running.num_told = end - 1;
    return true;
  }

  static void add_logprobs(const SamplingParams& sampling, TokenEvent& event) {
    const std::int32_t count = std::min(sampling.num_logprobs, 26);
    for (const TokenId token : event.tokens) {
      std::vector<TokenLogprob> entries{{token, -0.5F}};
      for (std::int32_t i = 0; i < count; ++i) entries.push_back({i + 'a', -1.0F - static_cast<float>(i)});
      for (const TokenId named : sampling.logprob_token_ids) entries.push_back({named, -9.0F});
      event.logprobs.push_back(entries);
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Script script_;
  LoadReport load_;
  std::map<RequestId, Running> running_;
  std::vector<Request> submitted_;
  std::set<RequestId> cancelled_;
  RequestId last_id_ = 0;
  bool ready_ = true;
  std::map<ModelId, std::int32_t> max_context_tokens_;
  bool refuse_ = false;
  bool stopping_ = false;
  std::thread thread_;  // last
};

// A model whose template writes <|role|>content<|end|> for each message.
inline ModelContext byte_model() {
  ModelContext model;
  model.served_name = "byte-model";
  model.tokenizer = std::make_shared<ByteTokenizer>();
  model.card.vocab_size = ByteTokenizer::kVocabSize;
  model.card.rope.max_position = 2000;
  model.card.eos_token_ids = {ByteTokenizer::kEnd};
  model.chat_template = ChatTemplate::parse(
                            "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>"
                            "{{ message.content or '' }}<|end|>{% endfor %}"
                            "{% if add_generation_prompt %}<|assistant|>{% endif %}")
                            .value();
  return model;
}

inline std::vector<ModelContext> only(ModelContext model) {
  std::vector<ModelContext> models;
  models.push_back(std::move(model));
  return models;
}

}  // namespace caudal
