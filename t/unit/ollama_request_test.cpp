// What Ollama is sent for the requests of other dialects' clients.
#include "t/unit/provider_testing.hpp"

namespace llm::provider_testing {
namespace {

constexpr std::string_view kThinker = "qwen3:8b";

Sent chat(std::string_view messages, std::string_view more = {}, bool drop_params = false,
          std::string_view model = kThinker) {
    return send(kOpenAi, kOllama, model,
                R"({"model":"m","messages":[)" + std::string(messages) + "]" +
                    (more.empty() ? "" : ",") + std::string(more) + "}",
                drop_params);
}

Sent with(std::string_view more, bool drop_params = false, std::string_view model = kThinker) {
    return chat(R"({"role":"user","content":"Hi"})", more, drop_params, model);
}

Sent messages(std::string_view turns, std::string_view more = {}) {
    return send(kAnthropic, kOllama, kThinker,
                R"({"model":"m","max_tokens":9,"messages":[)" + std::string(turns) + "]" +
                    (more.empty() ? "" : ",") + std::string(more) + "}");
}

const std::string kTool =
    R"({"type":"function","function":{"name":"f","description":"d","parameters":)"
    R"({"type":"object","properties":{"a":{}}}}})";
const std::string kOther = R"({"type":"function","function":{"name":"g.h"}})";

TEST(OllamaRequest, StreamIsAlwaysSaid) {
    EXPECT_EQ(with("\"n\":1").body,
              R"({"model":"qwen3:8b","messages":[{"role":"user","content":"Hi"}],"stream":false})");
    EXPECT_EQ(member(with("\"stream\":true").body, "stream"), "true");
}

TEST(OllamaRequest, ContentIsOneString) {
    EXPECT_EQ(member(chat(R"({"role":"system","content":"S"},{"role":"developer","content":"T"},)"
                          R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text",)"
                          R"("text":"b"},{"type":"image_url","image_url":{"url":)"
                          R"("data:image/png;base64,iVBORw0KGgo="}}]},{"role":"assistant",)"
                          R"("content":[{"type":"text","text":"c"},{"type":"refusal","refusal":)"
                          R"("d"}]},{"role":"user","content":""})")
                         .body,
                     "messages"),
              R"([{"role":"system","content":"S\n\nT"},{"role":"user","content":"a\nb","images":[)"
              R"("iVBORw0KGgo="]},{"role":"assistant","content":"cd"},)"
              R"x({"role":"user","content":"(empty)"}])x");
}

TEST(OllamaRequest, ImagesThatItCannotReadAreRefused) {
    auto image = [](std::string_view url, bool drop_params = false) {
        return chat(R"({"role":"user","content":[{"type":"image_url","image_url":{"url":")" +
                        std::string(url) + "\"}}]}",
                    {}, drop_params);
    };
    EXPECT_EQ(image("https://u/x.png").body, "refused image_url");
    EXPECT_EQ(image("data:image/gif;base64,R0lGODlh").body, "refused image_url");
    Sent dropped = image("https://u/x.png", true);
    EXPECT_EQ(member(dropped.body, "messages"), R"x([{"role":"user","content":"(empty)"}])x");
    EXPECT_EQ(dropped.dropped, "image_url");
}

TEST(OllamaRequest, Gotcha38_ArgumentsAreObjectsAndResultsNameTheirTool) {
    EXPECT_EQ(
        member(
            chat(R"({"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",)"
                 R"("function":{"name":"f","arguments":"{\"n\":12345678901234567890}"}},)"
                 R"({"id":"c2","type":"function","function":{"name":"g.h","arguments":"{\"cut"}},)"
                 R"({"id":"c3","type":"function","function":{"name":"f","arguments":""}}]},)"
                 R"({"role":"tool","tool_call_id":"c2","content":"two"},)"
                 R"({"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"one"}]})")
                .body,
            "messages"),
        R"([{"role":"assistant","content":"","tool_calls":[)"
        R"({"id":"c1","function":{"name":"f","arguments":{"n":12345678901234567890}}},)"
        R"({"id":"c2","function":{"name":"g.h","arguments":{"raw_arguments":"{\"cut"}}},)"
        R"({"id":"c3","function":{"name":"f","arguments":{}}}]},)"
        R"({"role":"tool","content":"one","tool_name":"f","tool_call_id":"c1"},)"
        R"({"role":"tool","content":"two","tool_name":"g.h","tool_call_id":"c2"},)"
        R"({"role":"tool","content":"Error: [no result]","tool_name":"f","tool_call_id":"c3"}])");
}

TEST(OllamaRequest, ThoughtsAndResultsOfMessages) {
    EXPECT_EQ(
        member(messages(R"({"role":"assistant","content":[{"type":"thinking","thinking":"Hm",)"
                        R"("signature":"c2ln"},{"type":"text","text":"a"},{"type":"tool_use",)"
                        R"("id":"c","name":"f","input":{"a":1}}]},{"role":"user","content":[)"
                        R"({"type":"tool_result","tool_use_id":"c","is_error":true,"content":[)"
                        R"({"type":"text","text":"bad"},{"type":"image","source":{"type":)"
                        R"("base64","media_type":"image/png","data":"iVBORw0KGgo="}}]},)"
                        R"({"type":"text","text":"go on"}]})")
                   .body,
               "messages"),
        R"([{"role":"assistant","content":"a","thinking":"Hm","tool_calls":[{"id":"c",)"
        R"("function":{"name":"f","arguments":{"a":1}}}]},{"role":"tool","content":"Error: bad",)"
        R"("images":["iVBORw0KGgo="],"tool_name":"f","tool_call_id":"c"},)"
        R"({"role":"user","content":"go on"}])");
}

TEST(OllamaRequest, DocumentsOfTextAreText) {
    Sent sent =
        messages(R"({"role":"user","content":[{"type":"document","title":"T","citations":)"
                 R"({"enabled":true},"source":{"type":"text","media_type":"text/plain","data":)"
                 R"("plain"}},{"type":"text","text":"q"}]})");
    EXPECT_EQ(member(sent.body, "messages"), R"([{"role":"user","content":"T\nplain\nq"}])");
    EXPECT_EQ(sent.dropped, "citations");
    EXPECT_EQ(messages(R"({"role":"user","content":[{"type":"document","source":{"type":"base64",)"
                       R"("media_type":"application/pdf","data":"JVBERi0xLjQ="}}]})")
                  .body,
              "refused document");
}

TEST(OllamaRequest, ParametersAreOptions) {
    Sent sent =
        with(R"("max_tokens":7,"temperature":0.70,"top_p":0.9,"top_k":40,"seed":5,)"
             R"("frequency_penalty":0.5,"presence_penalty":-1.5,"stop":"x","logprobs":true,)"
             R"("top_logprobs":3,"logit_bias":{"1":2})");
    EXPECT_EQ(member(sent.body, "options"),
              R"({"num_predict":7,"temperature":0.70,"top_p":0.9,"top_k":40,"seed":5,)"
              R"("frequency_penalty":0.5,"presence_penalty":-1.5,"stop":["x"]})");
    EXPECT_EQ(member(sent.body, "logprobs") + member(sent.body, "top_logprobs"), "true3");
    EXPECT_EQ(sent.dropped, "logit_bias");
    EXPECT_EQ(with("\"n\":2").body, "refused n");
}

TEST(OllamaRequest, Gotcha97_ItsOwnOptionsPass) {
    Sent sent = with(R"("num_ctx":32768,"min_p":0.05,"options":{"num_ctx":1,"temperature":9,)"
                     R"("repeat_penalty":1.1},"temperature":0.5,"keep_alive":"5m","min_q":1)");
    EXPECT_EQ(member(sent.body, "options"),
              R"({"temperature":0.5,"num_ctx":32768,"min_p":0.05,"repeat_penalty":1.1})");
    EXPECT_EQ(member(sent.body, "keep_alive"), "\"5m\"");
    EXPECT_EQ(sent.dropped, "min_q");
}

TEST(OllamaRequest, AChoiceLeavesFewerTools) {
    std::string tools = "\"tools\":[" + kTool + "," + kOther + "],\"tool_choice\":";
    auto choice = [&](std::string_view value) {
        Sent sent = with(tools + std::string(value));
        Document body(sent.body);
        return std::to_string(body.root()["tools"].size()) + member(sent.body, "tool_choice") +
               sent.dropped;
    };
    EXPECT_EQ(choice("\"auto\""), "2");
    EXPECT_EQ(choice("\"none\""), "0");
    EXPECT_EQ(choice("\"required\""), "2tool_choice");
    EXPECT_EQ(choice(R"({"type":"function","function":{"name":"f"}})"), "1tool_choice");
}

TEST(OllamaRequest, StructuredOutput) {
    EXPECT_EQ(member(with(R"("response_format":{"type":"json_object"})").body, "format"),
              "\"json\"");
    EXPECT_EQ(member(with(R"("response_format":{"type":"json_schema","json_schema":{"name":"n",)"
                          R"("schema":{"type":"object"}}})")
                         .body,
                     "format"),
              R"({"type":"object"})");
}

TEST(OllamaRequest, Thinking) {
    auto effort = [](std::string_view value, std::string_view model = kThinker) {
        Sent sent = with("\"reasoning_effort\":\"" + std::string(value) + "\"", false, model);
        return member(sent.body, "think") + sent.dropped;
    };
    EXPECT_EQ(effort("none"), "false");
    EXPECT_EQ(effort("minimal"), "\"low\"");
    EXPECT_EQ(effort("medium"), "\"medium\"");
    EXPECT_EQ(effort("xhigh"), "\"high\"");
    EXPECT_EQ(effort("max"), "\"max\"");
    EXPECT_EQ(effort("none", "gpt-oss:20b"), "reasoning_effort");
    EXPECT_EQ(effort("max", "gpt-oss:20b"), "\"high\"");
    EXPECT_EQ(effort("high", "llama3.2"), "reasoning_effort");
    EXPECT_EQ(effort("none", "llama3.2"), "");
    auto thinking = [](std::string_view value) {
        return member(
            messages(R"({"role":"user","content":"u"})", "\"thinking\":" + std::string(value)).body,
            "think");
    };
    EXPECT_EQ(thinking(R"({"type":"enabled","budget_tokens":6000})"), "\"medium\"");
    EXPECT_EQ(thinking(R"({"type":"adaptive"})"), "true");
    EXPECT_EQ(thinking(R"({"type":"disabled"})"), "false");
}

TEST(OllamaRequest, AnAssistantTurnAtTheEndIsContinued) {
    EXPECT_EQ(
        member(messages(R"({"role":"user","content":"u"},{"role":"assistant","content":"A"})").body,
               "messages"),
        R"([{"role":"user","content":"u"},{"role":"assistant","content":"A"}])");
}

}  // namespace
}  // namespace llm::provider_testing
