#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "t/unit/anthropic_rendering.hpp"

namespace {

using namespace llm;
using namespace llm::test;

std::string_view blamed(std::string_view body) {
    json::Reader reader;
    Arena arena;
    ir::Request request;
    auto root = reader.parse_unpadded(body);
    EXPECT_TRUE(root);
    Status status = kAnthropic.parse_request(*root, arena, request);
    EXPECT_FALSE(status) << body;
    EXPECT_EQ(status.error().code, Errc::invalid_request);
    return status ? "" : status.error().param;
}

// --- envelope -------------------------------------------------------------------------------

std::string_view refused_envelope(std::string_view body) {
    static json::Reader *reader = new json::Reader;  // the view outlives this call
    auto root = reader->parse_unpadded(body);
    EXPECT_TRUE(root);
    auto envelope = kAnthropic.read_envelope(*root);
    EXPECT_FALSE(envelope) << body;
    return envelope ? "accepted" : envelope.error().param;
}

TEST(AnthropicEnvelope, SaysWhatRoutingNeeds) {
    json::Reader reader;
    auto root = reader.parse_unpadded(
        with(R"("stream":true,"max_tokens":9,"tools":[{"name":"f"}],)"
             R"("output_config":{"format":{"type":"json_schema","schema":{}}})"));
    auto envelope = kAnthropic.read_envelope(*root);
    ASSERT_TRUE(envelope);
    EXPECT_EQ(envelope->model.bytes, "m");
    EXPECT_TRUE(envelope->stream);
    EXPECT_TRUE(envelope->has_tools);
    EXPECT_TRUE(envelope->is_structured);
    EXPECT_EQ(envelope->max_tokens, 9);
}

TEST(AnthropicEnvelope, Case69_MalformedRequestsAreRefused) {
    EXPECT_EQ(refused_envelope("[]"), "");
    EXPECT_EQ(refused_envelope(R"({"model":5,"messages":[{}]})"), "model");
    EXPECT_EQ(refused_envelope(R"({"messages":[{}]})"), "model");
    EXPECT_EQ(refused_envelope(R"({"model":"m"})"), "messages");
    EXPECT_EQ(refused_envelope(R"({"model":"m","messages":[]})"), "messages");
    EXPECT_EQ(refused_envelope(R"({"model":"m","messages":[1]})"), "messages");
    EXPECT_EQ(refused_envelope(with(R"("stream":"yes")")), "stream");
    EXPECT_EQ(refused_envelope(with(R"("model":"n")")), "model");
    for (size_t count : {size_t{8192}, size_t{8193}}) {
        std::string body = R"({"model":"m","messages":[{})";
        for (size_t i = 1; i < count; ++i) {
            body += ",{}";
        }
        json::Reader reader;
        auto root = reader.parse_unpadded(body + "]}");
        EXPECT_EQ(bool(kAnthropic.read_envelope(*root)), count == 8192);
    }
}

TEST(AnthropicSplice, OnlyTheModelChanges) {
    std::string body = R"({ "x":1e3, "model" : "claude-alias", "messages":[{}] })";
    json::Reader reader;
    auto root = reader.parse_unpadded(body);
    Target target;
    target.model = "claude-\"real\"";
    std::vector<Edit> edits;
    Notes notes;
    ASSERT_TRUE(kAnthropic.splice_request(*root, {}, target, edits, notes));
    ASSERT_EQ(edits.size(), 1u);
    body.replace(edits[0].begin, edits[0].end - edits[0].begin, edits[0].text);
    EXPECT_EQ(body, R"({ "x":1e3, "model" : "claude-\"real\"", "messages":[{}] })");
    edits.clear();
    target.model = "claude-alias";
    ASSERT_TRUE(kAnthropic.splice_request(*root, {}, target, edits, notes));
    EXPECT_TRUE(edits.empty());
}

// --- parsing --------------------------------------------------------------------------------

TEST(AnthropicRequest, WrongTypesNameTheirMember) {
    EXPECT_EQ(blamed(with(R"("system":5)")), "system");
    EXPECT_EQ(blamed(with(R"("system":[{"type":"image"}])")), "system");
    EXPECT_EQ(blamed(with(R"("temperature":"hot")")), "temperature");
    EXPECT_EQ(blamed(with(R"("max_tokens":1.5)")), "max_tokens");
    EXPECT_EQ(blamed(with(R"("stop_sequences":"END")")), "stop_sequences");
    EXPECT_EQ(blamed(with(R"("tools":{})")), "tools");
    EXPECT_EQ(blamed(with(R"("tools":[{"input_schema":{}}])")), "tools.name");
    EXPECT_EQ(blamed(with(R"("tool_choice":"auto")")), "tool_choice");
    EXPECT_EQ(blamed(with(R"("tool_choice":{"type":"some"})")), "tool_choice.type");
    EXPECT_EQ(blamed(with(R"("thinking":{"type":"enabled"})")), "thinking.budget_tokens");
    EXPECT_EQ(blamed(with(R"("output_config":{"effort":"huge"})")), "output_config.effort");
    EXPECT_EQ(blamed(with(R"("metadata":{"user_id":7})")), "metadata.user_id");
    EXPECT_EQ(blamed(R"({"messages":[{"role":"tool","content":"x"}]})"), "messages.role");
    EXPECT_EQ(blamed(R"({"messages":[{"role":"user","content":7}]})"), "messages.content");
    EXPECT_EQ(blamed(R"({"messages":[{"role":"user","content":["x"]}]})"), "messages.content.type");
    EXPECT_EQ(blamed(R"({"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a",)"
                     R"("name":"f","input":[]}]}]})"),
              "messages.content.input");
}

TEST(AnthropicRequest, EveryBlockIsUnderstood) {
    Parsed parsed(
        R"({"model":"m","messages":[{"role":"user","content":[
            {"type":"text","text":"T","cache_control":{"type":"ephemeral","ttl":"1h"}},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}},
            {"type":"document","title":"D","context":"C","citations":{"enabled":true},
             "source":{"type":"content","content":[{"type":"text","text":"x"}]}},
            {"type":"search_result","title":"S","source":"u",
             "content":[{"type":"text","text":"found"}]},
            {"type":"container_upload","file_id":"f"}]},
          {"role":"assistant","content":[
            {"type":"thinking","thinking":"Hm","signature":"c2ln"},
            {"type":"redacted_thinking","data":"ZA=="},
            {"type":"tool_use","id":"t","name":"f","input":{"n":12345678901234567890}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,
             "content":[{"type":"text","text":"bad"},
                        {"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]},
          {"role":"system","content":"later"}]})");
    ASSERT_TRUE(parsed.status) << parsed.status.error().param;
    ASSERT_EQ(parsed.request.turns.size(), 4u);
    const auto &user = parsed.request.turns[0].parts;
    ASSERT_EQ(user.size(), 5u);
    EXPECT_EQ(std::get<ir::Text>(user[0].is).cache.bytes, R"({"type":"ephemeral","ttl":"1h"})");
    EXPECT_EQ(std::get<ir::Image>(user[1].is).source.mime.bytes, "image/png");
    EXPECT_EQ(std::get<ir::Document>(user[2].is).source.kind, ir::SourceKind::blocks);
    EXPECT_EQ(std::get<ir::Text>(user[3].is).text.bytes, "S (u)\\nfound");
    EXPECT_EQ(std::get<ir::Opaque>(user[4].is).type.bytes, "container_upload");
    const auto &assistant = parsed.request.turns[1].parts;
    EXPECT_EQ(std::get<ir::Reasoning>(assistant[0].is).origin, DialectId::anthropic);
    EXPECT_EQ(std::get<ir::ToolCall>(assistant[2].is).arguments, R"({"n":12345678901234567890})");
    const auto &result = std::get<ir::ToolResult>(parsed.request.turns[2].parts[0].is);
    EXPECT_TRUE(result.is_error);
    EXPECT_EQ(result.parts.size(), 2u);
    EXPECT_EQ(parsed.request.turns[3].role, ir::Role::system);
}

TEST(AnthropicRequest, TopLevelMembers) {
    Parsed parsed(with(
        R"("system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],)"
        R"("tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},)"
        R"("thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"},)"
        R"("output_config":{"effort":"xhigh","format":{"type":"json_schema","schema":{"a":1}}},)"
        R"("metadata":{"user_id":"u"},"service_tier":"auto","temperature":0.70,"top_k":null,)"
        R"("mcp_servers":[],"stream":true)"));
    const ir::Request &request = parsed.request;
    ASSERT_TRUE(parsed.status);
    EXPECT_EQ(request.system.at(0).cache.bytes, R"({"type":"ephemeral"})");
    EXPECT_EQ(request.tool_choice.kind, ir::ToolChoiceKind::named);
    EXPECT_EQ(request.parallel_tool_calls, false);
    EXPECT_EQ(request.thinking.kind, ir::ThinkingKind::budget);
    EXPECT_EQ(request.thinking.effort, ir::Effort::xhigh);
    EXPECT_EQ(request.output.schema.bytes, R"({"a":1})");
    EXPECT_EQ(request.user.bytes, "u");
    EXPECT_EQ(request.temperature.bytes, "0.70");
    EXPECT_TRUE(request.top_k.empty());
    ASSERT_EQ(request.extra.size(), 1u);
    EXPECT_EQ(request.extra[0].name.bytes, "mcp_servers");
    EXPECT_TRUE(request.stream);
    EXPECT_TRUE(request.usage_wanted);
}

TEST(AnthropicRequest, LeadingSystemMessagesJoinTheSystemPrompt) {
    Parsed parsed(R"({"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"},)"
                  R"({"role":"system","content":"c"}]})");
    EXPECT_EQ(parsed.request.system.size(), 1u);
    EXPECT_EQ(parsed.request.turns.size(), 2u);
}

TEST(AnthropicRequest, OwnRequestsComeBackTheSame) {
    std::string body =
        R"({"model":"claude-old","max_tokens":100,"stream":true,"temperature":0.70,)"
        R"("stop_sequences":["END"],"metadata":{"user_id":"u"},"service_tier":"auto",)"
        R"("container":"c","tools":[{"name":"f","input_schema":{"type":"object"},)"
        R"("defer_loading":true},{"type":"web_search_20250305","name":"web_search"}],)"
        R"("tool_choice":{"type":"any"},"system":"S","messages":[{"role":"user","content":)"
        R"([{"type":"text","text":"a\u00e9"}]},{"role":"assistant","content":)"
        R"([{"type":"thinking","thinking":"","signature":"c2ln"},)"
        R"({"type":"tool_use","id":"t","name":"f","input":{"b":1,"a":1.0}}]},)"
        R"({"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"r"}]}]})";
    Parsed parsed(body);
    Rendered rendered = render(parsed);
    EXPECT_EQ(rendered.body, body);
    EXPECT_TRUE(rendered.notes.dropped.empty());
}

// --- parameters -----------------------------------------------------------------------------

TEST(AnthropicParams, MaxTokensIsAlwaysSent) {
    EXPECT_TRUE(render_foreign(R"("max_tokens":7)").has(R"("max_tokens":7,)"));
    EXPECT_TRUE(render_foreign(R"("top_p":0.5)").has(R"("max_tokens":8192,)"));
}

TEST(AnthropicParams, TemperatureIsClampedAndDigitsKept) {
    Rendered clamped = render_foreign(R"("temperature":1.7)");
    EXPECT_TRUE(clamped.has(R"("temperature":1,)"));
    EXPECT_TRUE(clamped.dropped("temperature"));
    Rendered inside = render_foreign(R"("temperature":0.70)");
    EXPECT_TRUE(inside.has(R"("temperature":0.70,)"));
    EXPECT_FALSE(inside.dropped("temperature"));
}

TEST(AnthropicParams, Gotcha89_SamplingByModel) {
    Target target = modern();
    target.traits.temperature_xor_top_p = true;
    Rendered one = render_foreign(R"("temperature":0.5,"top_p":0.9,"top_k":5)", target);
    EXPECT_TRUE(one.has(R"("temperature":0.5,"top_k":5)"));
    EXPECT_TRUE(one.dropped("top_p"));
    target.traits.rejects_sampling = true;
    Rendered none = render_foreign(R"("temperature":0.5,"top_p":0.9,"top_k":5)", target);
    EXPECT_FALSE(none.has("temperature"));
    EXPECT_EQ(none.notes.dropped.size(), 3u);
}

TEST(AnthropicParams, Gotcha27_StopIsAnArrayWithoutBlanks) {
    EXPECT_TRUE(
        render_foreign(R"("stop_sequences":["a"," ","b"])").has(R"("stop_sequences":["a","b"])"));
    Rendered blank = render_foreign(R"("stop_sequences":["\n"])");
    EXPECT_FALSE(blank.has("stop_sequences"));
    EXPECT_TRUE(blank.dropped("stop"));
    EXPECT_FALSE(render_foreign(R"("stop_sequences":["a",""])").dropped("stop"));
}

TEST(AnthropicParams, WhatChangesTheAnswerIsRefusedOrNamed) {
    auto check = [](auto change, std::string_view param) {
        ir::Request request;
        request.turns.push_back({ir::Role::user, {{ir::Text{{"a"}, {}, {}}}}});
        change(request);
        Arena arena;
        Target target = classic();
        Rendered refused = render(request, target, arena);
        ASSERT_FALSE(refused.status) << param;
        EXPECT_EQ(refused.status.error().code, Errc::unsupported);
        EXPECT_EQ(refused.status.error().param, param);
        target.drop_params = true;
        Rendered dropped = render(request, target, arena);
        EXPECT_TRUE(dropped.status);
        EXPECT_TRUE(dropped.dropped(param)) << param;
    };
    check([](ir::Request &request) { request.frequency_penalty = {"0.5"}; }, "frequency_penalty");
    check([](ir::Request &request) { request.presence_penalty = {"-1"}; }, "presence_penalty");
    check([](ir::Request &request) { request.logit_bias = {R"({"5":1})"}; }, "logit_bias");
    check([](ir::Request &request) { request.seed = {"5"}; }, "seed");
    check([](ir::Request &request) { request.n = 2; }, "n");
    check([](ir::Request &request) { request.logprobs = true; }, "logprobs");
    check(
        [](ir::Request &request) {
            request.extra.push_back({{"modalities"}, {R"(["text","audio"])"}});
        },
        "modalities");
    check(
        [](ir::Request &request) {
            request.extra.push_back({{"web_search_options"}, {"{}"}});
        },
        "web_search_options");
}

TEST(AnthropicParams, HintsAreDroppedAndNamed) {
    ir::Request request;
    request.turns.push_back({ir::Role::user, {{ir::Text{{"a"}, {}, {}}}}});
    request.frequency_penalty = {"0"};
    request.presence_penalty = {"0.0"};
    request.logit_bias = {"{}"};
    request.user = {"u1"};
    request.metadata = {R"({"k":"v"})"};
    request.verbosity = {"low"};
    request.service_tier = {"flex"};
    request.extra.push_back({{"store"}, {"true"}});
    request.extra.push_back({{"prompt_cache_key"}, {"\"k\""}});
    request.extra.push_back({{"modalities"}, {R"(["text"])"}});
    request.extra.push_back({{"prediction"}, {"null"}});
    request.unmodelled = {"name", "x_note"};
    Arena arena;
    Rendered rendered = render(request, classic(), arena);
    ASSERT_TRUE(rendered.status);
    EXPECT_TRUE(rendered.has(R"("metadata":{"user_id":"u1"})"));
    EXPECT_FALSE(rendered.has("service_tier"));
    for (const char *name :
         {"metadata", "verbosity", "service_tier", "store", "prompt_cache_key", "name", "x_note"}) {
        EXPECT_TRUE(rendered.dropped(name)) << name;
    }
    EXPECT_EQ(rendered.notes.dropped.size(), 7u);
    request.service_tier = {"default"};
    EXPECT_TRUE(render(request, classic(), arena).has(R"("service_tier":"standard_only")"));
}

// --- tools ----------------------------------------------------------------------------------

constexpr std::string_view kTool =
    R"("tools":[{"name":"f","description":"D","input_schema":{"type":"object"}}])";

TEST(AnthropicTools, ShapesAndNames) {
    Rendered plain = render_foreign(kTool);
    EXPECT_TRUE(
        plain.has(R"("tools":[{"name":"f","description":"D","input_schema":{"type":"object"}}])"));
    EXPECT_TRUE(render_foreign(R"("tools":[{"name":"f"}])")
                    .has(R"({"name":"f","input_schema":{"type":"object","properties":{}}})"));
    EXPECT_TRUE(render_foreign(R"("tools":[{"name":"f","input_schema":{"properties":{}}}])")
                    .has(R"("input_schema":{"type":"object","properties":{}}})"));
    Parsed dotted(with(R"("tools":[{"name":"a.b"},{"name":"a_b"}],)"
                       R"("tool_choice":{"type":"tool","name":"a.b"})"),
                  true);
    Rendered renamed = render(dotted);
    EXPECT_TRUE(renamed.has(R"({"name":"a_b_2e7336",)"));  // G48
    EXPECT_TRUE(renamed.has(R"("tool_choice":{"type":"tool","name":"a_b_2e7336"})"));
    ASSERT_EQ(renamed.notes.renamed.size(), 1u);
    EXPECT_EQ(tool_name_for_client({"a_b_2e7336"}, &renamed.notes.renamed).bytes, "a.b");
    Rendered twice = render_foreign(R"("tools":[{"name":"f"},{"name":"f"}])");
    ASSERT_FALSE(twice.status);
    EXPECT_EQ(twice.status.error().code, Errc::invalid_request);
}

TEST(AnthropicTools, StrictToolsWhereTheModelHasThem) {
    std::string_view tools =
        R"("tools":[{"name":"f","strict":true,"input_schema":)"
        R"({"type":"object","properties":{"n":{"type":"integer","minimum":1}}}}])";
    EXPECT_FALSE(render_foreign(tools, classic()).has("strict"));
    EXPECT_TRUE(render_foreign(tools, modern())
                    .has(R"("n":{"type":"integer","description":"{minimum: 1}"}},)"
                         R"("additionalProperties":false},"strict":true})"));
}

TEST(AnthropicTools, Choice) {
    auto choice = [](std::string_view member) {
        return render_foreign(std::string(kTool) + "," + std::string(member)).body;
    };
    auto has = [](const std::string &body, std::string_view text) {
        return body.find(text) != std::string::npos;
    };
    EXPECT_TRUE(has(choice(R"("tool_choice":{"type":"any"})"), R"("tool_choice":{"type":"any"})"));
    EXPECT_TRUE(has(choice(R"("tool_choice":{"type":"none","disable_parallel_tool_use":true})"),
                    R"("tool_choice":{"type":"none"})"));
    EXPECT_FALSE(has(choice(R"("top_k":1)"), "tool_choice"));
    EXPECT_FALSE(render_foreign(R"("tool_choice":{"type":"any"})").has("tool_choice"));

    Parsed parsed(with(R"("tools":[{"name":"f"},{"name":"g"}])"), true);
    parsed.request.parallel_tool_calls = false;
    EXPECT_TRUE(
        render(parsed).has(R"("tool_choice":{"type":"auto","disable_parallel_tool_use":true})"));
    parsed.request.tool_choice.kind = ir::ToolChoiceKind::allowed;
    parsed.request.tool_choice.allowed = {{"g"}};
    parsed.request.tool_choice.allowed_required = true;
    parsed.request.parallel_tool_calls = true;
    Rendered allowed = render(parsed);
    EXPECT_TRUE(allowed.has(R"("tool_choice":{"type":"any"})"));
    EXPECT_FALSE(allowed.has(R"("name":"f")"));
}

TEST(AnthropicTools, FreeTextToolsTakeOneString) {
    ir::Request request;
    ir::Tool tool;
    tool.kind = ir::ToolKind::custom;
    tool.name = {"patch"};
    tool.description = {"Applies"};
    request.tools.push_back(tool);
    ir::ToolCall call;
    call.id = {"c"};
    call.name = {"patch"};
    call.arguments = "line \"1\"";
    call.custom = true;
    request.turns.push_back({ir::Role::assistant, {{call}}});
    Arena arena;
    Rendered rendered = render(request, classic(), arena);
    EXPECT_TRUE(rendered.has(R"({"name":"patch","description":"Applies\n\nRaw text input.",)"
                             R"("input_schema":{"type":"object","properties":)"
                             R"({"input":{"type":"string"}},"required":["input"]}})"));
    EXPECT_TRUE(rendered.has(R"("input":{"input":"line \"1\""}})"));
    EXPECT_EQ(rendered.notes.custom_tools, std::vector<std::string_view>{"patch"});
    request.tools[0].raw = {
        R"({"type":"custom","custom":{"name":"patch","format":{"type":"grammar"}}})"};
    EXPECT_FALSE(render(request, classic(), arena).status);
}

// --- thinking -------------------------------------------------------------------------------

Rendered think(const ir::Thinking &thinking, std::string_view max_tokens, const Target &target,
               std::string_view members = R"("top_p":0.99)") {
    Parsed parsed(with(members), true);
    parsed.request.thinking = thinking;
    parsed.request.max_tokens = {max_tokens};
    return render(parsed, target);
}

ir::Thinking effort(ir::Effort effort) {
    ir::Thinking thinking;
    thinking.kind = ir::ThinkingKind::effort;
    thinking.effort = effort;
    return thinking;
}

ir::Thinking budget(int64_t tokens) {
    ir::Thinking thinking;
    thinking.kind = ir::ThinkingKind::budget;
    thinking.budget = tokens;
    return thinking;
}

TEST(AnthropicThinking, Gotcha66_EffortByModel) {
    EXPECT_TRUE(think(effort(ir::Effort::medium), "", modern())
                    .has(R"("thinking":{"type":"adaptive","display":"summarized"},)"
                         R"("output_config":{"effort":"medium"})"));
    EXPECT_TRUE(think(effort(ir::Effort::minimal), "", modern()).has(R"("effort":"low")"));
    EXPECT_TRUE(think(effort(ir::Effort::xhigh), "", modern()).has(R"("effort":"high")"));
    EXPECT_TRUE(
        think(effort(ir::Effort::none), "", modern()).has(R"("thinking":{"type":"disabled"})"));
    EXPECT_TRUE(think(effort(ir::Effort::high), "", classic())
                    .has(R"("thinking":{"type":"enabled","budget_tokens":4096})"));
    EXPECT_FALSE(think(effort(ir::Effort::none), "", classic()).has("thinking"));
    EXPECT_TRUE(think(budget(5000), "", modern()).has(R"("effort":"medium")"));
    EXPECT_TRUE(think(budget(4999), "", modern()).has(R"("effort":"low")"));
}

TEST(AnthropicThinking, Gotcha65_BudgetStaysBelowMaxTokens) {
    struct Row {
        int64_t budget;
        const char *max_tokens;
        const char *sent;
    };
    for (const Row &row : std::vector<Row>{{4096, "8000", "4096"},
                                           {4096, "4096", "4095"},
                                           {4096, "2000", "1999"},
                                           {4096, "1025", "1024"},
                                           {500, "8000", "1024"}}) {
        Rendered rendered = think(budget(row.budget), row.max_tokens, classic());
        EXPECT_TRUE(rendered.has(R"("budget_tokens":)" + std::string(row.sent) + "}"))
            << row.max_tokens;
        EXPECT_TRUE(rendered.has(R"("max_tokens":)" + std::string(row.max_tokens) + ","));
    }
    Rendered none = think(budget(4096), "1024", classic());
    EXPECT_FALSE(none.has("\"thinking\""));
    EXPECT_TRUE(none.dropped("thinking"));
    EXPECT_TRUE(think(budget(9000), "", classic()).has(R"("max_tokens":17192,)"));
}

TEST(AnthropicThinking, SamplingYieldsToThinking) {
    Rendered rendered =
        think(budget(2000), "", classic(), R"("temperature":0.5,"top_p":0.9,"top_k":3)");
    EXPECT_FALSE(rendered.has("temperature"));
    EXPECT_EQ(rendered.notes.dropped.size(), 3u);
    EXPECT_TRUE(think(budget(2000), "", classic(), R"("temperature":1,"top_p":0.95)")
                    .has(R"("temperature":1,"top_p":0.95)"));
}

TEST(AnthropicThinking, Gotcha52_ThinkingYieldsToAForcedChoice) {
    std::string members = std::string(kTool) + R"(,"tool_choice":{"type":"any"})";
    Rendered rendered = think(effort(ir::Effort::high), "", modern(), members);
    EXPECT_FALSE(rendered.has("\"thinking\""));
    EXPECT_TRUE(rendered.dropped("reasoning_effort"));
    EXPECT_TRUE(rendered.has(R"("tool_choice":{"type":"any"})"));
}

TEST(AnthropicThinking, ModelsWithoutThinking) {
    Target target = classic();
    target.traits.thinking = false;
    Rendered rendered = think(effort(ir::Effort::high), "", target);
    EXPECT_FALSE(rendered.has("\"thinking\""));
    EXPECT_TRUE(rendered.dropped("reasoning_effort"));
}

TEST(AnthropicThinking, OwnEffortAloneTurnsNothingOn) {
    Parsed parsed(with(R"("output_config":{"effort":"low"})"));
    Rendered rendered = render(parsed, modern());
    EXPECT_TRUE(rendered.has(R"("output_config":{"effort":"low"})"));
    EXPECT_FALSE(rendered.has("\"thinking\""));
}

// --- structured output ----------------------------------------------------------------------

Rendered structured(const Target &target, std::string_view members = R"("top_p":0.9)") {
    Parsed parsed(with(members), true);
    parsed.request.output.kind = ir::OutputKind::json_schema;
    parsed.request.output.schema = {R"({"type":"object","properties":{"a":{"type":"integer",)"
                                    R"("minimum":1}}})"};
    return render(parsed, target);
}

TEST(AnthropicOutput, Gotcha90_SchemaByModel) {
    Rendered native = structured(modern());
    EXPECT_TRUE(native.has(R"("output_config":{"format":{"type":"json_schema","schema":)"
                           R"({"type":"object","properties":{"a":{"type":"integer",)"
                           R"("description":"{minimum: 1}"}},"additionalProperties":false}}})"))
        << native.body;
    EXPECT_FALSE(native.notes.json_tool);
    Rendered emulated = structured(classic());
    EXPECT_TRUE(emulated.notes.json_tool);
    EXPECT_TRUE(emulated.has(R"("tools":[{"name":"json_tool_call","description":)"));
    EXPECT_TRUE(emulated.has(R"("tool_choice":{"type":"tool","name":"json_tool_call",)"
                             R"("disable_parallel_tool_use":true})"));
}

TEST(AnthropicOutput, Case47_SchemaBesideOtherTools) {
    Rendered emulated = structured(classic(), kTool);
    EXPECT_TRUE(emulated.has(R"("tool_choice":{"type":"any","disable_parallel_tool_use":true})"));
    EXPECT_TRUE(emulated.has("calling the tool json_tool_call"));
    EXPECT_TRUE(emulated.has(R"({"name":"f")"));
}

TEST(AnthropicOutput, JsonObjectIsAskedForInWords) {
    Parsed parsed(with(R"("system":"S")"), true);
    parsed.request.output.kind = ir::OutputKind::json_object;
    EXPECT_TRUE(
        render(parsed).has(R"("system":[{"type":"text","text":"S"},)"
                           R"({"type":"text","text":"Respond with a JSON object only."}])"));
}

}  // namespace
