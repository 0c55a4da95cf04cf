// Messages on other carriers: Bedrock (InvokeModel) and Vertex AI. What goes into the body, what
// has to stay out of it, and how Bedrock's stream becomes the API's own.
#include <gtest/gtest.h>

#include "t/check/aws_frames.hpp"
#include "t/check/pump.hpp"
#include "t/unit/anthropic_rendering.hpp"
#include "translators/core/base64.hpp"
#include "translators/dialect/anthropic_beta.hpp"
#include "translators/dialect/anthropic_invoke.hpp"

namespace llm {
namespace {

using anthropic::beta_flags_for;

TEST(BetaFlags, Case46_Gotcha93_TheApiGetsThemAllAndBedrockOnlyWhatItKnows) {
    std::string_view sent = "a-1, oauth-2025-04-20 ,context-1m-2025-08-07,,a-1,effort-2025-11-24";
    EXPECT_EQ(beta_flags_for(sent, Carrier::direct, true),
              "a-1,oauth-2025-04-20,context-1m-2025-08-07,effort-2025-11-24");
    EXPECT_EQ(beta_flags_for(sent, Carrier::direct, false),
              "a-1,context-1m-2025-08-07,effort-2025-11-24");
    EXPECT_EQ(beta_flags_for(sent, Carrier::vertex, true),
              "a-1,context-1m-2025-08-07,effort-2025-11-24");
    EXPECT_EQ(beta_flags_for(sent, Carrier::bedrock, true),
              "context-1m-2025-08-07,effort-2025-11-24");
    for (std::string_view bad :
         {"oauth-2025-04-20", "prompt-caching-scope-2026-01-05", "fast-mode-2026-02-01",
          "redact-thinking-2026-02-12", "mcp-servers-2025-12-04"}) {
        EXPECT_EQ(beta_flags_for(bad, Carrier::bedrock, true), "") << bad;
    }
    EXPECT_EQ(beta_flags_for("", Carrier::direct, true), "");
    EXPECT_EQ(beta_flags_for(" , ,", Carrier::direct, true), "");
}

Target on(Carrier carrier, std::string_view beta_flags = {}) {
    Target target = test::classic();
    target.carrier = carrier;
    target.beta_flags = beta_flags;
    return target;
}

std::string spliced(std::string body, const Target &target) {
    std::string padded = body + std::string(json::kPadding, '\0');
    json::Reader reader;
    Result<json::Value> root = reader.parse(std::string_view(padded).substr(0, body.size()));
    EXPECT_TRUE(root);
    std::vector<Edit> edits;
    Notes notes;
    EXPECT_TRUE(kAnthropic.splice_request(*root, Envelope(), target, edits, notes));
    uint32_t end = 0;
    for (const Edit &edit : edits) {
        EXPECT_GE(edit.begin, end);
        end = edit.end;
    }
    for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {
        body.replace(edit->begin, edit->end - edit->begin, edit->text);
    }
    EXPECT_TRUE(reader.parse_unpadded(body)) << body;
    return body;
}

TEST(MessagesSplice, VertexHasTheModelInThePathAndTheVersionInTheBody) {
    EXPECT_EQ(spliced(R"({ "stream": true, "model" : "a" , "messages":[ ] })", on(Carrier::vertex)),
              R"({"anthropic_version":"vertex-2023-10-16", "stream": true , "messages":[ ] })");
    EXPECT_EQ(spliced(R"({"model":"a","messages":[]})", on(Carrier::vertex, "x-1")),
              R"({"anthropic_version":"vertex-2023-10-16","messages":[]})");
}

TEST(MessagesSplice, BedrockHasNeitherModelNorStreamAndItsFlagsInTheBody) {
    EXPECT_EQ(spliced(R"({"model":"a","max_tokens":1,"stream":true,"messages":[]})",
                      on(Carrier::bedrock, "x-1, y-2")),
              R"({"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["x-1","y-2"],)"
              R"("max_tokens":1,"messages":[]})");
    EXPECT_EQ(spliced(R"({"messages":[],"model":"a","anthropic_beta":["z"],"stream":false})",
                      on(Carrier::bedrock)),
              R"({"anthropic_version":"bedrock-2023-05-31","messages":[]})");
    EXPECT_EQ(spliced(R"({"model":"a","anthropic_version":"x"})", on(Carrier::bedrock)),
              R"({"anthropic_version":"bedrock-2023-05-31"})");
}

TEST(MessagesSplice, Gotcha92_BedrockRefusesWhatItDoesNotKnowSoItGoes) {
    EXPECT_EQ(
        spliced(R"({"model":"a","cache_control":{"type":"ephemeral"},"service_tier":"auto",)"
                R"("context_management":{"edits":[]},"system":[{"type":"text","text":"s",)"
                R"("cache_control":{"type":"ephemeral","ttl":"1h","scope":"global"}}],)"
                R"("tools":[{"name":"t","defer_loading":true,"input_schema":{"type":"object",)"
                R"("properties":{"cache_control":{"type":"object","ttl":"x"}}},)"
                R"("cache_control":{"ttl":"5m","type":"ephemeral"}}],"messages":[)"
                R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[)"
                R"({"type":"text","text":"x","cache_control":{"type":"ephemeral","ttl":"1h"}}]},)"
                R"({"type":"text","text":"y","cache_control":{"type":"ephemeral"}}]}]})",
                on(Carrier::bedrock)),
        R"({"anthropic_version":"bedrock-2023-05-31","system":[{"type":"text","text":"s",)"
        R"("cache_control":{"type":"ephemeral"}}],)"
        R"("tools":[{"name":"t","input_schema":{"type":"object",)"
        R"("properties":{"cache_control":{"type":"object","ttl":"x"}}},)"
        R"("cache_control":{"type":"ephemeral"}}],"messages":[)"
        R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[)"
        R"({"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]},)"
        R"({"type":"text","text":"y","cache_control":{"type":"ephemeral"}}]}]})");
}

TEST(MessagesSplice, AFlagKeepsWhatItOpensAndNewModelsKeepTheLongerCache) {
    Target target =
        on(Carrier::bedrock, "context-management-2025-06-27,tool-search-tool-2025-10-19");
    target.traits.structured_output = true;
    std::string members =
        R"("context_management":{"edits":[]},"tools":[{"name":"t","defer_loading":true,)"
        R"("cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[]})";
    EXPECT_EQ(spliced(R"({"model":"a",)" + members, target),
              R"({"anthropic_version":"bedrock-2023-05-31","anthropic_beta":[)"
              R"("context-management-2025-06-27","tool-search-tool-2025-10-19"],)" +
                  members);
}

TEST(MessagesSplice, ElsewhereMarksAndMembersStay) {
    std::string body =
        R"({"model":"a","cache_control":{"type":"ephemeral"},"speed":"fast","system":[{"type":)"
        R"("text","text":"s","cache_control":{"type":"ephemeral","scope":"global"}}]})";
    Target target = on(Carrier::direct);
    target.model = "a";
    EXPECT_EQ(spliced(body, target), body);
}

TEST(MessagesRender, CarriersTakeTheModelOutAndTheVersionIn) {
    test::Rendered vertex = test::render_foreign(R"("stream":true)", on(Carrier::vertex));
    EXPECT_TRUE(vertex.body.starts_with(R"({"anthropic_version":"vertex-2023-10-16",)"));
    EXPECT_TRUE(vertex.has(R"("stream":true)"));
    EXPECT_FALSE(vertex.has(R"("model")"));
    test::Rendered bedrock =
        test::render_foreign(R"("stream":true)", on(Carrier::bedrock, "effort-2025-11-24"));
    EXPECT_TRUE(bedrock.body.starts_with(
        R"({"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["effort-2025-11-24"],)"));
    EXPECT_FALSE(bedrock.has(R"("stream")"));
    EXPECT_FALSE(bedrock.has(R"("model")"));
}

TEST(MessagesRender, BedrockTakesNoAddressesOfImages) {
    std::string body =
        R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"image",)"
        R"("source":{"type":"url","url":"https://h/i.png"}}]}]})";
    test::Parsed parsed(body);
    test::Rendered rendered = test::render(parsed, on(Carrier::bedrock));
    ASSERT_FALSE(rendered.status);
    EXPECT_EQ(rendered.status.error().param, "image_url");
    EXPECT_TRUE(test::render(parsed, on(Carrier::vertex)).status);
}

TEST(MessagesRender, BedrockLosesWhatItRefusesAndTheClientIsTold) {
    test::Parsed parsed(test::with(R"("max_tokens":5,"service_tier":"auto","mcp_servers":[],)"
                                   R"("cache_control":{"type":"ephemeral"},"anthropic_beta":["x"],)"
                                   R"("system":[{"type":"text","text":"s","cache_control":)"
                                   R"({"type":"ephemeral","ttl":"1h"}}])"));
    test::Rendered rendered = test::render(parsed, on(Carrier::bedrock));
    ASSERT_TRUE(rendered.status);
    for (std::string_view gone : {"service_tier", "mcp_servers", "cache_control"}) {
        EXPECT_TRUE(rendered.dropped(gone)) << gone;
    }
    EXPECT_TRUE(rendered.has(R"("text":"s","cache_control":{"type":"ephemeral"}})"));
    EXPECT_FALSE(rendered.has("mcp_servers"));
    EXPECT_FALSE(rendered.has("anthropic_beta"));
    EXPECT_FALSE(rendered.has("service_tier"));
}

TEST(MessagesRender, ToolsLoseWhatTheirFlagWouldOpen) {
    test::Parsed parsed(test::with(R"("max_tokens":5,"tools":[{"name":"t","defer_loading":true,)"
                                   R"("input_schema":{"type":"object"}}])"));
    EXPECT_FALSE(test::render(parsed, on(Carrier::bedrock)).has("defer_loading"));
    EXPECT_TRUE(test::render(parsed, on(Carrier::bedrock, "tool-search-tool-2025-10-19"))
                    .has("defer_loading"));
    EXPECT_TRUE(test::render(parsed, on(Carrier::direct)).has("defer_loading"));
}

TEST(MessagesStream, CountsOfBedrockStandInWhereTheAnswerHasNone) {
    auto decode = [](std::string_view usage) {
        std::string stream =
            "data: "
            "{\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"m\",\"usage\":" +
            std::string(usage) +
            "}}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"
            "data: {\"type\":\"message_stop\",\"amazon-bedrock-invocationMetrics\":"
            "{\"inputTokenCount\":3,\"outputTokenCount\":4,\"cacheReadInputTokenCount\":5}}\n\n";
        return check::decode(DialectId::anthropic, stream).answer().usage;
    };
    EXPECT_EQ(decode("null").input, 8);
    EXPECT_EQ(decode("null").output, 4);
    EXPECT_EQ(decode("{\"input_tokens\":7,\"output_tokens\":1}").input, 7);
    EXPECT_EQ(decode("{\"input_tokens\":7,\"output_tokens\":1}").output, 1);
}

// --- streams --------------------------------------------------------------------------------

std::string chunk(std::string_view event) {
    Arena arena;
    return check::aws_event(
        "chunk", R"({"bytes":")" + std::string(encode_base64(event, arena)) + R"(","p":"abc"})");
}

std::string sse_of(std::string_view stream, size_t cut) {
    anthropic::InvokeStream invoke;
    ByteBuffer out;
    for (std::string_view piece : {stream.substr(0, cut), stream.substr(cut)}) {
        std::string bytes(piece);
        bytes.append(json::kPadding, '\0');
        invoke.feed({bytes.data(), piece.size()}, out);
    }
    return std::string(out.view());
}

TEST(InvokeStream, ChunksAreTheEventsOfTheApi) {
    std::string stream = chunk(R"({"type":"ping"})") + check::aws_event("other", "{}") +
                         chunk("{\"type\":\"content_block_delta\",\n \"delta\":{}}") +
                         chunk(R"({"type":"message_stop"})");
    std::string expected =
        "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",  \"delta\":{}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    for (size_t cut = 0; cut <= stream.size(); ++cut) {
        ASSERT_EQ(sse_of(stream, cut), expected) << cut;
    }
}

TEST(InvokeStream, AnExceptionIsAnErrorEventOfTheRightTypeAndTheLast) {
    struct Row {
        std::string_view name, text, type;
    };
    for (const Row &row : {Row{"throttlingException", "slow", "rate_limit_error"},
                           Row{"validationException", "bad", "invalid_request_error"},
                           Row{"serviceUnavailableException", "busy", "overloaded_error"},
                           Row{"modelStreamErrorException", "model", "api_error"},
                           Row{"modelTimeoutException", "late", "timeout_error"},
                           Row{"internalServerException", "x", "api_error"}}) {
        std::string payload = R"({"message":")" + std::string(row.text) + "\"}";
        std::string got = sse_of(
            check::aws_exception(row.name, payload) + chunk(R"({"type":"message_stop"})"), 7);
        EXPECT_EQ(got, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"" +
                           std::string(row.type) + "\",\"message\":\"" + std::string(row.text) +
                           "\"}}\n\n");
    }
}

TEST(InvokeStream, WhatCannotBeReadIsAnErrorEvent) {
    std::string corrupt = chunk(R"({"type":"ping"})");
    corrupt[30] = static_cast<char>(corrupt[30] ^ 1);
    for (const std::string &stream : {corrupt, check::aws_event("chunk", "nonsense"),
                                      check::aws_event("chunk", R"({"bytes":"*"})")}) {
        std::string got = sse_of(stream + chunk(R"({"type":"message_stop"})"), stream.size());
        EXPECT_TRUE(got.starts_with("event: error\ndata: ")) << got;
        EXPECT_EQ(got.find("message_stop"), std::string::npos);
    }
}

TEST(Base64, BothWays) {
    Arena arena;
    for (std::string_view plain :
         {"", "f", "fo", "foo", "foob", "fooba", "foobar", "\xff\xfe\xfd"}) {
        std::string_view encoded = encode_base64(plain, arena);
        ByteBuffer again;
        EXPECT_EQ(encoded.size() % 4, 0u);
        EXPECT_EQ(decode_base64(encoded, arena), plain);
        ByteBuffer decoded;
        EXPECT_TRUE(append_decoded(encoded, decoded));
        EXPECT_EQ(decoded.view(), plain);
        append_encoded(plain, again);
        EXPECT_EQ(again.view(), encoded);
    }
    EXPECT_EQ(encode_base64("\xff\xfe\xfd", arena), "//79");
    EXPECT_EQ(decode_base64("__79", arena), "\xff\xfe\xfd");
    std::string big(5000, 'x');
    ByteBuffer out, back;
    append_encoded(big, out);
    EXPECT_TRUE(append_decoded(out.view(), back));
    EXPECT_EQ(back.view(), big);
    EXPECT_FALSE(append_decoded("ab*d", back));
    EXPECT_TRUE(append_decoded("Zm 9v\r\nYg", back));
}

}  // namespace
}  // namespace llm
