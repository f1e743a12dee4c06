#include "tests/bench/caudal_bench/caudal_bench_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "tests/bench/caudal_bench/caudal_bench_json.h"

namespace caudal::bench {
namespace {

namespace json = boost::json;

constexpr std::int32_t kLeastCap = 4;  // of --max-output-len

bool has_cap(const WorkloadOptions& options) {
  return options.lengths == "exponential" || options.lengths == "sharegpt";
}

std::int32_t total(const RequestShape& shape) { return shape.num_prompt_tokens + shape.num_output_tokens; }

// The option that makes the longest length `room`.
void shrink(std::int32_t& option, std::int32_t room, const WorkloadOptions& options) {
  const double stretch = options.lengths == "uniform" ? 1.0 + options.range : 1.0;
  option = std::min(option, static_cast<std::int32_t>(std::max(room, 0) / stretch));
}

Error too_long(const RequestShape& longest, std::int32_t max_context_tokens, const WorkloadOptions& options) {
  const std::string_view flags = options.lengths == "sharegpt" ? "--lengths, --max-output-len"
                                 : has_cap(options)            ? "--random-input-len, --max-output-len"
                                                               : "--random-input-len, --random-output-len";
  return {fmt::format("requests of up to {} prompt and {} output tokens (--lengths {}) do not fit in the context of {} "
                      "tokens that the server has; see {}",
                      longest.num_prompt_tokens, longest.num_output_tokens, options.lengths, max_context_tokens, flags),
          ""};
}

}  // namespace

Result<ServedModel> find_model(std::string_view models_json, const std::string& wanted) {
  boost::system::error_code failed;
  const json::value models = json::parse(models_json, failed);
  const json::value* data = failed ? nullptr : member(models, "data");
  const json::array* list = data != nullptr ? data->if_array() : nullptr;
  std::string names;
  for (const json::value& model : list != nullptr ? *list : json::array()) {
    const json::value* id = member(model, "id");
    if (id == nullptr || !id->is_string()) continue;
    const std::string name(id->get_string());
    names += names.empty() ? name : ", " + name;
    if (!wanted.empty() && name != wanted) continue;
    const json::value* context = member(model, "max_model_len");
    const bool says = context != nullptr && context->is_int64() && context->get_int64() > 0;
    return ServedModel{name,
                       says ? static_cast<std::int32_t>(std::min<std::int64_t>(context->get_int64(), 1 << 30)) : 0};
  }
  if (names.empty()) return Error{"the server names no model at /v1/models", "model"};
  return Error{fmt::format("the server has no {}; it has {}", wanted, names), "model"};
}

Result<std::string> fit_to_context(const AskedLengths& asked, std::int32_t max_context_tokens,
                                   WorkloadOptions& options) {
  const RequestShape wanted = longest_request(options);
  if (max_context_tokens == 0 || total(wanted) <= max_context_tokens) return std::string();
  const bool prompt_gives_way = !asked.prompt && options.lengths != "sharegpt";
  if (!asked.output) {
    const std::int32_t room = prompt_gives_way ? max_context_tokens / 2 : max_context_tokens - wanted.num_prompt_tokens;
    shrink(has_cap(options) ? options.max_output_tokens : options.mean_output_tokens, room, options);
  }
  if (prompt_gives_way) {
    const std::int32_t room = max_context_tokens - longest_request(options).num_output_tokens;
    shrink(options.mean_prompt_tokens, room, options);
  }
  const bool empty = options.mean_prompt_tokens < 1 || options.mean_output_tokens < 1 ||
                     (has_cap(options) && options.max_output_tokens < kLeastCap);
  const RequestShape longest = longest_request(options);
  if (empty || total(longest) > max_context_tokens) return too_long(wanted, max_context_tokens, options);
  return fmt::format(
      "The server has a context of {} tokens: up to {} prompt and {} output tokens instead of {} and {}.",
      max_context_tokens, longest.num_prompt_tokens, longest.num_output_tokens, wanted.num_prompt_tokens,
      wanted.num_output_tokens);
}

}  // namespace caudal::bench
