// Every message survives the trip unchanged; nothing malformed is accepted or crashes.
#include "common/wire.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "common/protobuf.h"
#include "proto/control.pb.h"
#include "tests/common/random_fields.h"

namespace caudal {
namespace {

namespace pb = google::protobuf;

StepPlan sample_plan() {
  return {.epoch = 7,
          .step_id = 9,
          .released = {3, 1},
          .new_sequences = {{.slot = 2,
                             .sequence_id = 99,
                             .tokens = {5, 6, 7},
                             .num_prompt_tokens = 2,
                             .num_computed = 1,
                             .blocks = {4},
                             .params = {.sampling = {.temperature = 0.5F,
                                                     .top_p = 0.9F,
                                                     .top_k = 40,
                                                     .min_p = 0.1F,
                                                     .repetition_penalty = 1.1F,
                                                     .presence_penalty = -0.5F,
                                                     .frequency_penalty = 0.25F,
                                                     .seed = 0xffffffffffffffffULL,
                                                     .num_logprobs = 5,
                                                     .logit_bias = {{1, -2.5F}, {8, 3.0F}},
                                                     .bad_words = {{7}, {8, 9}}},
                                        .stop = {.max_tokens = 10, .min_tokens = 2, .stop_token_ids = {0, 2}},
                                        .speculative = SpeculativeMode::kDraft},
                             .is_beam = true}},
          .transfers_to_host = {{.id = 4, .copies = {{6, 1}}}},
          .transfers_from_host = {{.id = 5, .copies = {{2, 7}, {3, 8}}}},
          .confirmed_transfers = {2, 3},
          .block_copies = {{4, 5}},
          .scheduled = {{.slot = 2, .num_tokens = 2, .new_blocks = {5}, .num_draft_tokens = 3},
                        {.slot = 0, .num_tokens = 1, .new_blocks = {}, .next_token = 0}}};
}

// `message` is what generated code makes of the encoding of `value`. A struct without fields on the page is described
// elsewhere.
template <typename T>
void expect_same(const T& value, const pb::Message& message);

template <typename T>
void expect_same(const T& value, const pb::Message& message, const pb::FieldDescriptor& field, int index = -1) {
  const pb::Reflection& reflection = *message.GetReflection();
  if constexpr (HasFields<T>) {
    expect_same(value, index < 0 ? reflection.GetMessage(message, &field)
                                 : reflection.GetRepeatedMessage(message, &field, index));
  } else if constexpr (StrongIdType<T>) {
    expect_same(value.value(), message, field, index);
  } else if constexpr (std::same_as<T, std::string>) {
    EXPECT_EQ(reflection.GetString(message, &field), value);
  } else if constexpr (std::same_as<T, float>) {
    EXPECT_EQ(reflection.GetFloat(message, &field), value);
  } else if constexpr (std::same_as<T, bool>) {
    EXPECT_EQ(reflection.GetBool(message, &field), value);
  } else if constexpr (std::same_as<T, std::int64_t>) {
    EXPECT_EQ(reflection.GetInt64(message, &field), value);
  } else if constexpr (std::same_as<T, std::uint64_t>) {
    EXPECT_EQ(index < 0 ? reflection.GetUInt64(message, &field) : reflection.GetRepeatedUInt64(message, &field, index),
              value);
  } else if constexpr (std::same_as<T, std::int32_t>) {
    EXPECT_EQ(index < 0 ? reflection.GetInt32(message, &field) : reflection.GetRepeatedInt32(message, &field, index),
              value);
  } else {
    EXPECT_EQ(reflection.GetUInt32(message, &field), static_cast<std::uint32_t>(value));
  }
}

template <typename T>
void expect_same(const std::optional<T>& value, const pb::Message& message, const pb::FieldDescriptor& field) {
  EXPECT_EQ(message.GetReflection()->HasField(message, &field), value.has_value());
  if (value) expect_same(*value, message, field);
}

template <typename T>
void expect_same(const std::vector<T>& values, const pb::Message& message, const pb::FieldDescriptor& field) {
  ASSERT_EQ(message.GetReflection()->FieldSize(message, &field), std::ssize(values));
  for (int i = 0; i < std::ssize(values); ++i) expect_same(values[i], message, field, i);
}

template <typename T>
void expect_same(const std::vector<std::vector<T>>& lists, const pb::Message& message,
                 const pb::FieldDescriptor& field) {
  ASSERT_EQ(message.GetReflection()->FieldSize(message, &field), std::ssize(lists));
  for (int i = 0; i < std::ssize(lists); ++i) {
    const pb::Message& inner = message.GetReflection()->GetRepeatedMessage(message, &field, i);
    expect_same(lists[i], inner, *inner.GetDescriptor()->FindFieldByNumber(1));
  }
}

template <typename T>
void expect_same(const T& value, const pb::Message& message) {
  const pb::Descriptor& page = *message.GetDescriptor();
  int number = 0;
  visit_fields(value, [&](std::string_view name, const auto& member) {
    const pb::FieldDescriptor* field = page.FindFieldByNumber(++number);
    if (page.field_count() == 0) return;
    ASSERT_NE(field, nullptr) << page.name() << " has no field " << number;
    EXPECT_EQ(field->name(), name) << page.name();
    expect_same(member, message, *field);
  });
  if (page.field_count() == 0) return;
  EXPECT_EQ(page.field_count(), number) << page.name();
}

template <typename Struct, typename Envelope, typename Page>
void expect_round_trips(RandomFields& random) {
  for (int i = 0; i < 200; ++i) {
    const Struct value = random.make<Struct>();
    const std::string bytes = encode(Envelope(value));
    Page page;
    ASSERT_TRUE(page.ParseFromString(bytes));
    std::vector<const pb::FieldDescriptor*> set;
    page.GetReflection()->ListFields(page, &set);
    ASSERT_EQ(set.size(), 1U);
    expect_same(value, page.GetReflection()->GetMessage(page, set[0]));

    Envelope back;
    ASSERT_TRUE(protobuf::Reader(bytes).one_of(back));
    EXPECT_TRUE(same_fields(std::get<Struct>(back), value));
    if (bytes.size() > 2) {
      EXPECT_FALSE(protobuf::Reader(std::string_view(bytes).substr(0, bytes.size() - 1)).one_of(back));
    }
    EXPECT_FALSE(protobuf::Reader(bytes + bytes).one_of(back)) << "two messages in a frame";
  }
}

template <typename... Structs>
void expect_all_round_trip(const std::variant<Structs...>& envelope, RandomFields random) {
  using Envelope = std::remove_cvref_t<decltype(envelope)>;
  using Page = std::conditional_t<std::same_as<Envelope, FromWorker>, control::FromWorker, control::ToWorker>;
  (expect_round_trips<Structs, Envelope, Page>(random), ...);
}

TEST(Wire, EveryMessageIsAsOnItsPageAndComesBack) {
  expect_all_round_trip(FromWorker(), RandomFields(1));
  expect_all_round_trip(ToWorker(), RandomFields(2));
}

TEST(Wire, APlanAndAResultPassTheChecks) {
  const StepPlan plan = sample_plan();
  const auto decoded = decode_to_worker(encode(ToWorker(plan)));
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(same_fields(std::get<StepPlan>(decoded.value()), plan));
  EXPECT_TRUE(decode_from_worker(encode(FromWorker(RandomFields(3).make<StepResult>()))).ok());
}

// Whoever speaks another version may send other fields behind it.
TEST(Wire, ARegisterOfAnotherVersionIsReadAsFarAsItsVersion) {
  const std::string later = {0x0a, 5, 0x08, 7, 0x7a, 1, 'x'};  // message 1 { field 1: 7; field 15: "x" }
  const auto decoded = decode_from_worker(later);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(std::get<Register>(decoded.value()).protocol_version, 7U);
  EXPECT_NE(control_protocol_version(), 7U);
}

struct Before {
  std::int32_t a = 0;
  std::vector<float> b{};
};
void visit_fields(Is<Before> auto& value, auto&& visit) { visit("a", value.a), visit("b", value.b); }
struct Renamed {
  std::int32_t a = 0;
  std::vector<float> c{};
};
void visit_fields(Is<Renamed> auto& value, auto&& visit) { visit("a", value.a), visit("c", value.c); }
struct Wider {
  std::int64_t a = 0;
  std::vector<float> b{};
};
void visit_fields(Is<Wider> auto& value, auto&& visit) { visit("a", value.a), visit("b", value.b); }
struct Swapped {
  std::vector<float> b{};
  std::int32_t a = 0;
};
void visit_fields(Is<Swapped> auto& value, auto&& visit) { visit("b", value.b), visit("a", value.a); }

TEST(Wire, OtherFieldsAreAnotherVersion) {
  const auto digest = [](auto value) { return FieldDigest(0).add(std::variant<decltype(value)>()).value(); };
  const std::set<std::uint32_t> digests = {digest(Before()), digest(Renamed()), digest(Wider()), digest(Swapped())};
  EXPECT_EQ(digests.size(), 4U);
  EXPECT_EQ(digest(Before()), digest(Before()));
}

TEST(Wire, RefusesWhatCannotBe) {
  const auto refused = [](auto spoil) {
    StepPlan plan = sample_plan();
    spoil(plan);
    return !decode_to_worker(encode(ToWorker(plan))).ok();
  };
  EXPECT_FALSE(refused([](StepPlan&) {}));
  EXPECT_TRUE(refused([](StepPlan& p) { p.released = {-1}; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].slot = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].tokens.clear(); }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].tokens[1] = -4; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].num_prompt_tokens = 4; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].num_computed = 3; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].blocks = {-2}; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.block_copies[0].source = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.transfers_to_host[0].copies[0].destination = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.transfers_from_host[0].copies[1].source = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.scheduled[0].num_tokens = 0; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.scheduled[0].new_blocks = {-7}; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.scheduled[0].num_draft_tokens = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].params.speculative = static_cast<SpeculativeMode>(9); }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].params.sampling.bad_words = {{}}; }));
  EXPECT_FALSE(decode_to_worker("").ok());
  EXPECT_FALSE(decode_from_worker("").ok());
  EXPECT_FALSE(decode_from_worker("GET / HTTP/1.1\r\n\r\n").ok());
}

TEST(Wire, MutatedMessagesNeverCrash) {
  std::mt19937 random(1);
  const std::string plan = encode(ToWorker(sample_plan()));
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = plan;
    for (unsigned n = random() % 4 + 1; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const auto decoded = decode_to_worker(bytes);
    if (!decoded.ok()) continue;
    if (const auto* p = std::get_if<StepPlan>(&decoded.value())) {
      for (const auto& scheduled : p->scheduled) EXPECT_GE(scheduled.slot, SlotId(0));
    }
  }
}

}  // namespace
}  // namespace caudal
