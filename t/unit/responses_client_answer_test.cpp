// Whole answers and errors for Responses clients, and what pass-through reads beside the bytes.
#include "t/unit/responses_client_testing.hpp"

namespace llm {
namespace {

using openai_testing::Document;
using openai_testing::Ids;

struct Rendered {
    explicit Rendered(const ir::Response &response, ClientView view = {}) {
        Ids ids;
        view.ids = &ids;
        Arena arena;
        ByteBuffer out;
        json::Writer writer(out);
        kResponses.render_response(response, view, arena, writer);
        text = out.view();
        answer = check::read_responses_body(text, problems);
        for (const std::string &problem : problems) {
            ADD_FAILURE() << problem << "\n" << text;
        }
    }

    bool has(std::string_view what) const { return text.find(what) != std::string::npos; }

    std::string text;
    check::Problems problems;
    check::Answer answer;
};

ir::Response answer_with(std::vector<ir::Part> parts, ir::Finish finish = ir::Finish::stop) {
    ir::Response response;
    response.id = {"msg_1"};
    response.model = {"claude-x"};
    response.created = 1700000001;
    ir::Choice &choice = response.choices.emplace_back();
    choice.parts = std::move(parts);
    choice.finish = finish;
    return response;
}

ir::Reasoning thought(std::string_view text, std::string_view signature, DialectId origin) {
    ir::Reasoning reasoning;
    reasoning.text = {text};
    reasoning.signature = {signature};
    reasoning.origin = origin;
    return reasoning;
}

ir::ToolCall call(std::string_view id, std::string_view name, std::string_view arguments) {
    ir::ToolCall made;
    made.id = {id};
    made.name = {name};
    made.arguments = arguments;
    return made;
}

TEST(ResponsesClientAnswer, ItemsInOrder) {
    ir::Response response = answer_with({{thought("Hm", "SIG", DialectId::anthropic)},
                                         {ir::Text{{"Hello"}}},
                                         {call("toolu_1", "f", "{\"a\": 1.50}")}},
                                        ir::Finish::tool_calls);
    response.usage.known = true;
    response.usage.input = 10;
    response.usage.cache_read = 3;
    response.usage.cache_write = 2;
    response.usage.output = 5;
    Rendered rendered(response);
    const check::Message &message = rendered.answer.first();
    EXPECT_EQ(message.reasoning, "Hm");
    EXPECT_EQ(message.signatures, std::vector<std::string>{"gw1.anthropic.SIG"});
    EXPECT_EQ(message.text, "Hello");
    EXPECT_EQ(message.calls.at(0).arguments, "{\"a\": 1.50}");
    EXPECT_EQ(message.finish, "completed");
    EXPECT_TRUE(rendered.has("\"created_at\":1700000001"));
    EXPECT_TRUE(
        rendered.has("\"input_tokens\":10,\"input_tokens_details\":{\"cached_tokens\":3,"
                     "\"cache_write_tokens\":2}"));
    EXPECT_FALSE(rendered.has("output_text\":\""));  // made by the SDKs, never sent
}

TEST(ResponsesClientAnswer, FreeTextCallsKeepTheirType) {
    ir::ToolCall custom = call("call_1", "sql", "SELECT 1");
    custom.custom = true;
    Rendered rendered(answer_with({{custom}}, ir::Finish::tool_calls));
    EXPECT_TRUE(rendered.has("\"type\":\"custom_tool_call\""));
    EXPECT_TRUE(rendered.has("\"input\":\"SELECT 1\""));
}

TEST(ResponsesClientAnswer, HowItEnded) {
    auto finish_of = [](ir::Finish finish) {
        return Rendered(answer_with({{ir::Text{{"x"}}}}, finish)).answer.first().finish;
    };
    EXPECT_EQ(finish_of(ir::Finish::stop), "completed");
    EXPECT_EQ(finish_of(ir::Finish::stop_sequence), "completed");
    EXPECT_EQ(finish_of(ir::Finish::pause), "completed");
    EXPECT_EQ(finish_of(ir::Finish::other), "completed");
    EXPECT_EQ(finish_of(ir::Finish::refusal), "completed");
    EXPECT_EQ(finish_of(ir::Finish::length), "max_output_tokens");
    EXPECT_EQ(finish_of(ir::Finish::context_length), "max_output_tokens");
    EXPECT_EQ(finish_of(ir::Finish::content_filter), "content_filter");
    EXPECT_EQ(finish_of(ir::Finish::error), "failed");
}

TEST(ResponsesClientAnswer, EmptyAnswerIsAnEmptyList) {
    ir::Response response = answer_with({});
    response.id = {};
    response.model = {};
    response.created = 0;
    ClientView view;
    view.model = "a \"b\"";
    view.now = 5;
    Rendered rendered(response, view);
    EXPECT_TRUE(rendered.has("\"output\":[]"));
    EXPECT_TRUE(rendered.has("\"model\":\"a \\\"b\\\"\""));
    EXPECT_TRUE(rendered.has("\"created_at\":5"));
    EXPECT_TRUE(rendered.has("\"usage\":null"));
}

TEST(ResponsesClientAnswer, LargeAnswersAreWhole) {
    std::string large(17u << 20, 'x');
    ir::Response response = answer_with({{ir::Text{{large}}}});
    EXPECT_EQ(Rendered(response).answer.first().text.size(), large.size());
}

// --- errors ---------------------------------------------------------------------------------

TEST(ResponsesClientAnswer, ErrorBodiesAreThoseOfChat) {
    ApiError error;
    error.error_class = ErrorClass::context_length;
    error.message = {"too long"};
    ByteBuffer out;
    json::Writer writer(out);
    EXPECT_EQ(kResponses.render_error(error, "req_1", writer), 400);
    EXPECT_EQ(out.view(),
              R"({"error":{"message":"too long","type":"invalid_request_error","param":"input",)"
              R"("code":"context_length_exceeded"}})");
}

TEST(ResponsesClientAnswer, ErrorFrame) {
    ApiError error;
    error.error_class = ErrorClass::overloaded;
    error.message = {"busy"};
    ByteBuffer out;
    kResponses.render_error_frame(error, out);
    EXPECT_EQ(
        out.view(),
        "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"overloaded\","
        "\"message\":\"busy\",\"param\":null}\n\n");
}

TEST(ResponsesClientAnswer, CountedTokens) {
    ByteBuffer out;
    json::Writer writer(out);
    kResponses.render_counted(42, writer);
    EXPECT_EQ(out.view(), R"({"object":"response.input_tokens","input_tokens":42})");
}

// --- pass-through ---------------------------------------------------------------------------

struct Watched {
    Observation see(std::string_view name, std::string_view data) {
        openai_testing::Padded bytes(data);
        wire::SseEvent frame;
        frame.name = name;
        frame.data = bytes.view();
        frame.has_data = true;
        return observer->on_frame(frame);
    }

    std::unique_ptr<Observer> observer = kResponses.make_observer({});
};

TEST(ResponsesObserver, StreamFromBeginningToEnd) {
    Watched watched;
    EXPECT_FALSE(
        watched
            .see("response.created", R"({"type":"response.created","response":{"model":"gpt-x"}})")
            .is_content);
    EXPECT_EQ(watched.observer->model(), "gpt-x");
    EXPECT_FALSE(watched
                     .see("response.output_item.added",
                          R"({"type":"response.output_item.added","item":{"type":"message"}})")
                     .is_content);
    EXPECT_FALSE(watched.see("response.output_text.delta", R"({"delta":""})").is_content);
    EXPECT_TRUE(watched.see("response.output_text.delta", R"({"delta":"H"})").is_content);
    EXPECT_FALSE(watched.see("response.output_text.delta", R"({"delta":"i"})").is_content);
    ByteBuffer tail;
    EXPECT_FALSE(watched.observer->finish(tail));
    Observation last = watched.see("response.incomplete", R"({"type":"response.incomplete",
        "response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},
        "usage":{"input_tokens":7,"output_tokens":2,"input_tokens_details":{"cached_tokens":4}}}})");
    EXPECT_TRUE(last.is_end);
    EXPECT_TRUE(last.is_finish);
    EXPECT_TRUE(last.has_usage);
    EXPECT_EQ(watched.observer->usage().input, 7);
    EXPECT_EQ(watched.observer->usage().cache_read, 4);
    EXPECT_EQ(watched.observer->finish_reason(), "max_output_tokens");
    EXPECT_TRUE(watched.observer->finish(tail));
    EXPECT_EQ(tail.size(), 0u);
    EXPECT_FALSE(watched.see("", "[DONE]").is_error);
}

TEST(ResponsesObserver, EventsWithoutNamesAreKnownByTheirType) {
    Watched watched;
    EXPECT_TRUE(watched.see("", R"({"type":"response.function_call_arguments.delta","delta":"{"})")
                    .is_content);
    EXPECT_TRUE(watched
                    .see("", R"({"response":{"status":"completed","usage":null},
                              "type":"response.completed"})")
                    .is_end);
    EXPECT_EQ(watched.observer->finish_reason(), "completed");
}

TEST(ResponsesObserver, CallsCountAsContentWhenTheyOpen) {
    Watched watched;
    EXPECT_TRUE(watched
                    .see("response.output_item.added",
                         R"({"type":"response.output_item.added","item":{"type":"function_call"}})")
                    .is_content);
}

TEST(ResponsesObserver, AnAnswerThatOnlyTheEndTellsIsContent) {
    auto is_content = [](std::string_view output) {
        return Watched()
            .see("response.completed", R"({"response":{"status":"completed","output":)" +
                                           std::string(output) +
                                           R"(},"type":"response.completed"})")
            .is_content;
    };
    EXPECT_TRUE(is_content(R"([{"type":"message"}])"));
    EXPECT_FALSE(is_content("[]"));
}

TEST(ResponsesObserver, ErrorsInEveryForm) {
    for (std::string_view data :
         {R"({"type":"error","sequence_number":2,"error":{"type":"rate_limit_error",
              "code":"rate_limit_exceeded","message":"slow"}})",
          R"({"type":"error","code":"rate_limit_exceeded","message":"slow","param":null})"}) {
        Watched watched;
        Observation seen = watched.see("error", data);
        EXPECT_TRUE(seen.is_error) << data;
        EXPECT_TRUE(seen.is_end);
        EXPECT_EQ(watched.observer->error().error_class, ErrorClass::rate_limit) << data;
        EXPECT_EQ(watched.observer->error().message.bytes, "slow") << data;
    }
    Watched watched;
    Observation seen = watched.see("response.failed", R"({"type":"response.failed","response":{
        "status":"failed","error":{"code":"server_error","message":"broken"},
        "usage":{"input_tokens":3,"output_tokens":0}}})");
    EXPECT_TRUE(seen.is_error);
    EXPECT_TRUE(seen.has_usage);
    EXPECT_EQ(watched.observer->error().message.bytes, "broken");
}

TEST(ResponsesObserver, WholeAnswers) {
    Usage usage;
    JsonText model, finish;
    Document good(R"({"object":"response","status":"completed","model":"m","output":[],
        "error":null,"usage":{"input_tokens":5,"output_tokens":1}})");
    EXPECT_TRUE(kResponses.observe_response(good.root(), usage, model, finish));
    EXPECT_EQ(usage.input, 5);
    EXPECT_EQ(model.bytes, "m");
    EXPECT_EQ(finish.bytes, "completed");
    Document failed(R"({"object":"response","status":"failed","output":[],
        "error":{"code":"server_error","message":"x"}})");
    EXPECT_FALSE(kResponses.observe_response(failed.root(), usage, model, finish));
    Document chat(R"({"object":"chat.completion","choices":[]})");
    EXPECT_FALSE(kResponses.observe_response(chat.root(), usage, model, finish));
}

}  // namespace
}  // namespace llm
