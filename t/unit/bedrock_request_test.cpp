// Requests of Converse: what clients of messages and chat say, as the service wants it. Every body
// rendered here is also held to the rules of the API.
#include <gtest/gtest.h>

#include <deque>

#include "t/check/bedrock_rules.hpp"
#include "t/unit/anthropic_rendering.hpp"
#include "translators/core/base64.hpp"
#include "translators/dialect/bedrock_render.hpp"
#include "translators/dialect/opaque_tag.hpp"
#include "translators/provider/model_traits.hpp"

namespace llm {
namespace {

using test::Parsed;
using test::Rendered;

constexpr std::string_view kSonnet45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
constexpr std::string_view kOpus46 = "global.anthropic.claude-opus-4-6-v1";
constexpr std::string_view kNova = "us.amazon.nova-2-lite-v1:0";
constexpr std::string_view kLlama = "meta.llama3-3-70b-instruct-v1:0";

Target target(std::string_view model, bool drop_params = false) {
    Target result;
    result.model = model;
    result.traits = model_traits(DialectId::bedrock, model, true);
    result.drop_params = drop_params;
    return result;
}

Rendered render(const ir::Request &request, const Target &target, Arena &arena) {
    static std::deque<std::string> kept;  // the notes outlive the request
    Rendered rendered;
    ByteBuffer out;
    json::Writer writer(out);
    rendered.status = kBedrock.render_request(request, target, arena, writer, rendered.notes);
    rendered.body = out.view();
    for (std::string_view &name : rendered.notes.dropped) {
        name = kept.emplace_back(name);
    }
    if (rendered.status) {
        json::Reader reader;
        Result<json::Value> root = reader.parse_unpadded(rendered.body);
        EXPECT_TRUE(root) << rendered.body;
        check::Problems problems;
        if (root) {
            check::check_converse_rules(*root, target.traits, problems);
        }
        for (const std::string &problem : problems) {
            ADD_FAILURE() << problem << "\n" << rendered.body;
        }
    }
    return rendered;
}

// A body of messages as its own client's, or as another's.
Rendered rendered(std::string_view members, std::string_view model = kSonnet45,
                  bool is_foreign = false, bool drop_params = false) {
    Parsed parsed(test::with(members), is_foreign);
    EXPECT_TRUE(parsed.status) << parsed.status.error().param;
    return render(parsed.request, target(model, drop_params), parsed.arena);
}

// Thoughts that carry the tag of another dialect are that one's.
void read_tags(ir::Request &request) {
    for (ir::Turn &turn : request.turns) {
        for (ir::Part &part : turn.parts) {
            if (auto *reasoning = std::get_if<ir::Reasoning>(&part.is)) {
                JsonText &opaque =
                    reasoning->is_redacted ? reasoning->redacted : reasoning->signature;
                TaggedOpaque read = read_opaque(opaque, reasoning->origin);
                reasoning->origin = read.origin;
                opaque = read.data;
            }
        }
    }
}

std::string messages(std::string_view list, std::string_view model = kSonnet45,
                     std::string_view more = {}) {
    Parsed parsed(R"({"model":"m","max_tokens":5)" + std::string(more) + R"(,"messages":)" +
                  std::string(list) + "}");
    EXPECT_TRUE(parsed.status) << parsed.status.error().param;
    read_tags(parsed.request);
    Rendered result = render(parsed.request, target(model), parsed.arena);
    EXPECT_TRUE(result.status) << result.status.error().what << result.status.error().param;
    size_t begin = result.body.find("\"messages\":") + 11;
    size_t end = result.body.find(",\"inferenceConfig\"");
    return result.body.substr(begin, end - begin);
}

TEST(ConverseRequest, TheWholeOfASmallOne) {
    Parsed parsed(
        R"({"model":"m","max_tokens":100,"system":"Be brief.","temperature":0.70,"top_k":5,)"
        R"("stop_sequences":["x"," "],"stream":true,"tools":[{"name":"look","description":"d",)"
        R"("input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"auto"},)"
        R"("messages":[{"role":"user","content":"Hi"}],"metadata":{"user_id":"u-1"}})");
    Rendered result = render(parsed.request, target(kSonnet45), parsed.arena);
    EXPECT_EQ(result.body,
              R"({"toolConfig":{"tools":[{"toolSpec":{"name":"look","description":"d",)"
              R"("inputSchema":{"json":{"type":"object","properties":{}}}}}],)"
              R"("toolChoice":{"auto":{}}},"system":[{"text":"Be brief."}],)"
              R"("messages":[{"role":"user","content":[{"text":"Hi"}]}],)"
              R"("inferenceConfig":{"maxTokens":100,"temperature":0.70,"stopSequences":["x"]},)"
              R"("additionalModelRequestFields":{"top_k":5},)"
              R"("requestMetadata":{"user_id":"u-1"}})");
    EXPECT_TRUE(result.dropped("stop_sequences"));
}

TEST(ConverseRequest, Gotcha20AllResultsOfAStepStandInOneMessage) {
    EXPECT_EQ(messages(R"([{"role":"user","content":"go"},{"role":"assistant","content":[)"
                       R"({"type":"tool_use","id":"a","name":"f","input":{}},)"
                       R"({"type":"tool_use","id":"b.c:0","name":"f","input":{"x":1}}]},)"
                       R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"b.c:0",)"
                       R"("content":"B","is_error":true}]},{"role":"user","content":[)"
                       R"({"type":"tool_result","tool_use_id":"a"},{"type":"text","text":"and"}]},)"
                       R"({"role":"user","content":"more"}])",
                       kSonnet45, R"(,"tools":[{"name":"f","input_schema":{"type":"object"}}])"),
              R"x([{"role":"user","content":[{"text":"go"}]},{"role":"assistant","content":[)x"
              R"x({"toolUse":{"toolUseId":"a","name":"f","input":{}}},)x"
              R"x({"toolUse":{"toolUseId":"b_c_0_342b86b5","name":"f","input":{"x":1}}}]},)x"
              R"x({"role":"user","content":[{"toolResult":{"toolUseId":"a","content":)x"
              R"x([{"text":"(no output)"}]}},{"toolResult":{"toolUseId":"b_c_0_342b86b5",)x"
              R"x("content":[{"text":"B"}],"status":"error"}},{"text":"and"},{"text":"more"}]}])x");
}

TEST(ConverseRequest, AModelWithoutStatusReadsAnErrorAsText) {
    std::string list = messages(
        R"([{"role":"user","content":"go"},{"role":"assistant","content":[)"
        R"({"type":"tool_use","id":"a","name":"f","input":{}},)"
        R"({"type":"tool_use","id":"b","name":"f","input":{}}]},{"role":"user","content":[)"
        R"({"type":"tool_result","tool_use_id":"a","content":"no","is_error":true}]}])",
        kLlama);
    EXPECT_NE(list.find(R"("content":[{"text":"Error: no"}]}})"), std::string::npos) << list;
    EXPECT_NE(list.find(R"("content":[{"text":"Error: [no result]"}]}})"), std::string::npos)
        << list;
}

TEST(ConverseRequest, Gotcha23CallsInTheHistoryNeedAToolConfig) {
    Parsed parsed(
        R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":"go"},)"
        R"({"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},)"
        R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"x"}]}]})");
    Rendered result = render(parsed.request, target(kSonnet45), parsed.arena);
    EXPECT_TRUE(result.has(R"({"toolConfig":{"tools":[{"toolSpec":{"name":"unused_tool",)"
                           R"("inputSchema":{"json":{"type":"object"}}}}]},)"));
}

TEST(ConverseRequest, ToolChoices) {
    std::string_view tools =
        R"("tools":[{"name":"f","input_schema":{"type":"object"}},{"name":"g.h",)"
        R"("input_schema":{"type":"object"}}],"tool_choice":)";
    auto with = [&](std::string_view choice, std::string_view model = kSonnet45,
                    bool drop = false) {
        return rendered(std::string(tools) + std::string(choice), model, false, drop);
    };
    EXPECT_TRUE(with(R"({"type":"any"})").has(R"("toolChoice":{"any":{}})"));
    EXPECT_TRUE(with(R"({"type":"tool","name":"f"})").has(R"("toolChoice":{"tool":{"name":"f"}})"));
    Rendered renamed = with(R"({"type":"tool","name":"g.h"})");
    EXPECT_TRUE(renamed.has(R"("toolChoice":{"tool":{"name":"g_h"}})"));
    ASSERT_EQ(renamed.notes.renamed.size(), 1u);
    EXPECT_FALSE(with(R"({"type":"none"})").has("toolConfig"));
    Rendered refused = with(R"({"type":"any"})", kLlama);
    ASSERT_FALSE(refused.status);
    EXPECT_EQ(refused.status.error().param, "tool_choice");
    Rendered dropped = with(R"({"type":"any"})", kLlama, true);
    EXPECT_TRUE(dropped.dropped("tool_choice"));
    EXPECT_FALSE(dropped.has("toolChoice"));
    EXPECT_TRUE(dropped.has("toolConfig"));
}

TEST(ConverseRequest, Gotcha47NoEmptyDescriptions) {
    Rendered result =
        rendered(R"("tools":[{"name":"f","description":"","input_schema":{"type":"object"}}])");
    EXPECT_FALSE(result.has("description"));
}

TEST(ConverseRequest, ArgumentsAreAnObject) {
    for (std::string_view type :
         {R"("type":["object","null"],)", R"("type":["null","object"],)", R"("type":null,)", ""}) {
        std::string tool = R"("tools":[{"name":"f","input_schema":{)";
        tool.append(type).append(R"("properties":{"a":{}}}}])");
        EXPECT_TRUE(rendered(tool).has(R"("json":{"type":"object","properties":{"a":{}}})"))
            << type;
    }
    EXPECT_FALSE(rendered(R"("tools":[{"name":"f","input_schema":{"type":"string"}}])").status);
    EXPECT_FALSE(rendered(R"("tools":[{"name":"f","input_schema":{"type":["array"]}}])").status);
}

TEST(ConverseRequest, ThinkingOfClaudeIsSaidInItsOwnWords) {
    Rendered budget = rendered(R"("max_tokens":5000,"temperature":0.5,"top_k":3,)"
                               R"("thinking":{"type":"enabled","budget_tokens":2000})");
    EXPECT_TRUE(budget.has(R"("additionalModelRequestFields":{"thinking":{"type":"enabled",)"
                           R"("budget_tokens":2000}})"));
    EXPECT_FALSE(budget.has("temperature"));
    EXPECT_TRUE(budget.dropped("top_k"));
    Rendered adaptive = rendered(
        R"("max_tokens":5000,"thinking":{"type":"adaptive"},"output_config":{"effort":"max"})",
        kOpus46);
    EXPECT_TRUE(adaptive.has(R"("additionalModelRequestFields":{"thinking":{"type":"adaptive"},)"
                             R"("output_config":{"effort":"max"}})"));
    // Without a limit of the client's the budget needs room.
    Rendered open =
        rendered(R"("thinking":{"type":"enabled","budget_tokens":70000})", kSonnet45, true);
    EXPECT_TRUE(open.has(R"("maxTokens":134000)"));
}

TEST(ConverseRequest, ThinkingElsewhere) {
    std::string_view wish =
        R"("max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":6000})";
    EXPECT_TRUE(rendered(wish, kNova)
                    .has(R"("additionalModelRequestFields":{"reasoningConfig":)"
                         R"({"type":"enabled","maxReasoningEffort":"medium"}})"));
    EXPECT_TRUE(rendered(wish, "openai.gpt-oss-120b-1:0").has(R"({"reasoning_effort":"medium"})"));
    Rendered llama = rendered(wish, kLlama);
    EXPECT_TRUE(llama.dropped("thinking"));
    EXPECT_FALSE(llama.has("additionalModelRequestFields"));
    EXPECT_TRUE(rendered(R"("top_k":7)", kNova)
                    .has(R"("additionalModelRequestFields":{"inferenceConfig":{"topK":7}})"));
}

TEST(ConverseRequest, Gotcha57OnlyThoughtsOfThisServiceGoBack) {
    auto list = [](std::string_view signature, std::string_view data) {
        return messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":[)"
                        R"({"type":"thinking","thinking":"Hm","signature":")" +
                        std::string(signature) + R"("},{"type":"redacted_thinking","data":")" +
                        std::string(data) +
                        R"("},{"type":"text","text":"b"}]},{"role":"user","content":"c"}])");
    };
    EXPECT_EQ(list("SIG", "DATA").find("reasoningContent"), std::string::npos);
    EXPECT_EQ(list("", "DATA").find("reasoningContent"), std::string::npos);
    std::string tag(opaque_tag(DialectId::bedrock));
    Arena arena;
    EXPECT_EQ(list(tag + "SIG", tag + "DATA"),
              R"([{"role":"user","content":[{"text":"a"}]},{"role":"assistant","content":[)"
              R"({"reasoningContent":{"reasoningText":{"text":"Hm","signature":"SIG"}}},)"
              R"({"reasoningContent":{"redactedContent":")" +
                  std::string(encode_base64("DATA", arena)) +
                  R"("}},{"text":"b"}]},{"role":"user","content":[{"text":"c"}]}])");
}

TEST(ConverseRequest, Gotcha28DocumentsHaveNamesThatAreTakenAndTextBeside) {
    std::string list =
        messages(R"([{"role":"user","content":[{"type":"document","title":"a.b.pdf","source":)"
                 R"({"type":"base64","media_type":"application/pdf","data":"JVBERi0="},)"
                 R"("citations":{"enabled":true}},{"type":"document","title":"a.b.txt","source":)"
                 R"({"type":"text","media_type":"text/plain","data":"foo"}}]}])");
    EXPECT_EQ(list,
              R"([{"role":"user","content":[{"document":{"format":"pdf","name":"a b","source":)"
              R"({"bytes":"JVBERi0="},"citations":{"enabled":true}}},{"document":{"format":"txt",)"
              R"("name":"a b 2","source":{"bytes":"Zm9v"}}},{"text":"."}]}])");
    EXPECT_EQ(messages(R"([{"role":"user","content":[{"type":"document","title":"T","source":)"
                       R"({"type":"text","media_type":"text/plain","data":"foo"}}]}])",
                       kLlama),
              R"([{"role":"user","content":[{"text":"T\nfoo"}]}])");
}

TEST(ConverseRequest, DocumentNames) {
    struct Row {
        std::vector<std::string_view> names, sent;
    };
    for (const Row &row : {Row{{"report.pdf"}, {"report"}}, Row{{"a.b.c.pdf"}, {"a b c"}},
                           Row{{"my  file_v2 (1).docx"}, {"my file v2 (1)"}},
                           Row{{"x.pdf", "x.txt", "x.md"}, {"x", "x 2", "x 3"}},
                           Row{{"r\xc3\xa9sum\xc3\xa9.pdf"}, {"r sum"}}, Row{{"..."}, {"document"}},
                           Row{{"", ""}, {"document", "document 2"}},
                           Row{{"\xe6\x97\xa5\xe6\x9c\xac.pdf"}, {"document"}},
                           Row{{"v1.2 notes"}, {"v1 2 notes"}}}) {
        Arena arena;
        std::vector<std::string_view> used;
        for (size_t i = 0; i < row.names.size(); ++i) {
            EXPECT_EQ(bedrock::document_name({row.names[i]}, used, arena).bytes, row.sent[i]);
        }
    }
}

TEST(ConverseRequest, ImagesComeAsBytesOrFromS3) {
    auto image = [](std::string_view source) {
        return R"("messages":[{"role":"user","content":[{"type":"image","source":)" +
               std::string(source) + "}]}]";
    };
    auto body = [&](std::string_view source) {
        Parsed parsed(R"({"model":"m","max_tokens":5,)" + image(source) + "}");
        return render(parsed.request, target(kSonnet45), parsed.arena);
    };
    EXPECT_TRUE(body(R"({"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="})")
                    .has(R"({"image":{"format":"png","source":{"bytes":"iVBORw0KGgo="}}})"));
    // The bytes are a JPEG's whatever is said of them.
    EXPECT_TRUE(body(R"({"type":"base64","media_type":"image/png","data":"/9j/4AAQ"})")
                    .has(R"({"image":{"format":"jpeg",)"));
    EXPECT_TRUE(body(R"({"type":"url","url":"s3://b/x.jpg"})")
                    .has(R"({"image":{"format":"jpeg","source":{"s3Location":{"uri":)"
                         R"("s3://b/x.jpg"}}}})"));
    Rendered refused = body(R"({"type":"url","url":"https://h/x.png"})");
    ASSERT_FALSE(refused.status);
    EXPECT_EQ(refused.status.error().param, "image_url");
}

TEST(ConverseRequest, Case39_CacheMarksAreBlocksBehindWhatTheyMark) {
    std::string_view marked =
        R"("system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],)"
        R"("tools":[{"name":"f","input_schema":{"type":"object"},"cache_control":)"
        R"({"type":"ephemeral"}}])";
    Rendered result = rendered(marked);
    EXPECT_TRUE(result.has(R"("inputSchema":{"json":{"type":"object"}}}},)"
                           R"({"cachePoint":{"type":"default"}}])"));
    EXPECT_TRUE(
        result.has(R"("system":[{"text":"s"},{"cachePoint":{"type":"default","ttl":"1h"}}])"));
    Rendered older = rendered(marked, "anthropic.claude-3-7-sonnet-20250219-v1:0");
    EXPECT_TRUE(older.has(R"("system":[{"text":"s"},{"cachePoint":{"type":"default"}}])"));
    Rendered none = rendered(marked, kLlama);
    EXPECT_FALSE(none.has("cachePoint"));
    EXPECT_TRUE(none.dropped("cache_control"));
    EXPECT_EQ(messages(R"([{"role":"user","content":[)"
                       R"({"type":"text","text":"1","cache_control":{"type":"ephemeral"}},)"
                       R"({"type":"text","text":"2","cache_control":{"type":"ephemeral"}},)"
                       R"({"type":"text","text":"3","cache_control":{"type":"ephemeral"}},)"
                       R"({"type":"text","text":"4","cache_control":{"type":"ephemeral"}},)"
                       R"({"type":"text","text":"5","cache_control":{"type":"ephemeral"}}]}])"),
              R"([{"role":"user","content":[{"text":"1"},{"text":"2"},)"
              R"({"cachePoint":{"type":"default"}},{"text":"3"},)"
              R"({"cachePoint":{"type":"default"}},{"text":"4"},)"
              R"({"cachePoint":{"type":"default"}},{"text":"5"},)"
              R"({"cachePoint":{"type":"default"}}]}])");
}

TEST(ConverseRequest, NoCacheMarkDirectlyBehindADocument) {
    constexpr std::string_view kFile =
        R"({"type":"document","title":"d","source":{"type":"text","media_type":"text/plain",)"
        R"("data":"x"},"cache_control":{"type":"ephemeral"}})";
    constexpr std::string_view kSent =
        R"({"document":{"format":"txt","name":"d","source":{"bytes":"eA=="}}})";
    std::string text = R"({"type":"text","text":"t"})";
    std::string file(kFile), sent(kSent);
    EXPECT_EQ(messages(R"([{"role":"user","content":[)" + text + "," + file + "]}]"),
              R"([{"role":"user","content":[{"text":"t"},{"cachePoint":{"type":"default"}},)" +
                  sent + "]}]");
    EXPECT_EQ(messages(R"([{"role":"user","content":[)" + file + "," + text + "]}]"),
              R"([{"role":"user","content":[)" + sent +
                  R"(,{"text":"t"},{"cachePoint":{"type":"default"}}]}])");
    EXPECT_EQ(messages(R"([{"role":"user","content":[)" + file + "]}]"),
              R"([{"role":"user","content":[)" + sent + R"(,{"text":"."}]}])");
}

TEST(ConverseRequest, StructuredOutputByAFormatOrByAForcedTool) {
    std::string_view format =
        R"("output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}})";
    Rendered newer = rendered(format);
    EXPECT_TRUE(newer.has(
        R"("outputConfig":{"textFormat":{"type":"json_schema","structure":)"
        R"({"jsonSchema":{"schema":"{\"type\":\"object\"}","name":"structured_output"}}}})"))
        << newer.body;
    EXPECT_FALSE(newer.notes.json_tool) << newer.body;
    Rendered older = rendered(format, kNova);
    EXPECT_TRUE(older.notes.json_tool);
    EXPECT_TRUE(older.has(R"("toolChoice":{"tool":{"name":"json_tool_call"}})"));
    Rendered llama = rendered(format, kLlama);
    EXPECT_TRUE(llama.notes.json_tool);
    EXPECT_FALSE(llama.has("toolChoice"));
    EXPECT_TRUE(llama.has("final answer by calling the tool json_tool_call"));
}

TEST(ConverseRequest, BetaFlagsAndToolsOfClaudeGoIntoTheAdditionalFields) {
    Parsed parsed(test::with(R"("max_tokens":5,"tools":[{"type":"computer_20250124","name":)"
                             R"("computer","display_width_px":1,"display_height_px":1}])"));
    Target aim = target(kSonnet45);
    aim.beta_flags = "computer-use-2025-01-24";
    Rendered result = render(parsed.request, aim, parsed.arena);
    EXPECT_TRUE(result.has(R"("additionalModelRequestFields":{"anthropic_beta":)"
                           R"(["computer-use-2025-01-24"],"tools":[{"type":"computer_20250124")"));
    EXPECT_FALSE(result.has("toolConfig"));
    Rendered refused = rendered(R"("tools":[{"type":"web_search_20250305","name":"web_search"}])");
    ASSERT_FALSE(refused.status);
    EXPECT_EQ(refused.status.error().param, "tools");
}

TEST(ConverseRequest, WhatTheServiceCannotBeToldIsNamed) {
    Rendered result = rendered(R"("max_tokens":5,"service_tier":"auto","mcp_servers":[],)"
                               R"("metadata":{"user_id":"{\"a\":1}"},"stop_sequences":)"
                               R"(["1","2","3","4","5"])");
    for (std::string_view name : {"mcp_servers", "metadata", "stop_sequences"}) {
        EXPECT_TRUE(result.dropped(name)) << name;
    }
    EXPECT_FALSE(result.has("requestMetadata"));
    EXPECT_FALSE(rendered(R"("max_tokens":0)").status);
}

TEST(ConverseRequest, TheFirstTurnIsTheUsersAndNoneIsBlank) {
    EXPECT_EQ(messages(R"([{"role":"assistant","content":"a"},{"role":"user","content":" "}])"),
              R"x([{"role":"user","content":[{"text":"."}]},{"role":"assistant","content":)x"
              R"x([{"text":"a"}]},{"role":"user","content":[{"text":"(empty)"}]}])x");
}

TEST(ConverseCount, TheSameMessagesInAnEnvelope) {
    Parsed parsed(test::with(R"("max_tokens":5,"system":"s")"));
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    ASSERT_TRUE(
        kBedrock.render_count(parsed.request, target(kSonnet45), parsed.arena, writer, notes));
    EXPECT_EQ(out.view(),
              R"({"input":{"converse":{"system":[{"text":"s"}],"messages":[{"role":"user",)"
              R"("content":[{"text":"Hi"}]}]}}})");
    json::Reader reader;
    EXPECT_EQ(kBedrock.parse_count(*reader.parse_unpadded(R"({"inputTokens":12})")), 12);
    EXPECT_FALSE(kBedrock.parse_count(*reader.parse_unpadded(R"({"message":"no"})")));
}

TEST(ConverseTraits, ModelsAreKnownByTheirIds) {
    ModelTraits sonnet = model_traits(DialectId::bedrock, kSonnet45, true);
    EXPECT_TRUE(sonnet.claude && sonnet.thinking && sonnet.structured_output);
    EXPECT_EQ(sonnet.max_output, 64000);
    ModelTraits arn = model_traits(DialectId::bedrock,
                                   "arn:aws:bedrock:eu-west-1:000000000000:inference-profile/"
                                   "eu.anthropic.claude-opus-4-6-v1",
                                   true);
    EXPECT_TRUE(arn.claude && arn.adaptive_thinking);
    EXPECT_FALSE(arn.prefill);
    EXPECT_FALSE(model_traits(DialectId::bedrock, "anthropic.claude-v2:1", true).thinking);
    ModelTraits nova = model_traits(DialectId::bedrock, kNova, true);
    EXPECT_TRUE(nova.nova);
    EXPECT_FALSE(nova.claude || nova.thinking);
    EXPECT_FALSE(model_traits(DialectId::bedrock, kLlama, true).claude);
}

TEST(ConverseIds, Gotcha44IdsArePureAndFit) {
    Arena arena;
    auto sent = [&](std::string_view id) {
        return std::string(call_id_for_bedrock(json::escape(id, arena), arena).bytes);
    };
    EXPECT_EQ(sent("functions.add:0"), "functions_add_0_2aab2b9e");
    EXPECT_EQ(sent(std::string(64, 'a')), std::string(64, 'a'));
    for (const std::string &id :
         {std::string(65, 'a'), std::string(60, '.'), std::string("\xc3\xa9")}) {
        std::string once = sent(id);
        EXPECT_LE(once.size(), 64u);
        EXPECT_EQ(sent(once), once);
    }
    EXPECT_TRUE(sent(std::string(65, 'a')).starts_with(std::string(55, 'a') + "_"));
}

}  // namespace
}  // namespace llm
