// Text of a model that arrives in pieces -> content, reasoning and calls of tools. All pieces together give the same
// whatever they were. A call comes out when it is whole: one that is cut off or cannot be read is content, and nothing
// is lost but marks and the white space around them. One choice's; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/gateway/tools/call_reader.h"
#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

struct ParsedOutput {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> calls;
};

// What one request wants of its output.
struct ParserOptions {
  bool tools = false;         // calls are looked for
  bool in_reasoning = false;  // the prompt has opened it
  bool held = false;          // by a grammar: what it would not see as a call is none
  std::vector<KnownTool> known{};
};

class OutputParser {
 public:
  // Both outlive it.
  OutputParser(const OutputFormat& format, const ParserOptions& options);

  // Appends to `out` what has become certain. All text together is valid UTF-8.
  void push(std::string_view text, ParsedOutput& out);
  void finish(ParsedOutput& out);
  // Whether a mark of reasoning would be nothing but text here.
  bool ignores(std::string_view mark) const;

 private:
  enum class Action : std::uint8_t { kCall, kReasoning, kContent, kSilence };
  enum class Mode : std::uint8_t { kContent, kReasoning, kCall, kBetween };
  struct Trigger {
    std::string mark;  // begins and ends with something visible
    Action action;
    const std::vector<CallElement>* call = nullptr;  // that it opens
    bool opens_block = false;
    bool only_at_start = false;
    bool takes_space_before = false;
    bool takes_space_behind = false;
  };

  void add_triggers();
  void add_trigger(const std::string& mark, Action action);
  void add_call_triggers(const std::vector<CallElement>& call, const std::string& block_open);
  void add_name_triggers(const std::vector<CallElement>& call);
  void run(ParsedOutput& out);
  bool step(ParsedOutput& out);
  bool step_text(ParsedOutput& out);
  bool step_call(ParsedOutput& out);
  bool step_between();
  const Trigger* trigger_at(std::string_view text, bool& incomplete) const;
  bool applies(const Trigger& trigger) const;
  Match match(std::string_view text, const Trigger& trigger) const;
  void act(const Trigger& trigger);
  void append_text(std::string_view text, ParsedOutput& out);

  // What may be read in vain: behind this no more calls are looked for, so that the work stays linear.
  static constexpr std::size_t kMaxWastedBytes = std::size_t{1} << 20;

  const OutputFormat& format_;
  const ParserOptions& options_;
  std::vector<Trigger> triggers_;  // longer ones first
  std::vector<bool> starts_trigger_ = std::vector<bool>(256);
  Mode mode_ = Mode::kContent;
  bool last_ = false;         // no more will come
  bool at_start_ = true;      // no content since the last mark
  bool drops_space_ = false;  // the space in front of the next text belongs to a mark
  std::string buffer_;        // not decided on
  std::size_t call_at_ = 0;   // of buffer_: where the reader begins; in front of it is what opened the block
  std::size_t rejected_ = 0;  // of buffer_: what becomes text at least when it is no call
  std::string space_;         // at the end of the text so far; dropped when a mark follows
  std::size_t wasted_bytes_ = 0;
  std::optional<CallReader> reader_;
  const std::vector<CallElement>* call_ = nullptr;  // what reader_ reads
};

}  // namespace caudal
