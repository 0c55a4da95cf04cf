// Whole answers of Responses services.
#include "t/unit/openai_testing.hpp"

namespace llm {
namespace {

using openai_testing::Document;

struct Parsed {
    explicit Parsed(std::string_view body) : document(body) {
        status = kResponses.parse_response(document.root(), arena, response);
    }
    const ir::Choice &choice() const { return response.choices.at(0); }

    Document document;
    Arena arena;
    ir::Response response;
    Status status;
};

std::string with_output(std::string_view output, std::string_view rest = {}) {
    return R"({"id":"resp_1","model":"m","created_at":17.5,"status":"completed","error":null,)"
           R"("output":[)" +
           std::string(output) + "]" + std::string(rest) + "}";
}

TEST(ResponsesAnswer, ItemsBecomePartsInTheirOrder) {
    Parsed answer(with_output(
        R"({"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a"},)"
        R"({"type":"summary_text","text":"b"}],"encrypted_content":"enc"},)"
        R"({"type":"web_search_call","id":"ws"},)"
        R"({"type":"message","content":[{"type":"output_text","text":"hi","annotations":[)"
        R"({"type":"file_citation","file_id":"f"},)"
        R"({"type":"url_citation","start_index":1,"end_index":2,"url":"u","title":"t"}]},)"
        R"({"type":"refusal","refusal":"no"}]},)"
        R"({"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{\"a\":1}"},)"
        R"({"type":"custom_tool_call","id":"ct","call_id":"d","name":"s","input":"x\ny"})"));
    ASSERT_TRUE(answer.status);
    EXPECT_EQ(answer.response.created, 17);
    const std::vector<ir::Part> &parts = answer.choice().parts;
    ASSERT_EQ(parts.size(), 6u);
    const auto &thought = std::get<ir::Reasoning>(parts[0].is);
    EXPECT_EQ(thought.text.bytes, "a\\n\\nb");
    EXPECT_EQ(thought.signature.bytes, "enc");
    EXPECT_EQ(thought.id.bytes, "rs_1");
    EXPECT_EQ(thought.origin, DialectId::responses);
    EXPECT_EQ(std::get<ir::Opaque>(parts[1].is).type.bytes, "web_search_call");
    const auto &text = std::get<ir::Text>(parts[2].is);
    EXPECT_EQ(text.text.bytes, "hi");
    EXPECT_EQ(text.citations_origin, DialectId::responses);
    ASSERT_EQ(text.cited.size(), 1u);
    EXPECT_EQ(text.cited[0].url.bytes, "u");
    EXPECT_EQ(text.cited[0].start, 1);
    EXPECT_EQ(std::get<ir::Refusal>(parts[3].is).text.bytes, "no");
    const auto &call = std::get<ir::ToolCall>(parts[4].is);
    EXPECT_EQ(call.id.bytes, "c");
    EXPECT_EQ(call.arguments, "{\"a\":1}");
    const auto &custom = std::get<ir::ToolCall>(parts[5].is);
    EXPECT_TRUE(custom.custom);
    EXPECT_EQ(custom.arguments, "x\ny");
    EXPECT_EQ(answer.choice().finish, ir::Finish::tool_calls);
    EXPECT_EQ(answer.choice().native_finish.bytes, "completed");
}

TEST(ResponsesAnswer, Gotcha69_AnAnswerInTheWordsOfTheCommentaryIsSaidOnce) {
    auto texts = [](std::string_view answer, std::string_view phase = "final_answer") {
        Parsed parsed(with_output(
            R"({"type":"message","phase":"commentary","content":[{"type":"output_text",)"
            R"("text":"Done."}]},{"type":"message","phase":")" +
            std::string(phase) + R"(","content":[{"type":"output_text","text":")" +
            std::string(answer) + R"("}]})"));
        EXPECT_TRUE(parsed.status);
        std::string all;
        for (const ir::Part &part : parsed.choice().parts) {
            all.append(std::get<ir::Text>(part.is).text.bytes).append("|");
        }
        return all;
    };
    EXPECT_EQ(texts("Done."), "Done.|");
    EXPECT_EQ(texts("Done, all of it."), "Done.|Done, all of it.|");
    EXPECT_EQ(texts("Done.", "commentary"), "Done.|Done.|");
}

TEST(ResponsesAnswer, RawThoughtsWhereThereIsNoSummary) {
    Parsed answer(with_output(R"({"type":"reasoning","summary":[],"content":[)"
                              R"({"type":"reasoning_text","text":"hm"}]},)"
                              R"({"type":"reasoning","id":"rs_2","summary":[]})"));
    ASSERT_TRUE(answer.status);
    ASSERT_EQ(answer.choice().parts.size(), 1u);
    EXPECT_EQ(std::get<ir::Reasoning>(answer.choice().parts[0].is).text.bytes, "hm");
}

TEST(ResponsesAnswer, HowItEnded) {
    constexpr std::string_view kCall =
        R"({"type":"function_call","call_id":"c","name":"f","arguments":"{"})";
    constexpr std::string_view kRefusal =
        R"({"type":"message","content":[{"type":"refusal","refusal":"no"}]})";
    auto finish = [](std::string_view output, std::string_view rest = {}) {
        Parsed answer(with_output(output, rest));
        EXPECT_TRUE(answer.status);
        return openai_testing::name_of(answer.choice().finish);
    };
    EXPECT_EQ(finish(""), "stop");
    EXPECT_EQ(finish(kRefusal), "refusal");
    // The last member of a name counts. Gotcha 40: a cut call is no call to make.
    EXPECT_EQ(finish(kCall, R"(,"status":"incomplete","incomplete_details":)"
                            R"({"reason":"max_output_tokens"})"),
              "length");
    EXPECT_EQ(finish("", R"(,"status":"incomplete","incomplete_details":)"
                         R"({"reason":"content_filter"})"),
              "content_filter");
}

TEST(ResponsesAnswer, WhatIsNoAnswerIsAFailedAttempt) {
    for (const char *body :
         {R"({"error":{"message":"no"}})", R"({"status":"failed","output":[]})",
          R"({"status":"completed","output":[],"error":{"code":"server_error"}})",
          R"({"status":"cancelled","output":[]})", R"({"choices":[]})", "[]"}) {
        Parsed answer(body);
        ASSERT_FALSE(answer.status) << body;
        EXPECT_EQ(answer.status.error().code, Errc::upstream_protocol);
    }
}

TEST(ResponsesAnswer, TokensAreCountedInOneConvention) {
    auto usage = [](std::string_view usage) {
        Parsed answer(with_output("", ",\"usage\":" + std::string(usage)));
        EXPECT_TRUE(answer.status);
        return answer.response.usage;
    };
    Usage plain = usage(R"({"input_tokens":1220,"input_tokens_details":{"cached_tokens":20,)"
                        R"("cache_write_tokens":1200},"output_tokens":100,)"
                        R"("output_tokens_details":{"reasoning_tokens":30},"total_tokens":1320})");
    EXPECT_EQ(plain.input, 1220);
    EXPECT_EQ(plain.cache_read, 20);
    EXPECT_EQ(plain.cache_write, 1200);
    EXPECT_EQ(plain.output, 100);
    EXPECT_EQ(plain.reasoning, 30);
    Usage apart = usage(R"({"input_tokens":10,"output_tokens":5,"output_tokens_details":)"
                        R"({"reasoning_tokens":7},"total_tokens":22})");
    EXPECT_EQ(apart.output, 12);
    Usage wild = usage(R"({"input_tokens":5,"input_tokens_details":{"cached_tokens":9},)"
                       R"("output_tokens":-1,"total_tokens":1e300})");
    EXPECT_EQ(wild.cache_read, 5);
    EXPECT_EQ(wild.output, 0);
    EXPECT_FALSE(usage("null").known);
}

TEST(ResponsesAnswer, LogprobsOfAllPartsAreOneList) {
    Parsed answer(with_output(
        R"({"type":"message","content":[{"type":"output_text","text":"a","logprobs":[{"t":1}]},)"
        R"({"type":"output_text","text":"b","logprobs":[{"t":2}]}]})"));
    EXPECT_EQ(answer.choice().logprobs.bytes, R"({"content":[{"t":1},{"t":2}],"refusal":null})");
}

}  // namespace
}  // namespace llm
