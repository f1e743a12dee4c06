// Reads one call of a tool from text that arrives in pieces. What it finds depends on the text alone, not on the
// pieces; the work is linear in the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/gateway/tools/format/balance.h"
#include "coordinator/gateway/tools/format/output_format.h"
#include "coordinator/gateway/tools/known_tools.h"

namespace caudal {

struct ToolCall {
  std::string name;
  std::string arguments = "{}";    // JSON text of an object
  std::size_t content_before = 0;  // bytes of the parser's content that stand in front of it
};

enum class Match : std::uint8_t { kFull, kPartial, kNone };

// Compares `text` with a mark, whose white space may be any, up to 64 bytes in one place, or none. `end`: behind it in
// a full match.
Match match_mark(std::string_view text, std::string_view mark, std::size_t& end);

class CallReader {
 public:
  // `format` and `tools` outlive it. `call` is one of the format's. `held`: a bare object begins as a grammar knows it.
  CallReader(const ToolFormat& format, const std::vector<CallElement>& call, std::span<const KnownTool> tools,
             bool held);

  // `text` begins where the call does, and has only grown since the last time. `last`: no more will come; then a call
  // whose arguments are whole is one, though its end may be missing.
  Match advance(std::string_view text, bool last);

  // After a full match.
  std::size_t end() const { return position_; }
  // So far, whatever came of it.
  std::size_t num_read() const { return position_ + searched_ + (balance_ ? balance_->end() : 0); }
  ToolCall take() { return std::move(call_); }

 private:
  Match step(std::string_view text, bool last);
  Match literal(std::string_view text, bool last);
  Match name(std::string_view text, bool last);
  Match skip(std::string_view text, bool last);
  Match balanced(std::string_view text, bool last);
  Match parameters(std::string_view text, bool last);
  Match parameter(std::string_view text, bool last);
  Match parameter_key(std::string_view text, bool last);
  bool may_be_call(std::string_view object) const;
  bool take_object(std::string_view object);
  bool take_balanced(std::string_view value);
  void take_parameter(std::string_view value);
  bool has_known_name() const { return known() != nullptr; }
  const KnownTool* known() const;
  bool take_loose(std::string_view value);
  std::string closing_mark() const;
  bool arguments_done() const;

  const ToolFormat& format_;
  const std::vector<CallElement>& elements_;
  const std::span<const KnownTool> tools_;
  const bool held_;
  std::size_t element_ = 0;
  std::size_t position_ = 0;  // before this all is read
  std::optional<Balance> balance_;
  bool opened_ = false;             // the first parameter has begun
  std::optional<std::string> key_;  // of the parameter whose value is read
  bool key_of_text_ = false;        // its mark says that it is a string
  std::size_t searched_ = 0;        // behind position_: its end is not in this part of the value
  ToolCall call_;
};

}  // namespace caudal
