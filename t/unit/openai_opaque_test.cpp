// Signatures and citations that pass through chat: from providers, to clients and back again.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

// One line a part of the assistant's turn: "reasoning ORIGIN text|signature".
std::vector<std::string> parts_of(std::string_view message) {
    Parsed parsed(with_messages(R"({"role":"user","content":"Hi"},{"role":"assistant",)" +
                                std::string(message) + "}"));
    EXPECT_TRUE(parsed.status) << parsed.status.error().what;
    std::vector<std::string> lines;
    if (parsed.request.turns.size() != 2) {
        return lines;
    }
    for (const ir::Part &part : parsed.request.turns[1].parts) {
        if (const auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
            lines.push_back((reasoning->is_redacted ? "redacted " : "reasoning ") +
                            std::to_string(static_cast<int>(reasoning->origin)) + " " +
                            std::string(reasoning->text.bytes) + "|" +
                            std::string(reasoning->is_redacted ? reasoning->redacted.bytes
                                                               : reasoning->signature.bytes));
        } else if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            lines.push_back("text " + std::string(text->text.bytes));
        } else if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
            lines.push_back("call " + std::string(call->name.bytes));
        }
    }
    EXPECT_TRUE(parsed.request.unmodelled.empty());
    return lines;
}

using Lines = std::vector<std::string>;

std::string block(std::string_view signature, std::string_view text = "") {
    return R"({"type":"thinking","thinking":")" + std::string(text) + R"(","signature":")" +
           std::string(signature) + R"("})";
}

constexpr std::string_view kCall =
    R"("tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}])";

TEST(ChatOpaque, Case38_TagsSayWhereASignatureGoesBackTo) {
    EXPECT_EQ(parts_of(R"("content":"x","thinking_blocks":[)" + block("gw1.anthropic.S", "Hm") +
                       R"(,{"type":"redacted_thinking","data":"gw1.bedrock.R"},)" +
                       block("gw1.responses.E") + "]"),
              (Lines{"reasoning 1 Hm|S", "redacted 4 |R", "reasoning 2 |E", "text x"}));
    // As LiteLLM's clients have them.
    EXPECT_EQ(parts_of(R"("content":"x","thinking_blocks":[)" + block("S", "Hm") + "]"),
              (Lines{"reasoning 1 Hm|S", "text x"}));
}

TEST(ChatOpaque, Case38_AStreamedBlockFindsItsTextAgain) {
    EXPECT_EQ(parts_of(R"("content":"x","reasoning_content":"Hm","thinking_blocks":[)" +
                       block("gw1.anthropic.S") + "]"),
              (Lines{"reasoning 1 Hm|S", "text x"}));
    // Two blocks, one text: neither signature would hold.
    EXPECT_EQ(parts_of(R"("content":"x","reasoning_content":"Hm","thinking_blocks":[)" +
                       block("gw1.anthropic.S") + "," + block("gw1.anthropic.T") + "]"),
              (Lines{"reasoning 0 Hm|", "text x"}));
    // Signatures that do not depend on the text stay.
    EXPECT_EQ(parts_of(R"("content":"x","reasoning_content":"Hm","thinking_blocks":[)" +
                       block("gw1.responses.S") + "," + block("gw1.responses.T") + "]"),
              (Lines{"reasoning 0 Hm|", "reasoning 2 |S", "reasoning 2 |T", "text x"}));
}

TEST(ChatOpaque, Case44_GooglesSignaturesStandBeforeTheirCallAndBehindTheirText) {
    EXPECT_EQ(parts_of(R"("content":"x","thinking_blocks":[)" + block("gw1.gemini.S") + "]," +
                       std::string(kCall)),
              (Lines{"reasoning 3 |S", "text x", "call f"}));
    EXPECT_EQ(parts_of(R"("content":"x","thinking_blocks":[)" + block("gw1.gemini.S") + "]"),
              (Lines{"text x", "reasoning 3 |S"}));
    EXPECT_EQ(parts_of(R"("content":null,"tool_calls":[{"id":"c","type":"function",)"
                       R"("extra_content":{"google":{"thought_signature":"S"}},)"
                       R"("function":{"name":"f","arguments":"{}"}}])"),
              (Lines{"reasoning 3 |S", "call f"}));
    EXPECT_EQ(parts_of(R"("content":"x","extra_content":{"google":{"thought_signature":"S"}})"),
              (Lines{"text x", "reasoning 3 |S"}));
}

TEST(ChatOpaque, Gotcha61_TheCompatibleEndpointSignsItsCalls) {
    std::string signature = R"("extra_content":{"google":{"thought_signature":"S"}})";
    std::string function = R"("function":{"name":"f","arguments":"{}"})";
    EXPECT_EQ(decode(stream_of(
                  {delta(R"("content":"Hi")"), delta(R"("tool_calls":[{"index":0,"id":"c",)" +
                                                         signature + "," + function + "}]",
                                                     R"("stop")")})),
              (Lines{"start a m", "open 0 text", "delta 0 Hi", "close 0", "open 1 reasoning",
                     "signature 1 S of Google", "close 1", "open 2 tool c f", "delta 2 {}",
                     "close 2", "finish tool_calls (stop)", "end"}));
    EXPECT_EQ(decode(stream_of({delta(R"("content":"Hi",)" + signature, R"("stop")")})),
              (Lines{"start a m", "open 0 text", "delta 0 Hi", "close 0", "open 1 reasoning",
                     "signature 1 S of Google", "close 1", "finish stop (stop)", "end"}));

    Document body(R"({"choices":[{"message":{"content":"Hi","tool_calls":[{"id":"c",)" + signature +
                  "," + function + R"(}]},"finish_reason":"stop"}]})");
    Arena arena;
    ir::Response response;
    ASSERT_TRUE(kOpenAi.parse_response(body.root(), arena, response));
    const std::vector<ir::Part> &parts = response.choices[0].parts;
    ASSERT_EQ(parts.size(), 3u);
    const auto *signed_by = std::get_if<ir::Reasoning>(&parts[1].is);
    ASSERT_NE(signed_by, nullptr);
    EXPECT_EQ(signed_by->origin, DialectId::gemini);
    EXPECT_EQ(signed_by->signature.bytes, "S");
    EXPECT_EQ(response.choices[0].finish, ir::Finish::tool_calls);
}

// --- citations ------------------------------------------------------------------------------

TEST(ChatCitations, AnnotationsInCommonTerms) {
    std::string annotation =
        R"({"type":"url_citation","url_citation":{"url":"u","title":"t","start_index":0,"end_index":2}})";
    EXPECT_EQ(
        decode(stream_of({delta(R"("content":"Hi")"),
                          delta(R"("annotations":[)" + annotation + "]", R"("stop")")})),
        (Lines{"start a m", "open 0 text", "delta 0 Hi", "cite 0 " + annotation + " = u 0 to 2",
               "close 0", "finish stop (stop)", "end"}));
}

TEST(ChatCitations, AddressesBesideTheChoices) {
    std::string found = R"("citations":["u","v"],"search_results":[{"url":"v","title":"t"}],)";
    EXPECT_EQ(decode(stream_of({R"("citations":["u"],)" + delta(R"("content":"Hi[1]")"),
                                found + delta("", R"("stop")")})),
              (Lines{"start a m", "open 0 text", "delta 0 Hi[1]", "cite 0  = u -1 to -1",
                     "cite 0  = v -1 to -1", "close 0", "finish stop (stop)", "end"}));

    Document body("{" + found + R"("choices":[{"message":{"content":"Hi[1]"}}]})");
    Arena arena;
    ir::Response response;
    ASSERT_TRUE(kOpenAi.parse_response(body.root(), arena, response));
    const auto *text = std::get_if<ir::Text>(&response.choices[0].parts[0].is);
    ASSERT_NE(text, nullptr);
    ASSERT_EQ(text->cited.size(), 2u);
    EXPECT_EQ(text->cited[1].title.bytes, "t");
    ByteBuffer out;
    json::Writer writer(out);
    kOpenAi.render_response(response, {}, arena, writer);
    EXPECT_NE(out.view().find(R"("url":"v","title":"t","start_index":5,"end_index":5)"),
              std::string_view::npos);
}

}  // namespace
}  // namespace llm::openai_testing
