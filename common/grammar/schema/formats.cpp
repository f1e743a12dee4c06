// RFC 3339 (date, time, duration in appendix A), 3986 and 3987 (URIs), 5321 (email), 1123 (host names), 2673 and 4291
// (addresses), 4122 (UUID), 6570 (URI templates), 6901 (JSON pointers).
#include "common/grammar/schema/formats.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>

#include "common/check.h"

namespace caudal::grammar {
namespace {

constexpr std::size_t kMaxFormatInstructions = 100'000;

std::string date() {
  return "(?:(?:[1-9]\\d{3}|0[1-9]\\d{2}|00[1-9]\\d|000[1-9])-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|"
         "11)-(?:0[1-9]|[12]\\d|30)|"
         "02-(?:0[1-9]|1\\d|2[0-8]))|(?:\\d\\d(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)-"
         "02-29)";
}

// A leap second is at the end of a day in UTC, whose hour is another one with an offset of whole hours.
std::string leap_second() {
  std::string text = "(?:23:59:60(?:\\.\\d+)?[Zz]";
  for (int hours = 0; hours < 24; ++hours) {
    text += fmt::format("|{:02}:59:60(?:\\.\\d+)?\\+{:02}:00|{:02}:59:60(?:\\.\\d+)?-{:02}:00", (23 + hours) % 24,
                        hours, (47 - hours) % 24, hours);
    text += fmt::format("|{:02}:29:60(?:\\.\\d+)?\\+{:02}:30|{:02}:29:60(?:\\.\\d+)?-{:02}:30", (24 + hours) % 24,
                        hours, (47 - hours) % 24, hours);
  }
  return text + ")";
}

std::string time() {
  return "(?:(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d+)?(?:[Zz]|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)|" +
         leap_second() + ")";
}

std::string ipv4() {
  const std::string part = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  return fmt::format("(?:{}\\.){{3}}{}", part, part);
}

std::string ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  const std::string last = fmt::format("(?:{}:{}|{})", h, h, ipv4());
  std::string text = fmt::format("(?:(?:{}:){{6}}{}|::(?:{}:){{5}}{}", h, last, h, last);
  for (int before = 1; before <= 5; ++before) {  // groups before "::" at most
    text += fmt::format("|(?:{}(?::{}){{0,{}}})?::(?:{}:){{{}}}{}", h, h, before - 1, h, 5 - before, last);
  }
  return text + fmt::format("|(?:{}(?::{}){{0,5}})?::{}|(?:{}(?::{}){{0,6}})?::)", h, h, h, h, h);
}

std::string hostname() {
  const std::string label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  return fmt::format("{}(?:\\.{})*", label, label);
}

std::string email(const std::string& letters) {
  const std::string atom = fmt::format("[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{}-]+", letters);
  const std::string label = fmt::format("[A-Za-z0-9{}](?:[A-Za-z0-9{}-]*[A-Za-z0-9{}])?", letters, letters, letters);
  return fmt::format("(?:{}(?:\\.{})*|\"(?:[^\"\\\\]|\\\\.)*\")@(?:{}(?:\\.{})*|\\[(?:{}|IPv6:{})\\])", atom, atom,
                     label, label, ipv4(), ipv6());
}

// RFC 3986's grammar; `others` are the letters that RFC 3987 adds.
struct Uri {
  std::string pchar, user_info, name, authority, path_empty_or_absolute, relative, scheme, tail;

  // `privates` those that it adds to queries.
  Uri(const std::string& others, const std::string& privates) {
    const std::string plain = "A-Za-z0-9._~" + others + "!$&'()*+,;=-";
    const std::string percent = "%[0-9A-Fa-f]{2}";
    pchar = fmt::format("(?:[:@{}]|{})", plain, percent);
    user_info = fmt::format("(?:[:{}]|{})*", plain, percent);
    name = fmt::format("(?:[{}]|{})*", plain, percent);
    authority = fmt::format("//(?:{}@)?(?:\\[(?:{}|[vV][0-9A-Fa-f]+\\.[:{}]+)\\]|{})(?::\\d*)?(?:/{}*)*", user_info,
                            ipv6(), plain, name, pchar);
    path_empty_or_absolute = fmt::format("/(?:{}+(?:/{}*)*)?", pchar, pchar);
    relative = fmt::format("(?:[@{}]|{})+(?:/{}*)*", plain, percent, pchar);
    scheme = "[A-Za-z][A-Za-z0-9+.-]*:";
    tail = fmt::format("(?:\\?(?:{}|[/?{}])*)?(?:#(?:{}|[/?])*)?", pchar, privates, pchar);
  }
  std::string absolute() const {
    return fmt::format("{}(?:{}|{}|{}+(?:/{}*)*|){}", scheme, authority, path_empty_or_absolute, pchar, pchar, tail);
  }
  std::string reference() const {
    return fmt::format("(?:{}|(?:{}|{}|{}|){})", absolute(), authority, path_empty_or_absolute, relative, tail);
  }
};

std::string uri_template() {
  const std::string name = "(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*";
  const std::string variable = fmt::format("{}(?::[1-9]\\d{{0,3}}|\\*)?", name);
  return fmt::format("(?:[^\\x00-\\x20\"%<>\\\\^`{{|}}\\x7F]|%[0-9A-Fa-f]{{2}}|\\{{[+#./;?&=,!@|]?{}(?:,{})*\\}})*",
                     variable, variable);
}

std::string duration() {
  const std::string time = "T(?:\\d+H(?:\\d+M(?:\\d+S)?)?|\\d+M(?:\\d+S)?|\\d+S)";
  const std::string days = "(?:\\d+D|\\d+M(?:\\d+D)?|\\d+Y(?:\\d+M(?:\\d+D)?)?)";
  return fmt::format("P(?:{}(?:{})?|{}|\\d+W)", days, time, time);
}

using Formats = std::map<std::string, std::optional<std::string>, std::less<>>;

Formats expressions() {
  const std::string international = "\\xA0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF\\u{10000}-\\u{EFFFD}";
  const std::string hexadecimal = "[0-9A-Fa-f]";
  const std::string pointer = "(?:/(?:[^/~]|~[01])*)*";
  const Uri uri("", "");
  const Uri iri(international, "\\uE000-\\uF8FF\\u{F0000}-\\u{10FFFD}");
  const auto uuid = fmt::format("{}{{8}}-{}{{4}}-{}{{4}}-{}{{4}}-{}{{12}}", hexadecimal, hexadecimal, hexadecimal,
                                hexadecimal, hexadecimal);
  return {{"date", date()},
          {"time", time()},
          {"date-time", date() + "[Tt]" + time()},
          {"duration", duration()},
          {"email", email("")},
          {"idn-email", email("\\u0080-\\u{10FFFF}")},
          {"hostname", hostname()},
          {"ipv4", ipv4()},
          {"ipv6", ipv6()},
          {"uri", uri.absolute()},
          {"uri-reference", uri.reference()},
          {"iri", iri.absolute()},
          {"iri-reference", iri.reference()},
          {"uuid", uuid},
          {"uri-template", uri_template()},
          {"json-pointer", pointer},
          {"relative-json-pointer", "(?:0|[1-9]\\d*)(?:#|" + pointer + ")"},
          {"idn-hostname", std::nullopt},
          {"regex", std::nullopt}};
}

}  // namespace

Result<std::shared_ptr<const RegexProgram>> find_format(std::string_view name) {
  using Programs = std::map<std::string, std::shared_ptr<const RegexProgram>, std::less<>>;
  static const Programs programs = [] {
    Programs result;
    for (const auto& [format, expression] : expressions()) {
      if (!expression) continue;
      auto program = compile_regex(*expression, RegexExtent::kWhole, kMaxFormatInstructions);
      CHECK_MSG(program.ok(), format.c_str());
      result.emplace(format, std::make_shared<const RegexProgram>(std::move(program).value()));
    }
    return result;
  }();
  if (const auto found = programs.find(name); found != programs.end()) return found->second;
  if (name == "regex" || name == "idn-hostname") return Error{"this format is not supported", ""};
  return std::shared_ptr<const RegexProgram>();
}

}  // namespace caudal::grammar
