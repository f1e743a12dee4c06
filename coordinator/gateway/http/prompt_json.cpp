#include "coordinator/gateway/http/prompt_json.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "common/json/strict_json.h"
#include "coordinator/gateway/generation/token_bytes.h"

namespace caudal {

double finite(float logprob) { return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0; }

std::string token_ids_json(std::span<const TokenId> tokens) { return fmt::format("[{}]", fmt::join(tokens, ",")); }

std::string prompt_logprobs_json(const PromptDetails& prompt,
                                 const std::function<const std::string&(TokenId)>& bytes_of) {
  std::string out = "[null";
  const auto append = [&](const TokenLogprob& entry, const std::string& rank) {
    out += fmt::format(R"("{}":{{"logprob":{},"rank":{},"decoded_token":)", entry.token, finite(entry.logprob), rank);
    append_json_string(out, token_name(bytes_of(entry.token)));
    out += '}';
  };
  for (const std::vector<TokenLogprob>& entries : prompt.logprobs) {
    const std::span<const TokenLogprob> top = std::span(entries).subspan(1);
    const TokenId own = entries.front().token;
    const auto among = std::ranges::find(top, own, &TokenLogprob::token);
    out += ",{";
    append(entries.front(), among == top.end() ? "null" : std::to_string(among - top.begin() + 1));
    for (std::size_t i = 0; i < top.size(); ++i) {
      if (top[i].token == own) continue;
      out += ',';
      append(top[i], std::to_string(i + 1));
    }
    out += '}';
  }
  return out + ']';
}

}  // namespace caudal
