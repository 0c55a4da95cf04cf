#include <gtest/gtest.h>

#include <string>

#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;

struct Answer {
    json::Reader reader;
    Arena arena;
    ir::Response response;
    bool is_read = false;

    explicit Answer(std::string_view body) {
        auto root = reader.parse_unpadded(body, {.allow_lone_surrogates = true});
        is_read = root && kAnthropic.parse_response(*root, arena, response);
    }
};

std::string body(std::string_view content, std::string_view rest) {
    return R"({"id":"msg_1","type":"message","role":"assistant","model":"m","content":)" +
           std::string(content) + "," + std::string(rest) + "}";
}

std::string render(const ir::Response &response, const ClientView &view = {}) {
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    kAnthropic.render_response(response, view, arena, writer);
    return std::string(out.view());
}

constexpr std::string_view kUsage =
    R"("usage":{"input_tokens":14,"cache_creation_input_tokens":20,)"
    R"("cache_read_input_tokens":1028,"cache_creation":{"ephemeral_5m_input_tokens":15,)"
    R"("ephemeral_1h_input_tokens":5},"output_tokens":100})";

TEST(AnthropicResponse, EveryBlockIsRead) {
    Answer answer(body(R"([{"type":"thinking","thinking":"Hm","signature":"c2ln"},)"
                       R"({"type":"redacted_thinking","data":"ZA=="},{"type":"text","text":"Hi"},)"
                       R"({"type":"server_tool_use","id":"s","name":"x","input":{}},)"
                       R"({"type":"tool_use","id":"t","name":"f","input":{"n":9007199254740993}}])",
                       R"("stop_reason":"tool_use","stop_sequence":null,)" + std::string(kUsage)));
    ASSERT_TRUE(answer.is_read);
    const ir::Choice &choice = answer.response.choices.at(0);
    ASSERT_EQ(choice.parts.size(), 5u);
    const auto &thinking = std::get<ir::Reasoning>(choice.parts[0].is);
    EXPECT_EQ(thinking.signature.bytes, "c2ln");
    EXPECT_EQ(thinking.origin, DialectId::anthropic);
    EXPECT_TRUE(std::get<ir::Reasoning>(choice.parts[1].is).is_redacted);
    EXPECT_EQ(std::get<ir::Opaque>(choice.parts[3].is).type.bytes, "server_tool_use");
    EXPECT_EQ(std::get<ir::ToolCall>(choice.parts[4].is).arguments, R"({"n":9007199254740993})");
    EXPECT_EQ(choice.finish, ir::Finish::tool_calls);
    EXPECT_EQ(choice.native_finish.bytes, "tool_use");
}

TEST(AnthropicResponse, Case41_EmptyAndRepeatedIdsAreReplaced) {
    Answer answer(body(R"([{"type":"tool_use","id":"t","name":"f","input":{}},)"
                       R"({"type":"tool_use","id":"t","name":"f","input":{}},)"
                       R"({"type":"tool_use","id":"","name":"f","input":{}}])",
                       R"("stop_reason":"tool_use",)" + std::string(kUsage)));
    ASSERT_TRUE(answer.is_read);
    auto id = [&](size_t at) {
        return std::get<ir::ToolCall>(answer.response.choices.at(0).parts.at(at).is).id.bytes;
    };
    EXPECT_EQ(id(0), "t");
    EXPECT_TRUE(id(1).starts_with("call_"));
    EXPECT_TRUE(id(2).starts_with("call_"));
    EXPECT_NE(id(1), id(2));
}

TEST(AnthropicResponse, Case50_UsageCountsCachedTokensOnce) {
    Answer answer(body("[]", R"("stop_reason":"end_turn",)" + std::string(kUsage)));
    const Usage &usage = answer.response.usage;
    EXPECT_TRUE(usage.known);
    EXPECT_EQ(usage.input, 1062);
    EXPECT_EQ(usage.cache_read, 1028);
    EXPECT_EQ(usage.cache_write, 20);
    EXPECT_EQ(usage.cache_write_5m, 15);
    EXPECT_EQ(usage.cache_write_1h, 5);
    EXPECT_EQ(usage.total(), 1162);
    EXPECT_NE(render(answer.response)
                  .find(R"("usage":{"input_tokens":14,"cache_creation_input_tokens":20,)"
                        R"("cache_read_input_tokens":1028,"cache_creation":)"
                        R"({"ephemeral_5m_input_tokens":15,"ephemeral_1h_input_tokens":5},)"
                        R"("output_tokens":100})"),
              std::string::npos);
}

TEST(AnthropicResponse, Gotcha113_NoCounterGetsNegative) {
    ir::Response response;
    response.choices.emplace_back();
    response.usage.known = true;
    response.usage.input = 377;
    response.usage.cache_read = 515;
    response.usage.output = 3;
    EXPECT_NE(render(response).find(R"("input_tokens":0,"cache_creation_input_tokens":0,)"
                                    R"("cache_read_input_tokens":377)"),
              std::string::npos);
    Answer huge(body("[]", R"("stop_reason":"end_turn","usage":{"input_tokens":)"
                           R"(9223372036854775807,"cache_read_input_tokens":9223372036854775807,)"
                           R"("output_tokens":-5})"));
    EXPECT_EQ(huge.response.usage.input, 0);  // it is not believed
    EXPECT_FALSE(huge.response.usage.known);
    EXPECT_EQ(huge.response.usage.output, 0);
}

TEST(AnthropicResponse, OwnAnswersComeBackTheSame) {
    std::string content =
        R"([{"type":"thinking","thinking":"Hm","signature":"c2ln"},)"
        R"({"type":"text","text":"a\u00e9\n","citations":[{"type":"char_location"}]},)"
        R"({"type":"web_search_tool_result","tool_use_id":"s","content":[]},)"
        R"({"type":"tool_use","id":"t","name":"f","input":{"b":1,"a":1.0}}])";
    Answer answer(body(content, R"("stop_reason":"tool_use",)" + std::string(kUsage)));
    std::string again = render(answer.response);
    EXPECT_NE(again.find("\"content\":" + content), std::string::npos) << again;
    EXPECT_NE(again.find(R"("stop_reason":"tool_use","stop_sequence":null)"), std::string::npos);
}

TEST(AnthropicResponse, Case42_StopReasons) {
    auto reason = [](std::string_view native, std::string_view content) {
        Answer answer(body(content, R"("stop_reason":")" + std::string(native) +
                                        R"(","stop_sequence":"END","usage":{})"));
        EXPECT_TRUE(answer.is_read);
        std::string text = render(answer.response);
        size_t at = text.find("stop_reason\":\"") + 14;
        return text.substr(at, text.find('"', at) - at);
    };
    for (const char *native : {"end_turn", "max_tokens", "stop_sequence", "pause_turn", "refusal",
                               "model_context_window_exceeded"}) {
        EXPECT_EQ(reason(native, "[]"), native);
    }
    std::string_view call = R"([{"type":"tool_use","id":"t","name":"f","input":{}}])";
    EXPECT_EQ(reason("end_turn", call), "tool_use");
    EXPECT_EQ(reason("max_tokens", call), "max_tokens");
    EXPECT_EQ(reason("brand_new", "[]"), "end_turn");
}

TEST(AnthropicResponse, AnswersOfOtherDialects) {
    ir::Response response;
    response.model = {"gpt"};
    ir::Choice choice;
    ir::Reasoning foreign;
    foreign.text = {"Hm"};
    foreign.signature = {"not ours"};
    choice.parts.push_back({foreign});
    choice.parts.push_back({ir::Text{{""}, {}, {}}});
    choice.parts.push_back({ir::Refusal{{"No."}}});
    ir::ToolCall cut;
    cut.id = {"call_1"};
    cut.name = {"get_weather"};
    cut.arguments = "{\"a\":";
    choice.parts.push_back({cut});
    response.choices.push_back(choice);
    std::vector<Renamed> renamed = {{{"get.weather"}, {"get_weather"}}};
    ClientView view;
    view.renamed = &renamed;
    std::string text = render(response, view);
    EXPECT_NE(
        text.find(
            R"("content":[{"type":"thinking","thinking":"Hm","signature":"gw1.openai.not ours"},)"
            R"({"type":"text","text":"No."},)"
            R"({"type":"tool_use","id":"call_1","name":"get.weather",)"
            R"("input":{"raw_arguments":"{\"a\":"}}])"),
        std::string::npos)
        << text;
    EXPECT_NE(text.find(R"("id":"msg_000000000000000000000000")"), std::string::npos) << text;
    view.show_reasoning = false;
    EXPECT_EQ(render(response, view).find("thinking"), std::string::npos);
}

TEST(AnthropicResponse, JsonToolIsText) {
    Answer answer(body(R"([{"type":"tool_use","id":"t","name":"json_tool_call",)"
                       R"("input":{"a":"x"}}])",
                       R"("stop_reason":"tool_use","usage":{})"));
    ClientView view;
    view.json_tool = true;
    std::string text = render(answer.response, view);
    EXPECT_NE(text.find(R"("content":[{"type":"text","text":"{\"a\":\"x\"}"}])"),
              std::string::npos);
    EXPECT_NE(text.find(R"("stop_reason":"end_turn")"), std::string::npos);
}

TEST(AnthropicResponse, Gotcha86_WhatIsNoAnswerIsAFailure) {
    EXPECT_FALSE(Answer(R"({"type":"error","error":{"type":"api_error","message":"x"}})").is_read);
    EXPECT_FALSE(Answer("{}").is_read);
    EXPECT_FALSE(Answer(R"({"type":"message","content":"text"})").is_read);
    json::Reader reader;
    Usage usage;
    JsonText model;
    JsonText finish;
    auto error = reader.parse_unpadded(R"({"type":"error","error":{}})");
    EXPECT_FALSE(kAnthropic.observe_response(*error, usage, model, finish));
    json::Reader other;
    std::string good = body("[]", R"("stop_reason":"end_turn",)" + std::string(kUsage));
    auto root = other.parse_unpadded(good);
    ASSERT_TRUE(kAnthropic.observe_response(*root, usage, model, finish));
    EXPECT_EQ(usage.input, 1062);
    EXPECT_EQ(model.bytes, "m");
    EXPECT_EQ(finish.bytes, "end_turn");
}

TEST(AnthropicError, BodyFrameAndStatus) {
    auto render_error = [](ErrorClass error_class, std::string_view message, uint16_t &status) {
        ApiError error;
        error.error_class = error_class;
        error.message = {message};
        ByteBuffer out;
        json::Writer writer(out);
        status = kAnthropic.render_error(error, "req_1", writer);
        return std::string(out.view());
    };
    uint16_t status = 0;
    EXPECT_EQ(render_error(ErrorClass::overloaded, "Busy", status),
              R"({"type":"error","error":{"type":"overloaded_error","message":"Busy"},)"
              R"("request_id":"req_1"})");
    EXPECT_EQ(status, 529);
    EXPECT_EQ(render_error(ErrorClass::context_length, "maximum context length is 5", status),
              R"({"type":"error","error":{"type":"invalid_request_error","message":)"
              R"("prompt is too long: maximum context length is 5"},"request_id":"req_1"})");
    EXPECT_EQ(status, 400);
    EXPECT_NE(render_error(ErrorClass::context_length, "Prompt is too long: 9 tokens", status)
                  .find(R"("message":"Prompt is too long: 9 tokens")"),
              std::string::npos);
    ApiError error;
    error.error_class = ErrorClass::rate_limit;
    error.message = {"Slow down"};
    ByteBuffer out;
    kAnthropic.render_error_frame(error, out);
    EXPECT_EQ(out.view(),
              "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
              "\"message\":\"Slow down\"}}\n\n");
}

}  // namespace
