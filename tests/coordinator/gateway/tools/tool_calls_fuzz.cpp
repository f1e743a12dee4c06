// libFuzzer's target for what models write: a byte for the form of calls, one for how the text is cut, and the text.
// The preset "fuzz" builds it, tests/nightly.sh runs it:
//   tool_calls_fuzz [libFuzzer's options] CORPUS
// Whatever the pieces are, the same comes out; arguments are JSON objects; text without marks is content as it is.
#include <fmt/core.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <string_view>

#include "common/text/unicode.h"
#include "coordinator/gateway/chat/chat_template.h"
#include "coordinator/gateway/tools/output_parser.h"
#include "tests/coordinator/gateway/tools/family_templates.h"

namespace {

using caudal::ChatTemplate;
using caudal::OutputFormat;
using caudal::OutputParser;
using caudal::ParsedOutput;
using caudal::ParserOptions;

void require(bool holds, const char* what) {
  if (holds) return;
  fmt::print(stderr, "{}\n", what);
  std::abort();
}

std::vector<OutputFormat> formats() {
  std::vector<OutputFormat> formats;
  for (const auto& family : caudal::test::kFamilies) {
    formats.push_back(ChatTemplate::parse(caudal::test::template_of(family)).value().output_format());
  }
  formats.push_back(ChatTemplate::parse(caudal::test::kHarmony).value().output_format());
  return formats;
}

std::string shown(const ParsedOutput& out) {
  std::string text = out.reasoning + '|' + out.content;
  for (const caudal::ToolCall& call : out.calls) text += '|' + call.name + call.arguments;
  return text;
}

ParsedOutput read(const OutputFormat& format, const ParserOptions& options, std::string_view text, std::size_t piece) {
  OutputParser parser(format, options);
  ParsedOutput out;
  for (std::size_t at = 0; at < text.size(); at += piece) parser.push(text.substr(at, piece), out);
  parser.finish(out);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  static const std::vector<OutputFormat> known = formats();
  const OutputFormat& format = known[data[0] % known.size()];
  const ParserOptions options{.tools = true,
                              .in_reasoning = data[1] % 2 == 1,
                              .known = {{"f", {"a"}, {"b"}}, {"get_weather", {"city"}, {"days"}}}};
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const ParsedOutput whole = read(format, options, text, text.size());
  const ParsedOutput pieces = read(format, options, text, 1 + data[1] / 2 % 16);
  require(shown(whole) == shown(pieces), "the pieces change what comes out");
  if (!caudal::is_valid_utf8(text)) return 0;  // tokens' texts are
  for (const caudal::ToolCall& call : whole.calls) {
    boost::system::error_code failed;
    const boost::json::value arguments = boost::json::parse(call.arguments, failed);
    require(!failed && arguments.is_object(), "arguments are no JSON object");
  }
  const bool plain = text.find_first_of("<[{tfg") == std::string_view::npos && !options.in_reasoning;
  require(!plain || whole.content == text, "text without marks is not content");
  return 0;
}
