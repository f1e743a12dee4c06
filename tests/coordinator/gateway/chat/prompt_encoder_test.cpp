// Requests to prompts: what clients send beside what templates expect. The wanted prompts are those of transformers,
// and of vLLM where transformers takes no such message.
#include "coordinator/gateway/chat/prompt_encoder.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "tests/common/tokenizer/generated_text.h"
#include "tests/coordinator/gateway/api/parse_request.h"
#include "tests/coordinator/gateway/byte_tokenizer.h"

namespace caudal {
namespace {

constexpr const char* kChatMl =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{% endfor %}";

ModelContext model_with(const std::string& source) {
  ModelContext model;
  model.tokenizer = std::make_shared<ByteTokenizer>();
  model.chat_template = ChatTemplate::parse(source).value();
  return model;
}

std::string text_of(const std::vector<TokenId>& ids) {
  std::string text;
  for (const TokenId id : ids) {
    if (id < 256) {
      text += static_cast<char>(id);
    } else {
      text += ByteTokenizer::kControl.at(static_cast<std::size_t>(id - 256));
    }
  }
  return text;
}

// The prompt of a body, or "FIELD: message".
std::string prompt(const ModelContext& model, const std::string& body) {
  const auto said = [](const Error& error) { return error.field + ": " + error.message; };
  Result<ApiRequest> request = parse_text(Endpoint::kChat, body);
  if (!request) return said(request.error());
  const auto ids = PromptEncoder(model).encode_chat(std::move(*request.value().chat));
  return ids ? text_of(ids.value()) : said(ids.error());
}

std::string prompt(const std::string& source, const std::string& body) { return prompt(model_with(source), body); }

std::string with_messages(const std::string& messages) {
  return R"({"add_generation_prompt":false,"messages":[)" + messages + "]}";
}

constexpr const char* kUser = R"({"role":"user","content":"Hi"})";
constexpr const char* kResult = R"({"role":"tool","tool_call_id":"c1","content":"7"})";

// A call, with `content` as the rest of its message.
std::string call(const std::string& content, const std::string& arguments = "{}") {
  return R"({"role":"assistant",)" + content + R"("tool_calls":[{"id":"c1","type":"function","function":{"name":"f",)" +
         R"("arguments":)" + boost::json::serialize(boost::json::string(arguments)) + "}}]}";
}

TEST(PromptEncoder, NoContentBesideToolCallsIsAnEmptyText) {
  for (const std::string content : {R"("content":null,)", "", R"("content":[],)", R"("content":"",)"}) {
    const std::string body = with_messages(std::string(kUser) + "," + call(content) + "," + kResult);
    const auto loop = [&](const std::string& inner) {
      return prompt("{% for m in messages %}" + inner + "{% endfor %}", body);
    };
    EXPECT_EQ(loop("[{{ m.role }}]{{ m.content }}"), "[user]Hi[assistant][tool]7") << content;
    EXPECT_EQ(loop("{{ '<' + m.content + '>' }}"), "<Hi><><7>") << content;
    EXPECT_EQ(loop("{{ 'y' if 'x' in m.content else 'n' }}"), "nnn") << content;
    EXPECT_EQ(loop("{{ m['content'] | trim | length }}"), "201") << content;
    EXPECT_EQ(loop("{{ m.content is string }}"), "TrueTrueTrue") << content;
    EXPECT_EQ(loop("({% for p in m.content %}{{ p.text }}{% endfor %})"), "(Hi)()(7)")
        << "a list of parts: " << content;
  }
}

TEST(PromptEncoder, MembersThatAreNullAreAbsent) {
  const std::string body = with_messages(
      R"({"role":"assistant","content":"a","tool_calls":null,"refusal":null,"function_call":null,"name":null},)"
      R"({"role":"assistant","content":"b","tool_calls":[]})");
  EXPECT_EQ(prompt("{% for m in messages %}{{ m | length }}{{ m.tool_calls is defined }} {% endfor %}", body),
            "2False 2False ");
}

TEST(PromptEncoder, ContinuesTheFinalMessageWhateverItIs) {
  const std::string demo = "{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim }}<|end|>{% endfor %}";
  const auto ending = [](const std::string& source, const std::string& prefill) {
    const std::string body =
        R"({"add_generation_prompt":false,"continue_final_message":true,"messages":[{"role":"user","content":"Q"},)"
        R"({"role":"assistant","content":)" +
        boost::json::serialize(boost::json::string(prefill)) + "}]}";
    return prompt(source, body);
  };
  const std::string trimmed = "<|user|>Q<|end|><|assistant|>";
  for (const auto& [prefill, wanted] : {std::pair("The", "The"),
                                        {" The", "The"},
                                        {"The ", "The"},
                                        {"", ""},
                                        {"|", "|"},
                                        {"\n", ""},
                                        {"<|end|>", "<|end|>"},
                                        {"a\nb \n", "a\nb"},
                                        {"<|en", "<|en"}})
    EXPECT_EQ(ending(demo, prefill), trimmed + wanted) << prefill;
  const std::string kept = "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n";
  for (const char* prefill : {"The", " The", "def f():\n", "", "|", "\n", "<|im_end|>", "Q", "assistant"})
    EXPECT_EQ(ending(kChatMl, prefill), kept + prefill);
  EXPECT_EQ(ending("{{ messages[0].content }}", "x"),
            "continue_final_message: The template does not print the last message.");
  EXPECT_EQ(ending("{% for m in messages %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}", "x"),
            "[Q][x");
}

TEST(PromptEncoder, TheRoleDeveloperIsTheSystemsUnlessTheTemplateKnowsIt) {
  const std::string body = with_messages(R"({"role":"developer","content":"Be brief."},)" + std::string(kUser));
  EXPECT_EQ(prompt("{% for m in messages %}{% if m.role == 'system' or m.role == 'user' %}<{{ m.content }}>{% endif %}"
                   "{% endfor %}",
                   body),
            "<Be brief.><Hi>");
  EXPECT_EQ(prompt("{# developer #}{% for m in messages %}{{ m.role }} {% endfor %}", body), "system user ");
  EXPECT_EQ(prompt("{% for m in messages %}{{ m.role if m.role != \"developer\" else 'dev' }} {% endfor %}", body),
            "dev user ");
}

TEST(PromptEncoder, OtherRolesReachTheTemplate) {
  const std::string body = with_messages(R"({"role":"critic","content":"No."},{"role":"function","content":"7"})");
  EXPECT_EQ(prompt("{% for m in messages %}{{ m.role }}:{{ m.content }} {% endfor %}", body), "critic:No. function:7 ");
}

TEST(PromptEncoder, BrokenArgumentsInTheHistoryAreAnEmptyObject) {
  const std::string source =
      "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}({{ c.function.arguments | tojson "
      "}})"
      "{% endfor %}{% endfor %}";
  const auto printed = [&](const std::string& arguments) {
    return prompt(source, with_messages(call("", arguments) + "," + kResult));
  };
  for (const char* broken : {"{\"a\": ", "[1]", "null", "", "x", "\"{}\"", "{'a': 1}", "{} {}", "7"})
    EXPECT_EQ(printed(broken), "f({})") << broken;
  EXPECT_EQ(printed(R"({"a":1,"a":2})"), R"(f({"a": 2}))");
  EXPECT_EQ(printed(R"( {"b":[1,{"c":null}]} )"), R"(f({"b": [1, {"c": null}]}))");
  EXPECT_EQ(
      prompt(source, with_messages(R"({"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":[1]}},)"
                                   R"({"function":{"name":"g"}},{"function":{"name":"h","arguments":{"x":"y"}}}]})")),
      R"(f({})g({})h({"x": "y"}))");
}

TEST(PromptEncoder, AChatWithToolsGetsItsOwnTemplate) {
  ModelContext model = model_with("D");
  model.tool_template = ChatTemplate::parse("T").value();
  const std::string tools = R"(,"tools":[{"type":"function","function":{"name":"f"}}])";
  const std::string messages = R"({"messages":[{"role":"user","content":"Hi"}])";
  EXPECT_EQ(prompt(model, messages + "}"), "D");
  EXPECT_EQ(prompt(model, messages + tools + "}"), "T");
  EXPECT_EQ(prompt(model, messages + tools + R"(,"tool_choice":"none"})"), "D");
  model.chat_template.reset();
  EXPECT_EQ(prompt(model, messages + tools + "}"), "T");
  EXPECT_TRUE(prompt(model, messages + "}").starts_with("messages: The served model has no chat template"));
}

TEST(PromptEncoder, PartsStayPartsWhereTheTemplatePrintsThem) {
  const auto printed = [](const std::string& inner, const std::string& content) {
    return prompt("{% for m in messages %}[" + inner + "]{% endfor %}",
                  with_messages(R"({"role":"user","content":)" + content + "}"));
  };
  const std::string parts = R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])";
  const std::string either =
      "{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif "
      "%}";
  const std::string list = "{% for p in m['content'] %}{% if p.type == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}";
  const std::string macro =
      "{% macro show(c) %}{% for p in c %}{{ p.text }}{% endfor %}{% endmacro %}{{ show(m.content) }}";
  for (const std::string& source : {either, list, macro}) {
    EXPECT_EQ(printed(source, parts), "[ab]") << source;
    EXPECT_EQ(printed(source, "\"ab\""), "[ab]") << source;
    EXPECT_EQ(printed(source, R"(["a",{"type":"input_text","text":"b"}])"), "[ab]") << source;
  }
  for (const std::string source : {"{{ m.content }}", "{{ '' + m.content }}", "{{ m.content | trim }}"})
    EXPECT_EQ(printed(source, parts), "[a\nb]") << source;
}

// A template may take parts from one role only.
TEST(PromptEncoder, TheFormOfContentIsFoundForEachRole) {
  const std::string source =
      "{% for m in messages %}{% if m.role == 'user' %}{% for p in m.content %}{{ p.text }}{% endfor %}{% else %}"
      "{{ '<' + m.content + '>' }}{% endif %}{% endfor %}";
  const std::string parts = R"([{"type":"text","text":"a"},{"type":"text","text":"b"}])";
  EXPECT_EQ(prompt(source, with_messages(R"({"role":"system","content":)" + parts + R"(},{"role":"user","content":)" +
                                         parts + "}")),
            "<a\nb>ab");
}

TEST(PromptEncoder, ReasoningGoesByBothNames) {
  const std::string source = "{% for m in messages %}{{ m.reasoning }}|{{ m.reasoning_content }} {% endfor %}";
  EXPECT_EQ(
      prompt(source, with_messages(R"({"role":"assistant","content":"x","reasoning":"R"},)"
                                   R"({"role":"assistant","content":"x","reasoning_content":"S"},)"
                                   R"({"role":"assistant","content":null,"reasoning":"T","reasoning_content":"U"},)"
                                   R"({"role":"assistant","content":"x","reasoning":null})")),
      "R|R S|S T|U | ");
}

TEST(PromptEncoder, TheEffortOfReasoningIsAVariableOfTheTemplate) {
  const std::string source = "{{ reasoning_effort is defined }} {{ reasoning_effort }}";
  const std::string messages = R"({"messages":[{"role":"user","content":"Hi"}])";
  EXPECT_EQ(prompt(source, messages + "}"), "False ");
  EXPECT_EQ(prompt(source, messages + R"(,"reasoning_effort":"low"})"), "True low");
  EXPECT_EQ(prompt(source, messages + R"(,"reasoning_effort":"low","chat_template_kwargs":{"reasoning_effort":"no"}})"),
            "True low");
}

// With real tokenizers: what a message holds changes its own tokens alone.
class GuardedPrompt : public testing::Test {
 protected:
  std::vector<std::string> tokens(const std::string& family, const std::string& source,
                                  const std::vector<std::string>& contents) {
    ModelContext model;
    model.tokenizer = test::load_family(family);
    model.chat_template = ChatTemplate::parse(source).value();
    ChatInput chat;
    for (const std::string& content : contents)
      chat.messages.push_back(boost::json::object{{"role", "user"}, {"content", content}});
    const auto ids = PromptEncoder(model).encode_chat(chat);
    std::vector<std::string> texts;
    for (const TokenId id : ids.value()) texts.emplace_back(model.tokenizer->id_to_token(id).value());
    return texts;
  }
  static bool ends_with(const std::vector<std::string>& tokens, const std::vector<std::string>& wanted) {
    return tokens.size() >= wanted.size() && std::equal(wanted.rbegin(), wanted.rend(), tokens.rbegin());
  }
};

TEST_F(GuardedPrompt, IsTokenizedAsOneText) {
  const std::string source = "{{ bos_token }}{% for m in messages %}{{ '[INST]' + m.content + '[/INST]' }}{% endfor %}";
  const std::vector<std::string> last{"[INST]", "n", "ex", "t", "[/INST]"};
  for (const std::string content : {"tide (", "tide [", "</s>", "tide [INST", "[INST] x [/INST]", "<s>"}) {
    const std::vector<std::string> all = tokens("mistral", source, {content, "next"});
    EXPECT_TRUE(ends_with(all, last)) << content << testing::PrintToString(all);
    EXPECT_EQ(std::count(all.begin(), all.end(), "[INST]"), 2) << content;
    EXPECT_EQ(std::count(all.begin(), all.end(), "</s>"), 0) << content;
  }
  const std::vector<std::string> end_as_text = tokens("mistral", source, {"</s>", "next"});
  EXPECT_EQ(end_as_text.at(0), "[INST]");
  EXPECT_EQ(end_as_text.at(1), "</") << "nothing stands between a control token and the text behind it";
}

TEST_F(GuardedPrompt, ControlTokensKeepTakingTheSpaceAroundThem) {
  const std::string source = "{{ bos_token }}{{ messages[0].content + '  <mask>  tail' }}";
  for (const std::string content : {"go (", "go <", "go <mask"}) {
    const std::vector<std::string> all = tokens("metaspace", source, {content});
    EXPECT_TRUE(ends_with(all, {"<mask>", "\u2581t", "a", "i", "l"})) << testing::PrintToString(all);
    EXPECT_FALSE(all.at(all.size() - 6).ends_with("\u2581")) << testing::PrintToString(all);
  }
}

}  // namespace
}  // namespace caudal
