// The fields of a plain struct, listed once. A struct that travels between processes has a function beside it:
//
//   void visit_fields(Is<TokenLogprob> auto& entry, auto&& visit) {
//     visit("token", entry.token);
//     visit("logprob", entry.logprob);
//   }
//
// Encoding, decoding, the version of the protocol and the tests' random values all come from this list
// (common/protobuf.h, tests/common/random_fields.h). A new field goes at its end.
#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

namespace caudal {

// `Is<TokenLogprob> auto& entry` takes a TokenLogprob that is const or not.
template <typename T, typename Struct>
concept Is = std::same_as<std::remove_const_t<T>, Struct>;

namespace detail {
struct VisitNothing {
  void operator()(std::string_view, const auto&) const {}
};
}  // namespace detail

template <typename T>
concept HasFields = requires(T& value) { visit_fields(value, detail::VisitNothing{}); };

}  // namespace caudal
