// Answers in the format of Anthropic's Messages API: one object, or its events. Text building only; belongs to one
// request, which has one choice.
#pragma once

#include <string>

#include "coordinator/gateway/http/answer_writer.h"

namespace caudal {

class AnthropicResponse final : public AnswerWriter {
 public:
  // `model` outlives it. `unique` makes the id: "msg_<unique>".
  AnthropicResponse(const ApiRequest& request, const GatewayModel& model, const std::string& unique);

  void append_events(const ChoiceDelta& delta, std::string& out) override;
  void append_end(const Usage& usage, std::string& out) override;
  void append_error(const ApiError& error, std::string& out) override;
  void collect(ChoiceDelta delta) override;
  std::string whole(const Usage& usage, std::int32_t num_choices) override;

 private:
  enum class Block : std::uint8_t { kNone, kText, kThinking, kCall };

  void append_start(const ChoiceDelta& delta, std::string& out);
  // The block that is open ends, unless it is of this kind.
  void open_block(Block block, std::string_view content_block, std::string& out);
  void close_block(std::string& out);
  void append_delta(std::string_view type, std::string_view member, std::string_view text, std::string& out) const;
  std::string stop_json() const;

  const GatewayModel& model_;
  const std::string id_;
  ChoiceDelta all_;  // what was collected; of a stream, how it ended
  bool started_ = false;
  bool failed_ = false;
  Block block_ = Block::kNone;
  int block_index_ = -1;
  std::int32_t call_index_ = -1;
};

// {"type":"error","error":{"type":...,"message":...}}
std::string anthropic_error_json(const ApiError& error);

}  // namespace caudal
