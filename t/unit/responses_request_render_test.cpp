// Requests to a Responses provider: what is written for clients of other dialects.
#include "t/unit/openai_testing.hpp"
#include "translators/provider/model_traits.hpp"

namespace llm {
namespace {

using openai_testing::Document;

struct Rendered {
    std::string body;
    std::vector<std::string> dropped;
    std::vector<std::string> custom_tools;
    std::string refused;  // the parameter
};

struct Options {
    std::string_view model = "gpt-4.1";
    bool is_official = true;
    bool drop_params = false;
    bool is_count = false;
};

Rendered render(const Dialect &client, std::string_view body, const Options &options = {}) {
    Document document(body);
    Arena arena;
    ir::Request request;
    Status parsed = client.parse_request(document.root(), arena, request);
    EXPECT_TRUE(parsed) << parsed.error().what << " " << parsed.error().param;
    Target target;
    target.model = options.model;
    target.traits = model_traits(DialectId::responses, options.model, options.is_official);
    target.drop_params = options.drop_params;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    auto *function = options.is_count ? kResponses.render_count : kResponses.render_request;
    Status status = function(request, target, arena, writer, notes);
    Rendered rendered;
    if (!status) {
        rendered.refused = status.error().param;
        return rendered;
    }
    rendered.body = out.view();
    rendered.dropped.assign(notes.dropped.begin(), notes.dropped.end());
    rendered.custom_tools.assign(notes.custom_tools.begin(), notes.custom_tools.end());
    return rendered;
}

// One member of what is written for a chat client's request.
std::string chat(std::string_view member, std::string_view rest, const Options &options = {}) {
    Rendered rendered = render(kOpenAi, R"({"model":"m",)" + std::string(rest) + "}", options);
    EXPECT_EQ(rendered.refused, "");
    if (!rendered.refused.empty()) {
        return {};
    }
    return std::string(Document(rendered.body).root()[member].raw().bytes);
}

std::string with_hi(std::string_view rest) {
    return R"("messages":[{"role":"user","content":"hi"}],)" + std::string(rest);
}

std::string chat_refuses(std::string_view rest) {
    return render(kOpenAi, R"({"model":"m",)" + with_hi(rest) + "}").refused;
}

const std::string kTool = R"("tools":[{"type":"function","function":{"name":"f"}}],)";

// --- input ----------------------------------------------------------------------------------

TEST(ResponsesRequestOut, AConversationBecomesItems) {
    std::string messages =
        R"("messages":[{"role":"system","content":"one"},{"role":"developer","content":"two"},)"
        R"({"role":"user","content":"hi"},)"
        R"({"role":"assistant","content":"let me see","tool_calls":[{"id":"call_1",)"
        R"("type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},)"
        R"({"role":"tool","tool_call_id":"call_1","content":"42"},)"
        R"({"role":"system","content":"later"},{"role":"assistant","refusal":"No."}])";
    EXPECT_EQ(chat("instructions", messages), R"("one\n\ntwo")");
    EXPECT_EQ(
        chat("input", messages),
        R"([{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]},)"
        R"({"type":"message","role":"assistant","content":[{"type":"output_text",)"
        R"("text":"let me see","annotations":[]}]},)"
        R"({"type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}"},)"
        R"({"type":"function_call_output","call_id":"call_1","output":"42"},)"
        R"({"type":"message","role":"system","content":[{"type":"input_text","text":"later"}]},)"
        R"({"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"No."}]}])");
}

TEST(ResponsesRequestOut, SystemTextAloneIsInput) {
    std::string messages = R"("messages":[{"role":"system","content":"do"}])";
    EXPECT_EQ(chat("input", messages, {.model = "gpt-5"}),
              R"([{"type":"message","role":"developer","content":[{"type":"input_text",)"
              R"("text":"do"}]}])");
    EXPECT_EQ(chat("instructions", messages), "");
}

TEST(ResponsesRequestOut, EveryCallHasOneOutput) {
    std::string calls =
        R"("messages":[{"role":"tool","tool_call_id":"lost","content":"?"},)"
        R"({"role":"assistant","tool_calls":[)"
        R"({"id":"a","type":"function","function":{"name":"f","arguments":""}},)"
        R"({"id":"b","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
        R"({"role":"tool","tool_call_id":"b","content":"old"},)"
        R"({"role":"tool","tool_call_id":"b","content":"new"}])";
    EXPECT_EQ(chat("input", calls),
              R"([{"type":"function_call","call_id":"a","name":"f","arguments":"{}"},)"
              R"({"type":"function_call","call_id":"b","name":"f","arguments":"{}"},)"
              R"({"type":"function_call_output","call_id":"a","output":"Error: [no result]"},)"
              R"({"type":"function_call_output","call_id":"b","output":"new"}])");
    EXPECT_EQ(render(kOpenAi, R"({"model":"m",)" + calls + "}").dropped,
              std::vector<std::string>{"tool_result"});
}

TEST(ResponsesRequestOut, Gotcha43LongIdsOfCallsAreCutTheSameWayInTheirResults) {
    std::string id = std::string(55, 'a') + "bcdefghijk";
    std::string input =
        chat("input", R"("messages":[{"role":"assistant","tool_calls":[{"id":")" + id +
                          R"(","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
                          R"({"role":"tool","tool_call_id":")" +
                          id + R"(","content":"x"}])");
    Document items(input);
    std::vector<std::string> ids;
    for (json::Value item : items.root().items()) {
        ids.emplace_back(item["call_id"].text().bytes);
    }
    ASSERT_EQ(ids.size(), 2u);
    EXPECT_EQ(ids[0], ids[1]);
    EXPECT_EQ(ids[0].size(), 64u);
    EXPECT_EQ(ids[0].substr(0, 56), std::string(55, 'a') + "-");
}

TEST(ResponsesRequestOut, ImagesAndFilesInMessagesAndResults) {
    std::string body =
        R"({"model":"m","max_tokens":64,"messages":[{"role":"user","content":[)"
        R"({"type":"image","source":{"type":"base64","media_type":"image/jpeg",)"
        R"("data":"iVBORw0KGgo="}},{"type":"document","title":"T","source":{"type":"base64",)"
        R"("media_type":"application/pdf","data":"JVBERi0x"}},{"type":"document","source":)"
        R"({"type":"url","url":"https://x/y.pdf"}}]},)"
        R"({"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},)"
        R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,)"
        R"("content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"url",)"
        R"("url":"https://x/z.png"}}]}]}]})";
    Document out(render(kAnthropic, body).body);
    EXPECT_EQ(
        out.root()["input"].raw().bytes,
        R"([{"type":"message","role":"user","content":[{"type":"input_image",)"
        R"("image_url":"data:image/png;base64,iVBORw0KGgo="},{"type":"input_file","filename":"T",)"
        R"("file_data":"data:application/pdf;base64,JVBERi0x"},{"type":"input_file",)"
        R"("file_url":"https://x/y.pdf"}]},)"
        R"({"type":"function_call","call_id":"t","name":"f","arguments":"{}"},)"
        R"({"type":"function_call_output","call_id":"t","output":[{"type":"input_text",)"
        R"("text":"Error:"},{"type":"input_text","text":"see"},{"type":"input_image",)"
        R"("image_url":"https://x/z.png"}]}])");
}

// --- reasoning ------------------------------------------------------------------------------

std::string reasoning_input(std::string_view signature, std::string_view behind) {
    std::string body =
        R"({"model":"m","max_tokens":64,"messages":[{"role":"user","content":"hi"},)"
        R"({"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":")" +
        std::string(signature) + "\"}" + std::string(behind) +
        R"(]},{"role":"user","content":"on"}]})";
    Rendered rendered = render(kAnthropic, body, {.model = "gpt-5"});
    Document out(rendered.body);
    std::string types;
    for (json::Value item : out.root()["input"].items()) {
        types += std::string(item["type"].text().bytes) + " ";
        if (item["type"].equals("reasoning")) {
            types += std::string(item.raw().bytes) + " ";
        }
    }
    return types;
}

TEST(ResponsesRequestOut, R20_Gotcha59_ThoughtsGoBackOnlyToWhoHadThem) {
    constexpr std::string_view kText = R"(,{"type":"text","text":"so"})";
    EXPECT_EQ(reasoning_input("c2lnbmF0dXJl", kText), "message message message ");
    EXPECT_EQ(reasoning_input("gw1.gemini.abc", kText), "message message message ");
}

TEST(ResponsesRequestOut, R20_Gotcha60_OwnThoughtsGoBackWhole) {
    ir::Request request;
    request.dialect = DialectId::anthropic;
    request.turns.emplace_back().parts.push_back({ir::Text{{"hi"}}});
    ir::Turn &turn = request.turns.emplace_back();
    turn.role = ir::Role::assistant;
    ir::Reasoning thought;
    thought.origin = DialectId::responses;
    thought.text = {"hm"};
    thought.signature = {"enc"};
    thought.id = {"rs_1"};
    turn.parts.push_back({thought});
    turn.parts.push_back({ir::Text{{"so"}}});
    turn.parts.push_back({thought});  // led to nothing
    auto input = [&request] {
        Target target;
        target.model = "gpt-5";
        target.traits.is_reasoning = true;
        target.traits.prefill = true;
        Arena arena;
        ByteBuffer out;
        json::Writer writer(out);
        Notes notes;
        EXPECT_TRUE(kResponses.render_request(request, target, arena, writer, notes));
        Document document(out.view());
        std::string all;
        for (json::Value item : document.root()["input"].items()) {
            bool is_thought = item["type"].equals("reasoning");
            all += is_thought ? std::string(item.raw().bytes) : "message";
            all += "\n";
        }
        return all;
    };
    EXPECT_EQ(input(),
              "message\n"
              R"({"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text",)"
              R"("text":"hm"}],"encrypted_content":"enc"})"
              "\nmessage\n");
    std::get<ir::Reasoning>(turn.parts[0].is).signature = {};
    EXPECT_EQ(input(), "message\nmessage\n");
}

TEST(ResponsesRequestOut, R25NothingIsStoredAndThoughtsAreAskedFor) {
    EXPECT_EQ(chat("store", with_hi(R"("n":1)")), "false");
    EXPECT_EQ(chat("include", with_hi(R"("n":1)")), "");
    EXPECT_EQ(chat("include", with_hi(R"("n":1)"), {.model = "gpt-5"}),
              R"(["reasoning.encrypted_content"])");
    EXPECT_EQ(chat("store", with_hi(R"("store":true)")), "true");
    EXPECT_EQ(chat("include", with_hi(R"("store":true)"), {.model = "gpt-5"}), "");
}

TEST(ResponsesRequestOut, EffortsAndSummaries) {
    EXPECT_EQ(chat("reasoning", with_hi(R"("reasoning_effort":"high")"), {.model = "gpt-5"}),
              R"({"effort":"high"})");
    auto messages = [](std::string_view thinking, std::string_view model) {
        Rendered out = render(kAnthropic,
                              R"({"model":"m","max_tokens":20000,"messages":[{"role":"user",)"
                              R"("content":"hi"}],"thinking":)" +
                                  std::string(thinking) + "}",
                              {.model = model});
        return std::string(Document(out.body).root()["reasoning"].raw().bytes);
    };
    EXPECT_EQ(messages(R"({"type":"enabled","budget_tokens":5000})", "gpt-5"),
              R"({"effort":"medium","summary":"auto"})");
    EXPECT_EQ(messages(R"({"type":"enabled","budget_tokens":10000})", "gpt-5"),
              R"({"effort":"high","summary":"auto"})");
    EXPECT_EQ(messages(R"({"type":"enabled","budget_tokens":10000})", "gpt-4.1"), "");
    EXPECT_EQ(messages(R"({"type":"disabled"})", "gpt-5"), "");
}

// --- tools ----------------------------------------------------------------------------------

TEST(ResponsesRequestOut, Gotcha53StrictIsAlwaysSaid) {
    EXPECT_EQ(
        chat("tools", with_hi(R"("tools":[{"type":"function","function":{"name":"f",)"
                              R"("description":"d","parameters":{"type":"object"}}},)"
                              R"({"type":"function","function":{"name":"g","strict":true}}])")),
        R"([{"type":"function","name":"f","description":"d","parameters":{"type":"object"},)"
        R"("strict":false},{"type":"function","name":"g","parameters":{"type":"object",)"
        R"("properties":{}},"strict":true}])");
}

TEST(ResponsesRequestOut, ToolChoicesAreFlat) {
    auto choice = [](std::string_view choice) {
        return chat("tool_choice", with_hi(kTool + "\"tool_choice\":" + std::string(choice)));
    };
    EXPECT_EQ(choice(R"("auto")"), R"("auto")");
    EXPECT_EQ(choice(R"("none")"), R"("none")");
    EXPECT_EQ(choice(R"("required")"), R"("required")");
    EXPECT_EQ(choice(R"({"type":"function","function":{"name":"f"}})"),
              R"({"type":"function","name":"f"})");
    EXPECT_EQ(choice(R"({"type":"allowed_tools","allowed_tools":{"mode":"required","tools":)"
                     R"([{"type":"function","function":{"name":"f"}}]}})"),
              R"({"type":"allowed_tools","mode":"required","tools":[{"type":"function",)"
              R"("name":"f"}]})");
    EXPECT_EQ(chat("tool_choice", with_hi(R"("tool_choice":"auto","parallel_tool_calls":true)")),
              "");
    EXPECT_EQ(chat("parallel_tool_calls", with_hi(kTool + R"("parallel_tool_calls":false)")),
              "false");
}

TEST(ResponsesRequestOut, FreeTextToolsAreUnwrapped) {
    std::string rest =
        with_hi(R"("tools":[{"type":"custom","custom":{"name":"sql","format":{"type":"grammar",)"
                R"("grammar":{"syntax":"regex","definition":"S.+"}}}}],)"
                R"("tool_choice":{"type":"custom","custom":{"name":"sql"}})");
    EXPECT_EQ(chat("tools", rest), R"([{"type":"custom","name":"sql","format":{"type":"grammar",)"
                                   R"("syntax":"regex","definition":"S.+"}}])");
    EXPECT_EQ(chat("tool_choice", rest), R"({"type":"custom","name":"sql"})");
    EXPECT_TRUE(render(kOpenAi, R"({"model":"m",)" + rest + "}").custom_tools.empty());
}

TEST(ResponsesRequestOut, ToolsOfOtherProvidersAreRefused) {
    std::string body =
        R"({"model":"m","max_tokens":64,"messages":[{"role":"user","content":"hi"}],)"
        R"("tools":[{"type":"web_search_20250305","name":"web_search"}]})";
    EXPECT_EQ(render(kAnthropic, body).refused, "web_search");
    Rendered dropped = render(kAnthropic, body, {.drop_params = true});
    EXPECT_EQ(dropped.dropped, std::vector<std::string>{"web_search"});
    EXPECT_TRUE(Document(dropped.body).root()["tools"].absent());
}

// --- parameters -----------------------------------------------------------------------------

TEST(ResponsesRequestOut, StructuredOutputIsFlat) {
    EXPECT_EQ(
        chat("text", with_hi(R"("verbosity":"low","response_format":{"type":"json_schema",)"
                             R"("json_schema":{"name":"n","schema":{"a":1},"strict":true}})")),
        R"({"format":{"type":"json_schema","name":"n","schema":{"a":1},"strict":true},)"
        R"("verbosity":"low"})");
    EXPECT_EQ(chat("text", with_hi(R"("response_format":{"type":"json_object"})")),
              R"({"format":{"type":"json_object"}})");
}

TEST(ResponsesRequestOut, NumbersStayAsTheyWereWritten) {
    EXPECT_EQ(chat("temperature", with_hi(R"("temperature":0.70)")), "0.70");
    EXPECT_EQ(chat("max_output_tokens", with_hi(R"("max_tokens":100)")), "100");
    EXPECT_EQ(chat("max_output_tokens", with_hi(R"("max_completion_tokens":5)")), "16");
    EXPECT_EQ(chat("include", with_hi(R"("logprobs":true,"top_logprobs":3)")),
              R"(["message.output_text.logprobs"])");
    EXPECT_EQ(chat("top_logprobs", with_hi(R"("logprobs":true,"top_logprobs":3)")), "3");
}

TEST(ResponsesRequestOut, WhatCannotBeSaidIsRefusedByItsName) {
    EXPECT_EQ(chat_refuses(R"("stop":"x")"), "stop");
    EXPECT_EQ(chat_refuses(R"("n":2)"), "n");
    EXPECT_EQ(chat_refuses(R"("seed":7)"), "seed");
    EXPECT_EQ(chat_refuses(R"("frequency_penalty":0.5)"), "frequency_penalty");
    EXPECT_EQ(chat_refuses(R"("presence_penalty":-1)"), "presence_penalty");
    EXPECT_EQ(chat_refuses(R"("logit_bias":{"1":2})"), "logit_bias");
    EXPECT_EQ(chat_refuses(R"("web_search_options":{})"), "web_search_options");
    EXPECT_EQ(chat_refuses(R"("frequency_penalty":0.0,"logit_bias":{},"n":1,"stop":[])"), "");
    Rendered dropped = render(
        kOpenAi, R"({"model":"m",)" + with_hi(R"("stop":"x","seed":7,"prediction":{"a":1})") + "}",
        {.drop_params = true});
    EXPECT_EQ(dropped.dropped, (std::vector<std::string>{"prediction", "stop", "seed"}));
}

TEST(ResponsesRequestOut, MembersThatBothDialectsHave) {
    std::string rest = with_hi(R"("prompt_cache_key":"k","metadata":{"a":"b"},)"
                               R"("service_tier":"flex","user":"u","safety_identifier":"s")");
    EXPECT_EQ(chat("prompt_cache_key", rest), R"("k")");
    EXPECT_EQ(chat("metadata", rest), R"({"a":"b"})");
    EXPECT_EQ(chat("service_tier", rest), R"("flex")");
    EXPECT_EQ(chat("user", rest), R"("u")");
    EXPECT_EQ(chat("safety_identifier", rest), R"("s")");
}

// --- its own clients ------------------------------------------------------------------------

TEST(ResponsesRequestOut, AnOwnRequestKeepsWhatNobodyElseKnows) {
    constexpr std::string_view kBody =
        R"({"model":"m","input":[{"type":"function_call_output","call_id":"c","output":"x"}],)"
        R"("tools":[{"type":"web_search"},{"type":"function","name":"f","parameters":{},)"
        R"("strict":false,"defer_loading":true}],"tool_choice":{"type":"web_search"},)"
        R"("previous_response_id":"resp_0","truncation":"auto","max_tool_calls":3})";
    EXPECT_EQ(render(kResponses, kBody, {.model = "m"}).body, kBody);
    EXPECT_EQ(
        render(kResponses, R"({"model":"m","previous_response_id":"r"})", {.model = "m"}).body,
        R"({"model":"m","previous_response_id":"r"})");
}

// --- counting -------------------------------------------------------------------------------

TEST(ResponsesRequestOut, TheCounterGetsOnlyWhatCounts) {
    Rendered count =
        render(kAnthropic,
               R"({"model":"m","max_tokens":64,"temperature":1,"stop_sequences":["x"],)"
               R"("system":"s","messages":[{"role":"user","content":"hi"}],)"
               R"("stream":true})",
               {.is_count = true});
    EXPECT_EQ(count.body,
              R"({"model":"gpt-4.1","instructions":"s","input":[{"type":"message","role":"user",)"
              R"("content":[{"type":"input_text","text":"hi"}]}]})");
    Document answer(R"({"object":"response.input_tokens","input_tokens":11})");
    EXPECT_EQ(kResponses.parse_count(answer.root()).value_or(0), 11);
    Document error(R"({"error":{"message":"no"}})");
    EXPECT_FALSE(kResponses.parse_count(error.root()));
}

}  // namespace
}  // namespace llm
