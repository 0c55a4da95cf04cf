// Streams of Responses services -> events.
#include "t/unit/openai_testing.hpp"

namespace llm {
namespace {

using Lines = std::vector<std::string>;

std::string event(std::string_view data) {
    return "data: " + std::string(data) + "\n\n";
}

const std::string kCreated =
    event(R"({"type":"response.created","response":{"id":"resp_1","model":"m",)"
          R"("created_at":17.5,"status":"in_progress","output":[]}})");

std::string completed(std::string_view output = "[]") {
    return event(R"({"type":"response.completed","response":{"id":"resp_1","status":"completed",)"
                 R"("output":)" +
                 std::string(output) +
                 R"(,"usage":{"input_tokens":5,"output_tokens":3,"total_tokens":8}}})");
}

// What stands between the start and the usage.
Lines middle(std::string_view events, std::string_view output = "[]") {
    Lines lines =
        openai_testing::decode(kCreated + std::string(events) + completed(output), kResponses);
    EXPECT_GE(lines.size(), 4u);
    EXPECT_EQ(lines.front(), "start resp_1 m");
    EXPECT_EQ(lines.back(), "end");
    EXPECT_EQ(lines[lines.size() - 3], "usage 5+3");
    lines.erase(lines.begin());
    lines.resize(lines.size() - 3);
    return lines;
}

std::string finish_of(std::string_view events, std::string_view response) {
    Lines lines = openai_testing::decode(
        kCreated + std::string(events) +
            event(R"({"type":"response.completed","response":)" + std::string(response) + "}"),
        kResponses);
    EXPECT_GE(lines.size(), 2u);
    return lines.size() < 2 ? "" : lines[lines.size() - 2];
}

const std::string kMessage =
    event(R"({"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1",)"
          R"("type":"message","content":[]}})");
const std::string kCall =
    event(R"({"type":"response.output_item.added","output_index":0,"item":{"id":"fc_1",)"
          R"("type":"function_call","call_id":"call_1","name":"f","arguments":""}})");

std::string text(std::string_view delta) {
    return event(R"({"type":"response.output_text.delta","item_id":"msg_1","output_index":0,)"
                 R"("content_index":0,"delta":")" +
                 std::string(delta) + "\"}");
}

std::string arguments(std::string_view delta) {
    return event(R"({"type":"response.function_call_arguments.delta","output_index":0,"delta":")" +
                 std::string(delta) + "\"}");
}

// --- text -----------------------------------------------------------------------------------

TEST(ResponsesDecoder, Gotcha79TextOfDoneEventsIsNotSaidTwice) {
    std::string events =
        kMessage + text("Hel") + text("") + text("lo") +
        event(R"({"type":"response.output_text.done","output_index":0,"content_index":0,)"
              R"("text":"Hello"})") +
        event(R"({"type":"response.content_part.done","output_index":0,"content_index":0,)"
              R"("part":{"type":"output_text","text":"Hello"}})") +
        event(R"({"type":"response.output_item.done","output_index":0,"item":{"type":"message",)"
              R"("content":[{"type":"output_text","text":"Hello"}]}})");
    EXPECT_EQ(middle(events, R"([{"type":"message","content":[{"type":"output_text",)"
                             R"("text":"Hello"}]}])"),
              (Lines{"open 0 text", "delta 0 Hel", "delta 0 lo", "close 0"}));
}

TEST(ResponsesDecoder, TheMissingTailOfATextComesFromItsDoneEvent) {
    // The lengths are told in characters: the writers of the two escape differently.
    std::string events =
        kMessage + text("\\u00e9\\ud83d") + text("\\ude00\\/") +
        event(
            "{\"type\":\"response.output_text.done\",\"output_index\":0,\"content_index\":0,"
            "\"text\":\"\xc3\xa9\xf0\x9f\x98\x80/ and more\"}");
    EXPECT_EQ(middle(events), (Lines{"open 0 text", "delta 0 \\u00e9\\ud83d", "delta 0 \\ude00\\/",
                                     "delta 0  and more", "close 0"}));
}

TEST(ResponsesDecoder, WhatWasOnlyInTheFinalResponseIsNotLost) {
    EXPECT_EQ(
        middle("", R"([{"type":"message","content":[{"type":"output_text","text":"a"}]},)"
                   R"({"type":"function_call","call_id":"c","name":"f","arguments":"{}"}])"),
        (Lines{"open 0 text", "delta 0 a", "close 0", "open 1 tool c f", "delta 1 {}", "close 1"}));
    EXPECT_EQ(middle(kMessage + text("a"), R"([{"type":"message","content":[)"
                                           R"({"type":"output_text","text":"abc"}]}])"),
              (Lines{"open 0 text", "delta 0 a", "delta 0 bc", "close 0"}));
}

TEST(ResponsesDecoder, Gotcha84AnItemIsKnownByItsIndexWhateverItsIds) {
    std::string events =
        event(R"({"type":"response.output_item.added","output_index":0,"item":{"id":"A",)"
              R"("type":"message"}})") +
        event(
            R"({"type":"response.output_text.delta","item_id":"B","output_index":0,"delta":"x"})") +
        event(
            R"({"type":"response.output_text.delta","item_id":"C","output_index":0,"delta":"y"})") +
        event(R"({"type":"response.output_item.done","output_index":0,"item":{"id":"D",)"
              R"("type":"message","content":[{"type":"output_text","text":"xy"}]}})");
    EXPECT_EQ(middle(events), (Lines{"open 0 text", "delta 0 x", "delta 0 y", "close 0"}));
}

TEST(ResponsesDecoder, TextWithoutAnyAnnouncement) {
    EXPECT_EQ(middle(text("x")), (Lines{"open 0 text", "delta 0 x", "close 0"}));
}

TEST(ResponsesDecoder, RefusalsAreBlocksOfTheirOwn) {
    std::string refusal =
        kMessage + event(R"({"type":"response.refusal.delta","output_index":0,"content_index":0,)"
                         R"("delta":"No."})");
    EXPECT_EQ(middle(refusal), (Lines{"open 0 refusal", "delta 0 No.", "close 0"}));
    EXPECT_EQ(finish_of(refusal, R"({"status":"completed"})"), "finish refusal (completed)");
    EXPECT_EQ(finish_of(text("x") + refusal, R"({"status":"completed"})"),
              "finish stop (completed)");
}

TEST(ResponsesDecoder, AnnotationsAreCitedOnce) {
    constexpr std::string_view kCitation =
        R"({"type":"url_citation","start_index":0,"end_index":1,"url":"u","title":"t"})";
    std::string events =
        kMessage + text("x") +
        event(R"({"type":"response.output_text.annotation.added","output_index":0,)"
              R"("content_index":0,"annotation_index":0,"annotation":)" +
              std::string(kCitation) + "}") +
        event(R"({"type":"response.content_part.done","output_index":0,"content_index":0,)"
              R"("part":{"type":"output_text","text":"x","annotations":[)" +
              std::string(kCitation) + R"(,{"type":"file_citation","file_id":"f"}]}})");
    EXPECT_EQ(middle(events),
              (Lines{"open 0 text", "delta 0 x", "cite 0 " + std::string(kCitation) + " = u 0 to 1",
                     R"(cite 0 {"type":"file_citation","file_id":"f"})", "close 0"}));
}

TEST(ResponsesDecoder, LogprobsAsChatHasThem) {
    std::string events =
        event(R"({"type":"response.output_text.delta","output_index":0,"delta":"x",)"
              R"("logprobs":[{"token":"x","logprob":-1}]})");
    EXPECT_EQ(
        middle(events),
        (Lines{"open 0 text", "delta 0 x",
               R"(logprobs {"content":[{"token":"x","logprob":-1}],"refusal":null})", "close 0"}));
}

// --- reasoning ------------------------------------------------------------------------------

TEST(ResponsesDecoder, PartsOfASummaryAreParagraphsOfOneBlock) {
    auto summary = [](int index, std::string_view delta) {
        return event(R"({"type":"response.reasoning_summary_text.delta","output_index":0,)"
                     R"("summary_index":)" +
                     std::to_string(index) + R"(,"delta":")" + std::string(delta) + "\"}");
    };
    std::string events =
        event(R"({"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1",)"
              R"("type":"reasoning","summary":[],"encrypted_content":"short"}})") +
        summary(0, "one") + summary(1, "two") +
        event(R"({"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1",)"
              R"("type":"reasoning","summary":[{"type":"summary_text","text":"one"},)"
              R"({"type":"summary_text","text":"two!"}],"encrypted_content":"whole"}})");
    EXPECT_EQ(middle(events), (Lines{"open 0 reasoning", "delta 0 one", "delta 0 \\n\\n",
                                     "delta 0 two", "delta 0 !", "signature 0 whole", "close 0"}));
}

TEST(ResponsesDecoder, ReasoningWithoutASummaryIsASignatureOrNothing) {
    auto item = [](std::string_view rest) {
        return event(R"({"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1",)"
                     R"("type":"reasoning","summary":[]}})") +
               event(R"({"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1",)"
                     R"("type":"reasoning","summary":[])" +
                     std::string(rest) + "}}");
    };
    EXPECT_EQ(middle(item(R"(,"encrypted_content":"e")")),
              (Lines{"open 0 reasoning", "signature 0 e", "close 0"}));
    EXPECT_EQ(middle(item("")), Lines{});
}

TEST(ResponsesDecoder, AMessageMayBeginBeforeTheThoughtsAreDone) {
    std::string events =
        event(
            R"({"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning"}})") +
        event(R"({"type":"response.reasoning_text.delta","output_index":0,"content_index":0,)"
              R"("delta":"hm"})") +
        event(
            R"({"type":"response.output_item.added","output_index":1,"item":{"type":"message"}})") +
        event(R"({"type":"response.output_text.delta","output_index":1,"delta":"x"})") +
        event(R"({"type":"response.output_item.done","output_index":1,"item":{"type":"message",)"
              R"("content":[{"type":"output_text","text":"x"}]}})") +
        event(R"({"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning",)"
              R"("summary":[],"content":[{"type":"reasoning_text","text":"hm"}]}})");
    EXPECT_EQ(middle(events), (Lines{"open 0 reasoning", "delta 0 hm", "open 1 text", "delta 1 x",
                                     "close 1", "close 0"}));
}

// --- calls ----------------------------------------------------------------------------------

TEST(ResponsesDecoder, CallsHaveTheIdOfTheCallNotOfTheItem) {
    std::string events =
        kCall + arguments("{\\\"a\\\"") + arguments("") + arguments(":1}") +
        event(R"({"type":"response.output_item.done","output_index":0,"item":{"id":"fc_1",)"
              R"("type":"function_call","call_id":"call_1","name":"f","arguments":"{\"a\":1}"}})");
    EXPECT_EQ(middle(events),
              (Lines{"open 0 tool call_1 f", "delta 0 {\\\"a\\\"", "delta 0 :1}", "close 0"}));
    EXPECT_EQ(finish_of(events, R"({"status":"completed"})"), "finish tool_calls (completed)");
}

TEST(ResponsesDecoder, Gotcha80ArgumentsThatOnlyTheDoneEventHas) {
    EXPECT_EQ(middle(kCall + event(R"({"type":"response.function_call_arguments.done",)"
                                   R"("output_index":0,"arguments":"{}"})")),
              (Lines{"open 0 tool call_1 f", "delta 0 {}", "close 0"}));
}

TEST(ResponsesDecoder, ArgumentsWaitForTheName) {
    std::string events =
        arguments("{") + arguments("}") +
        event(R"({"type":"response.output_item.done","output_index":0,"item":{"id":"fc_1",)"
              R"("type":"function_call","call_id":"c","name":"f","arguments":"{}"}})");
    EXPECT_EQ(middle(events), (Lines{"open 0 tool c f", "delta 0 {}", "close 0"}));
    EXPECT_EQ(middle(arguments("{}")), Lines{});
}

TEST(ResponsesDecoder, FreeTextCallsAreTextOfACall) {
    std::string events =
        event(R"({"type":"response.output_item.added","output_index":0,"item":{"id":"ct",)"
              R"("type":"custom_tool_call","call_id":"c","name":"sql","input":""}})") +
        event(
            R"({"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"SEL"})") +
        event(R"({"type":"response.custom_tool_call_input.done","output_index":0,)"
              R"("input":"SELECT"})");
    EXPECT_EQ(middle(events),
              (Lines{"open 0 tool c sql", "delta 0 SEL", "delta 0 ECT", "close 0"}));
}

TEST(ResponsesDecoder, CallsOfOneAnswerNeverShareAnId) {
    std::string second = kCall;
    second.replace(second.find("\"output_index\":0"), 16, "\"output_index\":1");
    Lines lines = middle(kCall + second);
    ASSERT_EQ(lines.size(), 4u);
    EXPECT_EQ(lines[0], "open 0 tool call_1 f");
    EXPECT_TRUE(lines[1].starts_with("open 1 tool call_") && lines[1] != "open 1 tool call_1 f");
}

TEST(ResponsesDecoder, ItemsOfHostedToolsComeWhole) {
    constexpr std::string_view kItem =
        R"({"id":"ws_1","type":"web_search_call","status":"completed"})";
    std::string events =
        event(R"({"type":"response.output_item.added","output_index":0,"item":{"id":"ws_1",)"
              R"("type":"web_search_call","status":"in_progress"}})") +
        event(R"({"type":"response.web_search_call.searching","output_index":0})") +
        event(R"({"type":"response.output_item.done","output_index":0,"item":)" +
              std::string(kItem) + "}");
    EXPECT_EQ(middle(events), (Lines{"open 0 opaque", "close 0"}));
    EXPECT_EQ(finish_of(events, R"({"status":"completed"})"), "finish stop (completed)");
    std::string image = event(R"({"type":"response.output_item.done","output_index":0,"item":)"
                              R"({"type":"image_generation_call","result":"iVBORw0KGgo="}})");
    EXPECT_EQ(middle(image), (Lines{"open 0 image", "close 0"}));
}

// --- ends and errors ------------------------------------------------------------------------

TEST(ResponsesDecoder, ReasonsOfIncompleteAnswers) {
    auto incomplete = [](std::string_view reason) {
        return finish_of(kCall, R"({"status":"incomplete","incomplete_details":{"reason":")" +
                                    std::string(reason) + "\"}}");
    };
    EXPECT_EQ(incomplete("max_output_tokens"), "finish length (max_output_tokens)");
    EXPECT_EQ(incomplete("content_filter"), "finish content_filter (content_filter)");
    EXPECT_EQ(incomplete("something"), "finish other (something)");
}

TEST(ResponsesDecoder, Case1AStreamWithoutItsEndIsAnError) {
    for (const char *last : {"", "data: [DONE]\n\n", "data: {\"type\":\"response.comp"}) {
        Lines lines = openai_testing::decode(kCreated + text("x") + last, kResponses);
        EXPECT_EQ(lines.back(), "error stream_truncated") << last;
    }
    EXPECT_EQ(openai_testing::decode("", kResponses), Lines{"error stream_truncated"});
}

TEST(ResponsesDecoder, WhatFollowsTheEndIsIgnored) {
    Lines lines = openai_testing::decode(
        kCreated + completed() + text("x") + "data: [DONE]\n\n" + "data: {\n\n", kResponses);
    EXPECT_EQ(lines.back(), "end");
}

TEST(ResponsesDecoder, ErrorsInEveryShape) {
    auto error_of = [](std::string_view data) {
        return openai_testing::decode(kCreated + event(data), kResponses).back();
    };
    EXPECT_EQ(error_of(R"({"type":"error","sequence_number":2,"error":{"type":"requests",)"
                       R"("code":"rate_limit_exceeded","message":"slow"}})"),
              "error rate_limit");
    EXPECT_EQ(error_of(R"({"type":"error","code":"rate_limit_exceeded","message":"slow",)"
                       R"("param":null})"),
              "error rate_limit");
    EXPECT_EQ(error_of(R"({"type":"response.failed","response":{"id":"r","status":"failed",)"
                       R"("error":{"code":"server_error","message":"oh"}}})"),
              "error upstream");
    EXPECT_EQ(error_of(R"({"type":"response.failed","response":{"status":"failed"}})"),
              "error upstream");
    EXPECT_EQ(error_of(R"({"error":{"code":"context_length_exceeded","message":"too long"}})"),
              "error context_length");
    EXPECT_EQ(error_of("{"), "error upstream_protocol");
    Lines lines = openai_testing::decode("event: error\ndata: overloaded\n\n", kResponses);
    EXPECT_EQ(lines, Lines{"error upstream"});
}

TEST(ResponsesDecoder, TokensOfAFailedAnswerCount) {
    Lines lines = openai_testing::decode(
        kCreated + event(R"({"type":"response.failed","response":{"status":"failed",)"
                         R"("error":{"code":"server_error","message":"oh"},)"
                         R"("usage":{"input_tokens":9,"output_tokens":1}}})"),
        kResponses);
    EXPECT_EQ(lines, (Lines{"start resp_1 m", "usage 9+1", "error upstream"}));
}

TEST(ResponsesDecoder, UnknownEventsAndFramesWithoutAnObjectAreIgnored) {
    EXPECT_EQ(middle(event(R"({"type":"response.new_thing","output_index":3})") + ": hi\n\n" +
                     event("[1]") + event("7") + text("x")),
              (Lines{"open 0 text", "delta 0 x", "close 0"}));
}

TEST(ResponsesDecoder, WhatInputCanGrowIsBounded) {
    std::string stream = kCreated;
    for (int i = 0; i < 5000; i++) {
        stream += event(R"({"type":"response.output_item.added","output_index":)" +
                        std::to_string(i) + R"(,"item":{"type":"web_search_call"}})");
    }
    EXPECT_EQ(openai_testing::decode_pieces({stream}, kResponses).back(),
              "error upstream_protocol");
    std::string early = kCreated;
    for (int i = 0; i < 10; i++) {
        early += arguments(std::string(1 << 20, 'x'));
    }
    EXPECT_EQ(openai_testing::decode_pieces({early}, kResponses).back(), "error upstream_protocol");
}

}  // namespace
}  // namespace llm
