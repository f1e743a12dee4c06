// Hostile templates end with an error, soon, and without using the stack or the memory up.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/coordinator/gateway/jinja/render.h"

namespace caudal::jinja {
namespace {

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

// The error's message; empty if the template renders.
std::string error_of(const std::string& source, const boost::json::object& variables = {}) {
  const Outcome outcome = render(source, variables);
  return outcome.ok ? "" : outcome.text;
}

constexpr char kSteps[] = "the chat template needs too many steps";
constexpr char kMemory[] = "the chat template needs too much memory";
constexpr char kOutput[] = "the chat template writes too much text";
constexpr char kNests[] = "the chat template nests too deeply";
constexpr char kCalls[] = "the chat template calls itself too deeply";

TEST(Bounds, Steps) {
  const std::string nested = "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
  EXPECT_EQ(error_of(nested), kSteps);
  EXPECT_EQ(error_of("{% for a in range(1000) %}{% set x = range(100000) | map('string') | list | sort %}{% endfor %}"),
            kSteps);
  EXPECT_EQ(error_of("{{ range(100001) }}"), "range() has more than 100000 items");
  EXPECT_EQ(error_of("{{ range(-9223372036854775807, 9223372036854775807) }}"), "range() has more than 100000 items");
}

TEST(Bounds, SharedValuesThatPrintLong) {
  const std::string bomb =
      "{% set ns = namespace(l=['x']) %}{% for i in range(40) %}{% set ns.l = [ns.l, ns.l, ns.l] %}{% endfor "
      "%}";
  EXPECT_FALSE(error_of(bomb + "{{ ns.l }}").empty());
  EXPECT_FALSE(error_of(bomb + "{{ ns.l | tojson }}").empty());
  EXPECT_EQ(error_of(bomb + "{{ ns.l == [ns.l[0], ns.l[1], 0] }}"), kSteps);
}

TEST(Bounds, Output) {
  EXPECT_EQ(error_of("{% for a in range(10000) %}{{ 'x' * 1000 }}{% endfor %}"), kOutput);
  EXPECT_EQ(error_of("{{ 'a' * 1000000000 }}"), kMemory);
  EXPECT_EQ(error_of("{{ 'abc' * 9000000000000000000 }}"), kMemory);
  EXPECT_EQ(error_of("{{ [1] * 1000000000 }}"), kMemory);
  EXPECT_EQ(error_of("{{ 'a'.center(1000000000) }}"), kMemory);
  EXPECT_EQ(error_of("{{ 'a'.zfill(1000000000) }}"), kMemory);
  EXPECT_EQ(error_of("{{ ('a' * 100000) | replace('a', 'b' * 100000) }}"), kMemory);
  EXPECT_EQ(error_of("{{ ('a' * 100000).replace('', 'b' * 100000) }}"), kMemory);
  EXPECT_FALSE(error_of("{{ '%1000000000d' % 1 }}").empty());
  EXPECT_EQ(
      error_of("{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"),
      kMemory);
  EXPECT_EQ(
      error_of("{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}"),
      kOutput);
}

TEST(Bounds, OutputLimitIsExact) {
  Limits limits = roomy();
  limits.max_output_bytes = 10;
  EXPECT_TRUE(render("12345{{ '67890' }}", {}, limits).ok);
  EXPECT_EQ(render("12345{{ '678901' }}", {}, limits).text, kOutput);
  EXPECT_EQ(render("12345678901", {}, limits).text, kOutput);
}

TEST(Bounds, Nesting) {
  for (const char* open : {"(", "[", "{1: ", "-", "not ", "a[", "f(", "1 if ", "a if b else "}) {
    EXPECT_FALSE(error_of("{{ " + repeated(open, 100000) + "1 }}").empty()) << open;
  }
  EXPECT_EQ(error_of("{{ " + repeated("(", 70) + "1" + repeated(")", 70) + " }}"), kNests);
  EXPECT_EQ(render("{{ " + repeated("(", 50) + "1" + repeated(")", 50) + " }}").text, "1");
  EXPECT_EQ(error_of(repeated("{% if 1 %}", 100000)), kNests);
  EXPECT_EQ(error_of(repeated("{% for a in b %}", 70) + repeated("{% endfor %}", 70)), kNests);
  EXPECT_EQ(render(repeated("{% if 1 %}", 60) + "x" + repeated("{% endif %}", 60)).text, "x");
  EXPECT_EQ(error_of("{{ a" + repeated(".b", 100000) + " }}"), "an expression nests too deeply");
  EXPECT_EQ(error_of("{{ a" + repeated("|trim", 100000) + " }}"), "an expression nests too deeply");
}

TEST(Bounds, LongChainsAreFlat) {
  EXPECT_EQ(render("{{ 0" + repeated(" + 1", 10000) + " }}").text, "10000");
  EXPECT_EQ(render("{{ ''" + repeated(" ~ 'a'", 10000) + " }}").text, repeated("a", 10000));
  EXPECT_EQ(render("{{ 1" + repeated(" and 1", 10000) + " }}").text, "1");
  EXPECT_EQ(render("{% if 0 %}" + repeated("{% elif 0 %}", 10000) + "{% else %}x{% endif %}").text, "x");
}

TEST(Bounds, Recursion) {
  EXPECT_EQ(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"), kCalls);
  EXPECT_EQ(error_of("{% macro f(x) %}" + repeated("{% if 1 %}", 50) + "{{ (((([[f(x)]])))) }}" +
                     repeated("{% endif %}", 50) + "{% endmacro %}{{ f(1) }}"),
            kCalls);
  EXPECT_EQ(error_of("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}"), kCalls);
  EXPECT_EQ(error_of("{% set ns = namespace(l=[]) %}{% for i in range(5000) %}{% set ns.l = [ns.l] %}{% endfor %}"),
            "values nest too deeply");
}

// Checked by the leak detector of the sanitizer build.
TEST(Bounds, CyclesAreFreed) {
  EXPECT_TRUE(render("{% set ns = namespace() %}{% set ns.self = ns %}{% set ns.list = [ns] %}").ok);
  EXPECT_TRUE(render("{% macro f() %}{% endmacro %}{% set g = [f] %}{% for i in [1, 2] %}{% macro h() %}{% "
                     "endmacro %}{% endfor %}")
                  .ok);
  EXPECT_TRUE(render("{% set ns = namespace() %}{% for i in [1] %}{% set ns.l = loop %}{{ loop.changed(loop) "
                     "}}{% endfor %}")
                  .ok);
}

TEST(Bounds, Time) {
  const auto begin = std::chrono::steady_clock::now();
  Limits limits;
  limits.max_steps = std::int64_t{1} << 60;
  const Outcome outcome =
      render("{% for a in range(100000) %}{% for b in range(100000) %}{% set c = a * b %}{% endfor %}{% endfor %}", {},
             limits);
  EXPECT_EQ(outcome.text, "the chat template takes too long");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));  // 100 ms on an idle machine
}

TEST(Bounds, OnlyPlainData) {
  for (const char* source :
       {"{% include 'a' %}", "{% import 'a' as b %}", "{% from 'a' import b %}", "{% extends 'a' %}"}) {
    EXPECT_NE(error_of(source).find("is not allowed"), std::string::npos) << source;
  }
  EXPECT_EQ(error_of("{{ ''.__class__.__mro__ }}"), "'__class__' is undefined");
  EXPECT_EQ(error_of("{{ range.__globals__ }}{{ range.__globals__.x }}"), "'__globals__' is undefined");
  EXPECT_EQ(error_of("{{ messages.append(1) }}", {{"messages", {1}}}), "'append' is undefined");
  EXPECT_EQ(error_of("{{ d.update({}) }}", {{"d", {{"update", 1}}}}), "'update' is undefined");
}

}  // namespace
}  // namespace caudal::jinja
