// What Cohere is sent for the requests of other dialects' clients.
#include "t/unit/provider_testing.hpp"

namespace llm::provider_testing {
namespace {

constexpr std::string_view kThinker = "command-a-reasoning-08-2025";

Sent chat(std::string_view messages, std::string_view more = {}, bool drop_params = false,
          std::string_view model = kThinker) {
    return send(kOpenAi, kCohere, model,
                R"({"model":"m","messages":[)" + std::string(messages) + "]" +
                    (more.empty() ? "" : ",") + std::string(more) + "}",
                drop_params);
}

Sent with(std::string_view more, bool drop_params = false, std::string_view model = kThinker) {
    return chat(R"({"role":"user","content":"Hi"})", more, drop_params, model);
}

Sent messages(std::string_view turns, std::string_view more = {}) {
    return send(kAnthropic, kCohere, kThinker,
                R"({"model":"m","max_tokens":9,"messages":[)" + std::string(turns) + "]" +
                    (more.empty() ? "" : ",") + std::string(more) + "}");
}

std::string resent(std::string_view turns) {
    return member(chat(turns).body, "messages");
}

const std::string kTool =
    R"({"type":"function","function":{"name":"f","description":"d","parameters":)"
    R"({"type":"object","properties":{"a":{}},"required":["a"]}}})";
const std::string kOther = R"({"type":"function","function":{"name":"g.h"}})";

TEST(CohereRequest, TextIsAStringAndSystemTextsAreOne) {
    EXPECT_EQ(chat(R"({"role":"developer","content":"S"},{"role":"system","content":[{"type":)"
                   R"("text","text":"T"}]},{"role":"user","content":[{"type":"text","text":"a"},)"
                   R"({"type":"text","text":"b"}]},{"role":"assistant","content":"c"},)"
                   R"({"role":"system","content":"late"},{"role":"user","content":"d"})")
                  .body,
              R"({"model":"command-a-reasoning-08-2025","messages":[)"
              R"({"role":"system","content":"S\n\nT"},{"role":"user","content":"a\n\nb"},)"
              R"({"role":"assistant","content":"c"},{"role":"system","content":"late"},)"
              R"({"role":"user","content":"d"}],"stream":false})");
}

TEST(CohereRequest, CallsAndResultsInTheirOrder) {
    EXPECT_EQ(
        resent(R"({"role":"user","content":"u"},{"role":"assistant","content":null,"tool_calls":[)"
               R"({"id":"c1","type":"function","function":{"name":"f","arguments":""}},)"
               R"({"id":"c2","type":"function","function":{"name":"g.h","arguments":"{\"a\":1}"}},)"
               R"({"id":"c3","type":"function","function":{"name":"f","arguments":"null"}}]},)"
               R"({"role":"tool","tool_call_id":"c2","content":"old"},)"
               R"({"role":"tool","tool_call_id":"c2","content":"two"},)"
               R"({"role":"tool","tool_call_id":"c1","content":"one"},)"
               R"({"role":"tool","tool_call_id":"cx","content":"stray"})"),
        R"([{"role":"user","content":"u"},{"role":"assistant","tool_calls":[)"
        R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},)"
        R"({"id":"c2","type":"function","function":{"name":"g.h","arguments":"{\"a\":1}"}},)"
        R"({"id":"c3","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
        R"({"role":"tool","tool_call_id":"c1","content":"one"},)"
        R"({"role":"tool","tool_call_id":"c2","content":"two"},)"
        R"({"role":"tool","tool_call_id":"c3","content":"Error: [no result]"}])");
}

TEST(CohereRequest, ThoughtsGoBackAsAPlanOrAThinkingPart) {
    EXPECT_EQ(resent(R"({"role":"assistant","reasoning_content":"Hm","content":"a"})"),
              R"([{"role":"assistant","content":[{"type":"thinking","thinking":"Hm"},)"
              R"({"type":"text","text":"a"}]}])");
    EXPECT_EQ(resent(R"({"role":"assistant","reasoning_content":"Hm","content":"a","tool_calls":[)"
                     R"({"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
                     R"({"role":"tool","tool_call_id":"c","content":"r"})"),
              R"([{"role":"assistant","content":"a","tool_plan":"Hm","tool_calls":[{"id":"c",)"
              R"("type":"function","function":{"name":"f","arguments":"{}"}}]},)"
              R"({"role":"tool","tool_call_id":"c","content":"r"}])");
}

TEST(CohereRequest, Gotcha57_ThoughtsThatAnotherSignedStayOut) {
    EXPECT_EQ(member(messages(R"({"role":"user","content":"u"},{"role":"assistant","content":[)"
                              R"({"type":"thinking","thinking":"Hm","signature":"c2ln"},)"
                              R"({"type":"redacted_thinking","data":"x"},)"
                              R"({"type":"text","text":"a"}]},{"role":"user","content":"v"})")
                         .body,
                     "messages"),
              R"([{"role":"user","content":"u"},{"role":"assistant","content":"a"},)"
              R"({"role":"user","content":"v"}])");
}

TEST(CohereRequest, ImagesAsAddressesAndDataUrls) {
    EXPECT_EQ(
        resent(R"({"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url",)"
               R"("image_url":{"url":"https://u/x.png","detail":"low"}},{"type":"image_url",)"
               R"("image_url":{"url":"data:image/jpg;base64,/9j/4AAQ"}}]})"),
        R"([{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url",)"
        R"("image_url":{"url":"https://u/x.png","detail":"low"}},{"type":"image_url",)"
        R"("image_url":{"url":"data:image/jpeg;base64,/9j/4AAQ"}}]}])");
}

TEST(CohereRequest, Gotcha24_ImagesOfResultsFollowInAUserMessage) {
    EXPECT_EQ(member(messages(R"({"role":"assistant","content":[{"type":"tool_use","id":"c",)"
                              R"("name":"f","input":{}}]},{"role":"user","content":[{"type":)"
                              R"("tool_result","tool_use_id":"c","is_error":true,"content":[)"
                              R"({"type":"text","text":"bad"},{"type":"image","source":{"type":)"
                              R"("base64","media_type":"image/png","data":"iVBORw0KGgo="}}]}]})")
                         .body,
                     "messages"),
              R"([{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":)"
              R"({"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":)"
              R"("Error: bad\n\n[image: see the following user message]"},{"role":"user",)"
              R"("content":[{"type":"image_url","image_url":{"url":)"
              R"("data:image/png;base64,iVBORw0KGgo="}}]}])");
}

// A document of text; `more` are further members.
std::string document(std::string_view text, std::string_view more) {
    return R"({"type":"document","source":{"type":"text","media_type":"text/plain","data":")" +
           std::string(text) + "\"}," + std::string(more) + "}";
}

TEST(CohereRequest, DocumentsAreTextUntilTheyAreToBeCited) {
    Sent sent =
        messages(R"({"role":"user","content":[)" + document("plain", R"("title":"T")") + "," +
                 document("cite me", R"("title":"C","context":"X","citations":{"enabled":true})") +
                 R"(,{"type":"text","text":"q"}]})");
    EXPECT_EQ(member(sent.body, "messages"), R"([{"role":"user","content":"T\nplain\n\nq"}])");
    EXPECT_EQ(member(sent.body, "documents"),
              R"([{"data":{"title":"C","context":"X","text":"cite me"}}])");
}

TEST(CohereRequest, DocumentsOfResultsStandInTheResult) {
    EXPECT_EQ(
        member(messages(R"({"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f",)"
                        R"("input":{}}]},{"role":"user","content":[{"type":"tool_result",)"
                        R"("tool_use_id":"c","content":[)" +
                        document("found", R"("title":"S","citations":{"enabled":true})") +
                        R"(,{"type":"text","text":"one"}]}]})")
                   .body,
               "messages"),
        R"([{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":)"
        R"({"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":[)"
        R"({"type":"text","text":"one"},{"type":"document","document":{"data":{"title":"S",)"
        R"("text":"found"}}}]}])");
}

// As a parser may keep it.
TEST(CohereRequest, SearchResultsAreDocuments) {
    ir::Request request;
    ir::Opaque result{DialectId::anthropic,
                      {"search_result"},
                      {R"({"type":"search_result","title":"S","source":"https://s","content":[)"
                       R"({"type":"text","text":"a"},{"type":"text","text":"b"}]})"}};
    request.turns.push_back({ir::Role::user, {{result}, {ir::Text{{"q"}}}}});
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    ASSERT_TRUE(kCohere.render_request(request, Target{}, arena, writer, notes));
    std::string body(out.view());
    EXPECT_EQ(member(body, "messages"), R"([{"role":"user","content":"q"}])");
    EXPECT_EQ(member(body, "documents"),
              R"([{"data":{"title":"S","url":"https://s","text":"a\n\nb"}}])");
}

TEST(CohereRequest, FilesAndSoundsAreRefusedByName) {
    constexpr std::string_view kPdf =
        R"({"role":"user","content":[{"type":"text","text":"x"},{"type":"file","file":{"filename":)"
        R"("a.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQ="}}]})";
    EXPECT_EQ(chat(kPdf).body, "refused file");
    Sent dropped = chat(kPdf, {}, true);
    EXPECT_EQ(member(dropped.body, "messages"), R"([{"role":"user","content":"x"}])");
    EXPECT_EQ(dropped.dropped, "file");
    EXPECT_EQ(chat(R"({"role":"user","content":[{"type":"file","file":{"filename":"a.txt",)"
                   R"("file_data":"data:text/plain;base64,aGk="}}]})")
                  .body,
              chat(R"({"role":"user","content":"a.txt\nhi"})").body);
    EXPECT_EQ(chat(R"({"role":"user","content":[{"type":"input_audio","input_audio":{"data":"x",)"
                   R"("format":"wav"}}]})")
                  .body,
              "refused input_audio");
}

TEST(CohereRequest, ToolsInTheShapeOfChat) {
    EXPECT_EQ(member(with("\"tools\":[" + kTool + "," + kOther + "]").body, "tools"),
              "[" + kTool +
                  R"(,{"type":"function","function":{"name":"g.h","parameters":)"
                  R"({"type":"object","properties":{}}}}])");
}

TEST(CohereRequest, ChoicesOfTools) {
    std::string tools = "\"tools\":[" + kTool + "," + kOther + "],\"tool_choice\":";
    auto choice = [&](std::string_view value) {
        Sent sent = with(tools + std::string(value));
        Document body(sent.body);
        return std::to_string(body.root()["tools"].size()) + member(sent.body, "tool_choice");
    };
    EXPECT_EQ(choice("\"auto\""), "2");
    EXPECT_EQ(choice("\"none\""), "2\"NONE\"");
    EXPECT_EQ(choice("\"required\""), "2\"REQUIRED\"");
    EXPECT_EQ(choice(R"({"type":"function","function":{"name":"f"}})"), "1\"REQUIRED\"");
    std::string allowed = R"(,"tools":[{"type":"function","function":{"name":"g.h"}}]}})";
    std::string head = R"({"type":"allowed_tools","allowed_tools":{"mode":)";
    EXPECT_EQ(choice(head + "\"auto\"" + allowed), "1");
    EXPECT_EQ(choice(head + "\"required\"" + allowed), "1\"REQUIRED\"");
}

TEST(CohereRequest, StrictIsForAllToolsOrNone) {
    std::string strict = kTool;
    strict.insert(strict.size() - 2, ",\"strict\":true");
    EXPECT_EQ(member(with("\"tools\":[" + strict + "]").body, "strict_tools"), "true");
    Sent mixed = with("\"tools\":[" + strict + "," + kOther + "]");
    EXPECT_EQ(member(mixed.body, "strict_tools"), "");
    EXPECT_EQ(mixed.dropped, "strict");
}

TEST(CohereRequest, ArgumentsAreAnObject) {
    Sent sent = with(R"("tools":[{"type":"function","function":{"name":"f","parameters":)"
                     R"({"type":["object","null"],"properties":{"a":{}}}}}])");
    EXPECT_EQ(member(sent.body, "tools"),
              R"([{"type":"function","function":{"name":"f","parameters":)"
              R"({"type":"object","properties":{"a":{}}}}}])");
}

TEST(CohereRequest, FreeTextToolsBecomeFunctions) {
    Sent sent = with(R"("tools":[{"type":"custom","custom":{"name":"p","description":"d"}}])");
    EXPECT_EQ(member(sent.body, "tools"),
              R"([{"type":"function","function":{"name":"p","description":"d\n\nRaw text input.",)"
              R"("parameters":{"type":"object","properties":{"input":{"type":"string"}},)"
              R"("required":["input"]}}}])");
    EXPECT_EQ(
        resent(R"({"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":)"
               R"("p","input":"a\"b"}}]},{"role":"tool","tool_call_id":"c","content":"r"})"),
        R"([{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"p",)"
        R"("arguments":"{\"input\":\"a\\\"b\"}"}}]},)"
        R"({"role":"tool","tool_call_id":"c","content":"r"}])");
}

TEST(CohereRequest, SamplingInItsRanges) {
    Sent sent = with(R"("max_completion_tokens":7,"temperature":0.70,"top_p":1,"top_k":900,)"
                     R"("seed":5,"frequency_penalty":-0.5,"presence_penalty":1.5,"logprobs":true,)"
                     R"("top_logprobs":3,"logit_bias":{"1":2},"stop":["a","","b","c","d"],"n":1)");
    EXPECT_EQ(sent.body,
              R"({"model":"command-a-reasoning-08-2025","messages":[{"role":"user","content":"Hi"})"
              R"(],"max_tokens":7,"temperature":0.70,"p":0.99,"k":500,"seed":5,)"
              R"("frequency_penalty":0,"presence_penalty":1,"logprobs":true,)"
              R"("stop_sequences":["a","b","c","d"],"stream":false})");
    EXPECT_EQ(sent.dropped, "logit_bias top_k frequency_penalty presence_penalty top_logprobs");
    EXPECT_EQ(with("\"n\":2").body, "refused n");
}

TEST(CohereRequest, StopsBeyondFiveAreNamed) {
    Sent sent = messages(R"({"role":"user","content":"u"})",
                         R"("stop_sequences":["1","2","3","4","5","6"])");
    EXPECT_EQ(member(sent.body, "stop_sequences"), R"(["1","2","3","4","5"])");
    EXPECT_EQ(sent.dropped, "stop_sequences");
}

TEST(CohereRequest, StructuredOutput) {
    EXPECT_EQ(member(with(R"("response_format":{"type":"json_object"})").body, "response_format"),
              R"({"type":"json_object"})");
    std::string schema = R"("response_format":{"type":"json_schema","json_schema":{"name":"n",)"
                         R"("schema":{"type":"object"},"strict":true}})";
    EXPECT_EQ(member(with(schema).body, "response_format"),
              R"({"type":"json_object","json_schema":{"type":"object"}})");
    EXPECT_EQ(with(schema + ",\"tools\":[" + kTool + "]").body, "refused response_format");
    Sent dropped = with(schema + ",\"tools\":[" + kTool + "]", true);
    EXPECT_EQ(member(dropped.body, "response_format"), "");
    EXPECT_EQ(dropped.dropped, "response_format");
}

TEST(CohereRequest, Thinking) {
    auto effort = [](std::string_view value) {
        return member(with("\"reasoning_effort\":\"" + std::string(value) + "\"").body, "thinking");
    };
    EXPECT_EQ(member(with("\"n\":1").body, "thinking"), "");
    EXPECT_EQ(effort("none"), R"({"type":"disabled"})");
    EXPECT_EQ(effort("minimal"), R"({"type":"enabled","token_budget":1024})");
    EXPECT_EQ(effort("medium"), R"({"type":"enabled","token_budget":2048})");
    EXPECT_EQ(effort("high"), R"({"type":"enabled","token_budget":4096})");
    EXPECT_EQ(effort("xhigh"), R"({"type":"enabled","token_budget":8192})");
    auto thinking = [](std::string_view value) {
        return member(
            messages(R"({"role":"user","content":"u"})", "\"thinking\":" + std::string(value)).body,
            "thinking");
    };
    EXPECT_EQ(thinking(R"({"type":"enabled","budget_tokens":3000})"),
              R"({"type":"enabled","token_budget":3000})");
    EXPECT_EQ(thinking(R"({"type":"adaptive"})"), R"({"type":"enabled"})");
    EXPECT_EQ(thinking(R"({"type":"disabled"})"), R"({"type":"disabled"})");

    Sent old = with(R"("reasoning_effort":"high")", false, "command-r-plus");
    EXPECT_EQ(member(old.body, "thinking"), "");
    EXPECT_EQ(old.dropped, "reasoning_effort");
}

TEST(CohereRequest, HintsAreNamedAndOwnMembersPass) {
    Sent sent = with(R"("user":"u","metadata":{"a":"b"},"verbosity":"low","service_tier":"flex",)"
                     R"("safety_mode":"OFF","citation_options":{"mode":"OFF"},"store":true,)"
                     R"("documents":[{"data":{"text":"d"}}])");
    EXPECT_EQ(sent.dropped, "store user metadata verbosity service_tier");
    EXPECT_EQ(member(sent.body, "safety_mode"), "\"OFF\"");
    EXPECT_EQ(member(sent.body, "citation_options"), R"({"mode":"OFF"})");
    EXPECT_EQ(member(sent.body, "documents"), R"([{"data":{"text":"d"}}])");
    EXPECT_EQ(with(R"("web_search_options":{})").body, "refused web_search_options");
    EXPECT_EQ(with(R"("modalities":["text","audio"])").body, "refused modalities");
    EXPECT_EQ(with(R"("modalities":["text"],"stream":true,"stream_options":{})").dropped, "");
}

TEST(CohereRequest, APrefillIsRefused) {
    EXPECT_EQ(
        messages(R"({"role":"user","content":"u"},{"role":"assistant","content":"And"})").body,
        "refused prefill");
}

}  // namespace
}  // namespace llm::provider_testing
