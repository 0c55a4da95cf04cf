// Whole chat answers, read from providers and written for clients, token counts and errors
// included.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

struct Answer {
    explicit Answer(std::string_view body) : document(body) {
        status = kOpenAi.parse_response(document.root(), arena, response);
    }
    const ir::Choice &choice(size_t index = 0) const { return response.choices[index]; }

    Document document;
    Arena arena;
    ir::Response response;
    Status status;
};

std::string with_message(std::string_view message, std::string_view finish = R"("stop")",
                         std::string_view more = {}) {
    return R"({"id":"a1","created":5,"model":"m","choices":[{"index":0,"message":{)" +
           std::string(message) + R"(},"finish_reason":)" + std::string(finish) + "}]" +
           std::string(more) + "}";
}

template <class T>
const T &part(const ir::Choice &choice, size_t index) {
    static const T kNone{};
    const T *found =
        index < choice.parts.size() ? std::get_if<T>(&choice.parts[index].is) : nullptr;
    EXPECT_NE(found, nullptr) << "part " << index;
    return found != nullptr ? *found : kNone;
}

std::string shown(const ir::Response &response, ClientView view = {}) {
    Ids ids;
    view.ids = &ids;
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    kOpenAi.render_response(response, view, arena, writer);
    Document valid(out.view());
    return std::string(out.view());
}

// The message of the first choice of an answer written for a client.
std::string shown_message(const ir::Response &response, ClientView view = {}) {
    Document document(shown(response, view));
    for (json::Value choice : document.root()["choices"].items()) {
        return std::string(choice["message"].raw().bytes);
    }
    return {};
}

std::string shown_finish(const ir::Response &response, ClientView view = {}) {
    Document document(shown(response, view));
    for (json::Value choice : document.root()["choices"].items()) {
        return std::string(choice["finish_reason"].text().bytes);
    }
    return {};
}

ir::Response answer_of(std::vector<ir::Part> parts, ir::Finish finish = ir::Finish::stop) {
    ir::Response response;
    response.id = {"a1"};
    response.model = {"m"};
    response.created = 5;
    ir::Choice &choice = response.choices.emplace_back();
    choice.parts = std::move(parts);
    choice.finish = finish;
    return response;
}

// --- in -------------------------------------------------------------------------------------

TEST(ChatAnswer, PartsInOrder) {
    Answer answer(with_message(
        R"("role":"assistant","reasoning_content":"Hm","reasoning":"Hm","content":"Hi",)"
        R"("refusal":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f",)"
        R"("arguments":"{\"n\":1}"}},{"id":"","function":{"name":"g","arguments":{"x":2}}}])"));
    ASSERT_TRUE(answer.status);
    EXPECT_EQ(answer.response.id.bytes, "a1");
    EXPECT_EQ(answer.response.created, 5);
    ASSERT_EQ(answer.choice().parts.size(), 4u);
    EXPECT_EQ(part<ir::Reasoning>(answer.choice(), 0).text.bytes, "Hm");
    EXPECT_EQ(part<ir::Text>(answer.choice(), 1).text.bytes, "Hi");
    EXPECT_EQ(part<ir::ToolCall>(answer.choice(), 2).arguments, R"({"n":1})");
    EXPECT_EQ(part<ir::ToolCall>(answer.choice(), 3).arguments, R"({"x":2})");
    EXPECT_EQ(part<ir::ToolCall>(answer.choice(), 3).id.bytes.size(), 29u);
    // G39: `stop` with calls is tool_calls.
    EXPECT_EQ(answer.choice().finish, ir::Finish::tool_calls);
    EXPECT_EQ(answer.choice().native_finish.bytes, "stop");
}

TEST(ChatAnswer, LeadingWhiteSpaceIsSkipped) {
    EXPECT_TRUE(Answer("\n\n   " + with_message(R"("content":"x")")).status);
}

TEST(ChatAnswer, MistralArrayContentAndReasoningDetails) {
    Answer mistral(
        with_message(R"("content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]},)"
                     R"({"type":"text","text":"Hi"}])"));
    EXPECT_EQ(part<ir::Reasoning>(mistral.choice(), 0).text.bytes, "Hm");
    EXPECT_EQ(part<ir::Text>(mistral.choice(), 1).text.bytes, "Hi");

    Answer router(with_message(
        R"("content":"Hi","reasoning":"Hm","reasoning_details":[{"type":"reasoning.text",)"
        R"("text":"Hm","signature":"S1"},{"type":"reasoning.encrypted","data":"D"}])"));
    ASSERT_EQ(router.choice().parts.size(), 3u);
    EXPECT_EQ(part<ir::Reasoning>(router.choice(), 0).signature.bytes,
              R"({\"type\":\"reasoning.text\",\"signature\":\"S1\"})");
    EXPECT_TRUE(part<ir::Reasoning>(router.choice(), 1).is_redacted);
    EXPECT_EQ(part<ir::Reasoning>(router.choice(), 1).redacted.bytes,
              R"({\"type\":\"reasoning.encrypted\",\"data\":\"D\"})");
    EXPECT_EQ(part<ir::Reasoning>(router.choice(), 1).origin, DialectId::openai);
}

TEST(ChatAnswer, Case41_TheSecondCallWithAnIdGetsAnotherOne) {
    Answer answer(with_message(
        R"("tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},)"
        R"({"id":"c","type":"function","function":{"name":"g","arguments":"{}"}}])"));
    ASSERT_TRUE(answer.status);
    EXPECT_EQ(part<ir::ToolCall>(answer.choice(), 0).id.bytes, "c");
    EXPECT_TRUE(part<ir::ToolCall>(answer.choice(), 1).id.bytes.starts_with("call_"));
}

TEST(ChatAnswer, FinishReasons) {
    auto finish = [](std::string_view reason, std::string_view message = R"("content":"x")") {
        Answer answer(with_message(message, reason));
        EXPECT_TRUE(answer.status);
        return answer.choice().finish;
    };
    constexpr std::string_view kCall =
        R"("tool_calls":[{"id":"c","function":{"name":"f","arguments":"{"}}])";
    EXPECT_EQ(finish(R"("length")", kCall), ir::Finish::length);  // G40
    EXPECT_EQ(finish("null", kCall), ir::Finish::tool_calls);
    EXPECT_EQ(finish("null"), ir::Finish::stop);
    EXPECT_EQ(finish(R"("COMPLETE")"), ir::Finish::stop);
    EXPECT_EQ(finish(R"("sensitive")"), ir::Finish::content_filter);
    EXPECT_EQ(finish(R"("made_up")"), ir::Finish::other);
    EXPECT_EQ(finish(R"("stop","stop_reason":"END")"), ir::Finish::stop_sequence);
}

TEST(ChatAnswer, Gotcha86_OneThatEndsWithAnErrorIsNone) {
    for (std::string_view reason :
         {R"("error")", R"("insufficient_system_resource")", R"("network_error")"}) {
        std::string text = with_message(R"("content":"Half of")", reason);
        EXPECT_FALSE(Answer(text).status) << reason;
        Padded bytes(text);
        json::Reader reader;
        Result<json::Value> root = reader.parse(bytes.view());
        ASSERT_TRUE(root);
        Usage usage;
        JsonText model, finish;
        EXPECT_FALSE(kOpenAi.observe_response(*root, usage, model, finish)) << reason;
    }
}

TEST(ChatAnswer, ChoicesComeInOrderOfTheirIndex) {
    Answer answer(R"({"choices":[{"index":1,"message":{"content":"b"},"logprobs":{"content":[]}},)"
                  R"({"index":0,"message":{"content":"a"}}]})");
    ASSERT_EQ(answer.response.choices.size(), 2u);
    EXPECT_EQ(part<ir::Text>(answer.choice(0), 0).text.bytes, "a");
    EXPECT_EQ(answer.choice(1).logprobs.bytes, R"({"content":[]})");
}

TEST(ChatAnswer, Gotcha86_WhatIsNoAnswerIsAFailedAttempt) {
    for (std::string_view body :
         {R"({})", R"([])", R"({"choices":[]})", R"({"choices":null})", R"({"choices":[{}]})",
          R"({"error":{"message":"x"},"choices":[{"message":{"content":"x"}}]})",
          R"({"detail":"Not Found"})"}) {
        Answer answer(body);
        ASSERT_FALSE(answer.status) << body;
        EXPECT_EQ(answer.status.error().code, Errc::upstream_protocol);
    }
    Usage usage;
    JsonText model;
    JsonText finish;
    Document error(R"({"error":{"message":"x"},"choices":[{"message":{}}]})");
    EXPECT_FALSE(kOpenAi.observe_response(error.root(), usage, model, finish));
    Document fine(
        with_message(R"("content":"x")", R"("length")",
                     R"(,"error":null,"usage":{"prompt_tokens":3,"completion_tokens":4})"));
    EXPECT_TRUE(kOpenAi.observe_response(fine.root(), usage, model, finish));
    EXPECT_EQ(usage.input, 3);
    EXPECT_EQ(model.bytes, "m");
    EXPECT_EQ(finish.bytes, "length");
}

// --- usage ----------------------------------------------------------------------------------

Usage usage_of(std::string_view object) {
    Answer answer(
        with_message(R"("content":"x")", R"("stop")", R"(,"usage":)" + std::string(object)));
    EXPECT_TRUE(answer.status);
    return answer.response.usage;
}

TEST(ChatUsage, Case50_CachedTokensArePartOfThePrompt) {
    Usage usage = usage_of(
        R"({"prompt_tokens":1420,"completion_tokens":100,"total_tokens":1520,)"
        R"("prompt_tokens_details":{"cached_tokens":1280,"cache_write_tokens":20,"audio_tokens":1},)"
        R"("completion_tokens_details":{"reasoning_tokens":64,"audio_tokens":2}})");
    EXPECT_EQ(usage.input, 1420);
    EXPECT_EQ(usage.cache_read, 1280);
    EXPECT_EQ(usage.cache_write, 20);
    EXPECT_EQ(usage.output, 100);
    EXPECT_EQ(usage.reasoning, 64);
    EXPECT_EQ(usage.audio_in, 1);
    EXPECT_EQ(usage.audio_out, 2);
}

TEST(ChatUsage, Gotcha75_ReasoningBesideCompletionIsAdded) {
    Usage usage = usage_of(R"({"prompt_tokens":466,"completion_tokens":68,"total_tokens":800,)"
                           R"("completion_tokens_details":{"reasoning_tokens":266}})");
    EXPECT_EQ(usage.output, 334);
    EXPECT_EQ(usage.reasoning, 266);
    EXPECT_EQ(usage.total(), 800);
}

TEST(ChatUsage, Gotcha109_ThoughtsThatOnlyTheTotalHas) {
    Usage usage = usage_of(R"({"prompt_tokens":66,"completion_tokens":6,"total_tokens":100})");
    EXPECT_EQ(usage.output, 34);
    EXPECT_EQ(usage.reasoning, 28);
    // With details the difference belongs to nobody.
    usage = usage_of(R"({"prompt_tokens":66,"completion_tokens":6,"total_tokens":100,)"
                     R"("completion_tokens_details":null})");
    EXPECT_EQ(usage.output, 6);
}

TEST(ChatUsage, Gotcha113_ContradictionsNeverMakeNegativeDifferences) {
    Usage usage = usage_of(R"({"prompt_tokens":377,"completion_tokens":10,"total_tokens":387,)"
                           R"("prompt_tokens_details":{"cached_tokens":515},)"
                           R"("completion_tokens_details":{"reasoning_tokens":11}})");
    EXPECT_EQ(usage.cache_read, 377);
    EXPECT_EQ(usage.reasoning, 10);
    usage = usage_of(R"({"prompt_tokens":-5,"completion_tokens":1.5,"total_tokens":9e18})");
    EXPECT_EQ(usage.input, 0);
    EXPECT_EQ(usage.output, 0);
}

TEST(ChatUsage, CacheCountersOfImitators) {
    EXPECT_EQ(usage_of(R"({"prompt_tokens":495,"completion_tokens":65,"total_tokens":560,)"
                       R"("prompt_cache_hit_tokens":448,"prompt_cache_miss_tokens":47})")
                  .cache_read,
              448);
    EXPECT_EQ(usage_of(R"({"prompt_tokens":9,"completion_tokens":1,"cached_tokens":4})").cache_read,
              4);
    EXPECT_EQ(
        usage_of(R"({"prompt_tokens":9,"completion_tokens":1,"num_cached_tokens":5})").cache_read,
        5);
    EXPECT_FALSE(usage_of("null").known);
}

// --- out ------------------------------------------------------------------------------------

TEST(ChatAnswerOut, WholeBodyToTheByte) {
    ir::Response response = answer_of({{ir::Text{{"caf\\u00e9 "}}}, {ir::Text{{"au lait"}}}});
    response.choices[0].native_finish = {"end_turn"};
    response.usage.known = true;
    response.usage.input = 30;
    response.usage.cache_read = 10;
    response.usage.cache_write = 5;
    response.usage.output = 4;
    EXPECT_EQ(
        shown(response),
        R"({"id":"a1","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,)"
        R"("message":{"role":"assistant","content":"caf\u00e9 au lait","refusal":null},)"
        R"("logprobs":null,"finish_reason":"stop","native_finish_reason":"end_turn"}],)"
        R"("usage":{"prompt_tokens":30,"completion_tokens":4,"total_tokens":34,)"
        R"("prompt_tokens_details":{"cached_tokens":10,"audio_tokens":0,"cache_write_tokens":5},)"
        R"("completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,)"
        R"("accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},)"
        R"("system_fingerprint":null})");
}

TEST(ChatAnswerOut, ContentIsNullOnlyBesideCallsAndRefusals) {
    EXPECT_EQ(shown_message(answer_of({})), R"({"role":"assistant","content":"","refusal":null})");
    EXPECT_EQ(shown_message(answer_of({{ir::Refusal{{"no"}}}})),
              R"({"role":"assistant","content":null,"refusal":"no"})");
    // G33: arguments that are empty read {}.
    EXPECT_EQ(shown_message(answer_of({{ir::ToolCall{{"c"}, {"f"}, ""}}})),
              R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"c",)"
              R"("type":"function","function":{"name":"f","arguments":"{}"}}]})");
}

TEST(ChatAnswerOut, ImagesOfAnyProvider) {
    std::string_view list =
        R"("images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"},"index":0}])";
    Answer answer(with_message(R"("content":"a",)" + std::string(list)));
    const ir::Image &image = part<ir::Image>(answer.choice(), 1);
    EXPECT_EQ(image.source.mime.bytes, "image/png");
    EXPECT_EQ(image.source.data.bytes, "QUJD");
    EXPECT_NE(shown(answer.response).find(list), std::string::npos) << shown(answer.response);
}

TEST(ChatAnswerOut, Gotcha33_BlankArgumentsBecomeAnObject) {
    EXPECT_NE(
        shown_message(answer_of({{ir::ToolCall{{"c"}, {"f"}, " \n"}}})).find(R"("arguments":"{}")"),
        std::string::npos);
}

TEST(ChatAnswerOut, Case42_CallsMeanToolCalls) {
    ir::Part call{ir::ToolCall{{"c"}, {"f"}, "{}"}};
    EXPECT_EQ(shown_finish(answer_of({call})), "tool_calls");
    EXPECT_EQ(shown_finish(answer_of({call}, ir::Finish::length)), "length");
    EXPECT_EQ(shown_finish(answer_of({}, ir::Finish::refusal)), "content_filter");
    EXPECT_EQ(shown_finish(answer_of({}, ir::Finish::context_length)), "length");
    EXPECT_EQ(shown_finish(answer_of({}, ir::Finish::pause)), "stop");
}

TEST(ChatAnswerOut, LegacyClientsGetOneFunctionCall) {
    ClientView view;
    view.legacy_functions = true;
    ir::Response response = answer_of(
        {{ir::ToolCall{{"c"}, {"f"}, R"({"a":"b"})"}}, {ir::ToolCall{{"d"}, {"g"}, "{}"}}},
        ir::Finish::tool_calls);
    EXPECT_EQ(shown_message(response, view),
              R"({"role":"assistant","content":null,"refusal":null,)"
              R"("function_call":{"name":"f","arguments":"{\"a\":\"b\"}"}})");
    EXPECT_EQ(shown_finish(response, view), "function_call");
}

TEST(ChatAnswerOut, Case38_ThinkingWithSignaturesThatSayWhoseTheyAre) {
    ir::Reasoning own{{"Hm"}, {"S"}};
    own.origin = DialectId::anthropic;
    ir::Reasoning redacted;
    redacted.is_redacted = true;
    redacted.redacted = {"R"};
    redacted.origin = DialectId::anthropic;
    EXPECT_EQ(
        shown_message(answer_of({{own}, {redacted}, {ir::Text{{"x"}}}})),
        R"({"role":"assistant","content":"x","refusal":null,"reasoning_content":"Hm",)"
        R"("thinking_blocks":[{"type":"thinking","thinking":"Hm","signature":"gw1.anthropic.S"},)"
        R"({"type":"redacted_thinking","data":"gw1.anthropic.R"}]})");
    EXPECT_EQ(
        shown_message(answer_of({{ir::Reasoning{{"Hm"}, {"S"}}}, {ir::Text{{"x"}}}})),
        R"({"role":"assistant","content":"x","refusal":null,"reasoning_content":"Hm",)"
        R"("thinking_blocks":[{"type":"thinking","thinking":"Hm","signature":"gw1.openai.S"}]})");
    ClientView hidden;
    hidden.show_reasoning = false;
    EXPECT_EQ(shown_message(answer_of({{own}, {ir::Text{{"x"}}}}), hidden),
              R"({"role":"assistant","content":"x","refusal":null})");
}

TEST(ChatAnswerOut, Gotcha29_CitationsAndTheirPlaces) {
    ir::Text cited{{"b\\ud83d\\ude00"}};
    cited.citations = {R"([{"type":"web_search_result_location","url":"https://e.x","title":"T"},)"
                       R"({"type":"page_location","document_index":0}])"};
    cited.cited = {{{"https://e.x"}, {"T"}, {}, 0, -1}, {{}, {"a document"}, {}, 0, -1}};
    EXPECT_EQ(shown_message(answer_of({{ir::Text{{"a\\n"}}}, {cited}})),
              R"({"role":"assistant","content":"a\nb\ud83d\ude00","refusal":null,"annotations":[)"
              R"({"type":"url_citation","url_citation":{"url":"https://e.x","title":"T",)"
              R"("start_index":2,"end_index":4}}]})");
    std::string annotations =
        R"([{"type":"url_citation","url_citation":{"url":"u","start_index":0,"end_index":1}}])";
    Answer answer(with_message(R"("content":"x","annotations":)" + annotations));
    EXPECT_EQ(
        shown_message(answer.response),
        R"({"role":"assistant","content":"x","refusal":null,"annotations":)" + annotations + "}");
}

TEST(ChatAnswerOut, NamesAndMissingMembersAreTheClients) {
    std::vector<Renamed> renamed = {{{"my.tool"}, {"my_tool_1"}}};
    ClientView view;
    view.renamed = &renamed;
    view.model = "shown";
    view.now = 99;
    ir::Response response;
    response.choices.emplace_back().parts.push_back({ir::ToolCall{{"c"}, {"my_tool_1"}, "{}"}});
    std::string body = shown(response, view);
    std::string head =
        R"({"id":"chatcmpl-00000000000000010000000000000002","object":"chat.completion",)"
        R"("created":99,"model":"shown","choices":[)";
    EXPECT_EQ(body.substr(0, head.size()), head);
    EXPECT_NE(body.find(R"("name":"my.tool")"), std::string::npos);
    EXPECT_EQ(body.find("usage"), std::string::npos);
}

TEST(ChatAnswerOut, R5_FreeTextToolsGetTheirText) {
    std::vector<std::string_view> custom = {"patch"};
    ClientView view;
    view.custom_tools = &custom;
    ir::Response response = answer_of({{ir::ToolCall{{"c"}, {"patch"}, R"({"input":"a \"b\""})"}},
                                       {ir::ToolCall{{"d"}, {"patch"}, R"({"cut)"}},
                                       {ir::ToolCall{{"e"}, {"f"}, R"({"input":"x"})"}}},
                                      ir::Finish::tool_calls);
    EXPECT_EQ(
        shown_message(response, view),
        R"({"role":"assistant","content":null,"refusal":null,"tool_calls":[)"
        R"({"id":"c","type":"custom","custom":{"name":"patch","input":"a \"b\""}},)"
        R"({"id":"d","type":"custom","custom":{"name":"patch","input":"{\"cut"}},)"
        R"({"id":"e","type":"function","function":{"name":"f","arguments":"{\"input\":\"x\"}"}}]})");
}

TEST(ChatAnswerOut, StructuredOutputByAForcedToolIsText) {
    ClientView view;
    view.json_tool = true;
    ir::Response response =
        answer_of({{ir::ToolCall{{"c"}, {kJsonTool}, R"({"a":1})"}}}, ir::Finish::tool_calls);
    EXPECT_EQ(shown_message(response, view),
              R"({"role":"assistant","content":"{\"a\":1}","refusal":null})");
    EXPECT_EQ(shown_finish(response, view), "stop");
}

TEST(ChatAnswerOut, ReadAgainItIsTheSame) {
    std::string body = with_message(
        R"("reasoning_content":"Hm","content":"Hi \ud83d\ude00","tool_calls":[{"id":"c1",)"
        R"("type":"function","function":{"name":"f","arguments":"{\"n\": 1e400}"}}])",
        R"("tool_calls")", R"(,"usage":{"prompt_tokens":3,"completion_tokens":4})");
    Answer answer(body);
    std::string once = shown(answer.response);
    Answer again(once);
    EXPECT_EQ(shown(again.response), once);
}

// --- errors ---------------------------------------------------------------------------------

std::pair<int, std::string> error_body(ApiError error) {
    ByteBuffer out;
    json::Writer writer(out);
    int status = kOpenAi.render_error(error, "req", writer);
    return {status, std::string(out.view())};
}

TEST(ChatError, AllFourMembersAlways) {
    ApiError error;
    error.error_class = ErrorClass::rate_limit;
    error.message = {"slow \\\"down\\\""};
    auto [status, body] = error_body(error);
    EXPECT_EQ(status, 429);
    EXPECT_EQ(body, R"({"error":{"message":"slow \"down\"","type":"rate_limit_error","param":null,)"
                    R"("code":"rate_limit_exceeded"}})");
}

TEST(ChatError, CodesThatClientsTestForWin) {
    ApiError error{ErrorClass::context_length, 422, {"too long"}, {"too_many_prompt_tokens"}};
    auto [status, body] = error_body(error);
    EXPECT_EQ(status, 400);
    EXPECT_NE(body.find(R"("param":"messages","code":"context_length_exceeded")"),
              std::string::npos);
    error = {ErrorClass::invalid_request, 400, {"x"}, {"tool_use_failed"}, {"tools"}};
    EXPECT_NE(error_body(error).second.find(R"("param":"tools","code":"tool_use_failed")"),
              std::string::npos);
}

TEST(ChatError, StatusOfTheClassAndTheProvidersOwn500) {
    EXPECT_EQ(error_body({ErrorClass::upstream, 500}).first, 500);
    EXPECT_EQ(error_body({ErrorClass::upstream, 503}).first, 502);
    EXPECT_EQ(error_body({ErrorClass::overloaded, 529}).first, 503);
}

TEST(ChatError, FrameInAStream) {
    ByteBuffer out;
    kOpenAi.render_error_frame({ErrorClass::timeout, 0, {"late"}}, out);
    EXPECT_EQ(out.view(),
              "data: {\"error\":{\"message\":\"late\",\"type\":\"server_error\",\"param\":null,"
              "\"code\":\"timeout\"}}\n\n");
}

}  // namespace
}  // namespace llm::openai_testing
