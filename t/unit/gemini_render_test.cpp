// Requests for Gemini, as they come from clients of other dialects.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "t/check/pump.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/dialect/opaque_tag.hpp"
#include "translators/provider/model_traits.hpp"

namespace {

using namespace llm;

Target target_of(std::string_view model, Carrier carrier = Carrier::direct, bool drops = false) {
    Target target;
    target.model = model;
    target.traits = model_traits(DialectId::gemini, model, true);
    target.carrier = carrier;
    target.drop_params = drops;
    return target;
}

const Target kOld = target_of("gemini-2.0-flash");
const Target kBudget = target_of("gemini-2.5-flash");
const Target kLevel = target_of("gemini-3-pro-preview");
const Target kVertex = target_of("gemini-2.5-flash", Carrier::vertex);

struct Sent {
    std::string body;
    std::string refused;
    std::vector<std::string> left_out;
    bool has_json_tool = false;

    std::string member(std::string_view name) const {
        check::Document document(body);
        return std::string(document.root()[name].raw().bytes);
    }
    std::string config(std::string_view name) const {
        check::Document document(body);
        return std::string(document.root()["generationConfig"][name].raw().bytes);
    }
    bool dropped(std::string_view name) const {
        return std::find(left_out.begin(), left_out.end(), name) != left_out.end();
    }
};

// Signatures as they are once their tags were read.
void untag(ir::Request &request) {
    for (ir::Turn &turn : request.turns) {
        for (ir::Part &part : turn.parts) {
            auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
            if (reasoning != nullptr && reasoning->signature.bytes.starts_with("gw1.")) {
                TaggedOpaque opaque = read_opaque(reasoning->signature, request.dialect);
                reasoning->origin = opaque.origin;
                reasoning->signature = opaque.data;
            }
        }
    }
}

Sent send(std::string_view body, const Target &target, const Dialect &from, bool is_count = false) {
    check::Document document(body);
    EXPECT_TRUE(bool(document)) << body;
    Arena arena;
    ir::Request request;
    Status parsed = from.parse_request(document.root(), arena, request);
    EXPECT_TRUE(bool(parsed)) << body;
    untag(request);
    Sent sent;
    Notes notes;
    ByteBuffer out;
    json::Writer writer(out);
    auto render = is_count ? kGemini.render_count : kGemini.render_request;
    Status status = render(request, target, arena, writer, notes);
    sent.refused = status ? "" : std::string(status.error().param);
    sent.body = status ? std::string(out.view()) : "";
    sent.left_out.assign(notes.dropped.begin(), notes.dropped.end());
    sent.has_json_tool = notes.json_tool;
    check::Document rendered(sent.body);
    EXPECT_TRUE(!status || bool(rendered)) << sent.body;
    return sent;
}

Sent chat(std::string_view members, const Target &target = kBudget) {
    return send(
        R"({"model":"m","messages":[{"role":"user","content":"Hi"}],)" + std::string(members) + "}",
        target, kOpenAi);
}

std::string contents(std::string_view messages, const Target &target = kBudget) {
    Sent sent =
        send(R"({"model":"m","messages":[)" + std::string(messages) + "]}", target, kOpenAi);
    return sent.body.empty() ? "refused " + sent.refused : sent.member("contents");
}

std::string claude(std::string_view messages, const Target &target = kBudget) {
    Sent sent = send(R"({"model":"m","max_tokens":9,"messages":[)" + std::string(messages) + "]}",
                     target, kAnthropic);
    return sent.body.empty() ? "refused " + sent.refused : sent.member("contents");
}

constexpr std::string_view kHi = R"({"role":"user","content":"Hi"})";

std::string with_call(std::string_view rest) {
    return std::string(kHi) +
           R"(,{"role":"assistant","tool_calls":[)"
           R"({"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},)"
           R"({"id":"b","type":"function","function":{"name":"g","arguments":""}}]})" +
           std::string(rest);
}

constexpr std::string_view kCallsSent =
    R"([{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[)"
    R"({"functionCall":{"id":"a","name":"f","args":{"x": 1}}},)"
    R"({"functionCall":{"id":"b","name":"g","args":{}}}]},{"role":"user","parts":[)";

std::string response(std::string_view id, std::string_view name, std::string_view object) {
    return R"({"functionResponse":{"id":")" + std::string(id) + R"(","name":")" +
           std::string(name) + R"(","response":)" + std::string(object) + "}}";
}

// --- contents -----------------------------------------------------------------------------------

TEST(GeminiRender, R3_TurnsAlternateAndBeginWithTheUser) {
    EXPECT_EQ(contents(R"({"role":"user","content":"a"},{"role":"user","content":"b"},)"
                       R"({"role":"assistant","content":"c"},{"role":"user","content":""})"),
              R"([{"role":"user","parts":[{"text":"a"},{"text":"b"}]},)"
              R"({"role":"model","parts":[{"text":"c"}]},)"
              R"x({"role":"user","parts":[{"text":"(empty)"}]}])x");
    EXPECT_EQ(contents(R"({"role":"assistant","content":"c"},{"role":"user","content":"d"})"),
              R"([{"role":"user","parts":[{"text":" "}]},{"role":"model","parts":[{"text":"c"}]},)"
              R"({"role":"user","parts":[{"text":"d"}]}])");
}

TEST(GeminiRender, R1_SystemTextAloneStillNeedsAUser) {
    Sent sent = send(R"({"model":"m","messages":[{"role":"system","content":"S"},)"
                     R"({"role":"developer","content":"T"},{"role":"system","content":""}]})",
                     kBudget, kOpenAi);
    EXPECT_EQ(sent.member("systemInstruction"), R"({"parts":[{"text":"S"},{"text":"T"}]})");
    EXPECT_EQ(sent.member("contents"), R"([{"role":"user","parts":[{"text":" "}]}])");
}

TEST(GeminiRender, R9_Gotcha21_ResultsFollowTheirCallsInOrder) {
    EXPECT_EQ(contents(with_call(R"(,{"role":"tool","tool_call_id":"b","content":"no"},)"
                                 R"({"role":"tool","tool_call_id":"a","content":"{\"y\":2}"},)"
                                 R"({"role":"user","content":"so?"})")),
              std::string(kCallsSent) + response("a", "f", R"({"y":2})") + "," +
                  response("b", "g", R"({"result":"no"})") + R"(,{"text":"so?"}]}])");
}

TEST(GeminiRender, R9_MissingOrphanAndDuplicateResults) {
    EXPECT_EQ(contents(with_call(R"(,{"role":"tool","tool_call_id":"a","content":"1"},)"
                                 R"({"role":"tool","tool_call_id":"zz","content":"?"},)"
                                 R"({"role":"tool","tool_call_id":"a","content":""})")),
              std::string(kCallsSent) + response("a", "f", R"({"result":""})") + "," +
                  response("b", "g", R"({"error":"[no result]"})") + "]}]");
}

TEST(GeminiRender, R9_ErrorsOfToolsSaySo) {
    std::string sent = claude(
        R"({"role":"user","content":"Hi"},{"role":"assistant","content":[)"
        R"({"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"user","content":[)"
        R"({"type":"tool_result","tool_use_id":"a","is_error":true,"content":"{\"no\":1}"}]})");
    EXPECT_NE(sent.find(R"("response":{"error":"{\"no\":1}"})"), std::string::npos) << sent;
}

TEST(GeminiRender, R8_ArgumentsThatAreNoObjectAreWrapped) {
    std::string sent = contents(
        std::string(kHi) +
        R"(,{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"cut"}}]})");
    EXPECT_NE(sent.find(R"("args":{"raw_arguments":"{\"cut"})"), std::string::npos) << sent;
}

TEST(GeminiRender, IdsAreLeftOutOnVertex) {
    std::string sent =
        contents(with_call(R"(,{"role":"tool","tool_call_id":"a","content":"1"})"), kVertex);
    EXPECT_EQ(sent.find("\"id\""), std::string::npos) << sent;
}

// --- signatures ---------------------------------------------------------------------------------

std::string thinking(std::string_view signature) {
    return R"({"type":"thinking","thinking":"hm","signature":")" + std::string(signature) + "\"},";
}

std::string claude_call(std::string_view before, std::string_view id) {
    return R"({"role":"assistant","content":[)" + std::string(before) +
           R"({"type":"tool_use","id":")" + std::string(id) +
           R"(","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result",)"
           R"("tool_use_id":")" +
           std::string(id) + R"(","content":"1"}]})";
}

TEST(GeminiRender, R21_Gotcha61_ASignatureComesBackOnItsCall) {
    std::string sent =
        claude(std::string(kHi) + "," + claude_call(thinking("gw1.gemini.U0lH"), "a"));
    EXPECT_NE(sent.find(R"("args":{}},"thoughtSignature":"U0lH"})"), std::string::npos) << sent;
    EXPECT_EQ(sent.find("hm"), std::string::npos) << "thoughts are not sent back";
}

TEST(GeminiRender, R21_ASignatureInFrontOfTheTextIsStillTheCalls) {
    std::string sent =
        claude(std::string(kHi) + "," +
               claude_call(thinking("gw1.gemini.U0lH") + R"({"type":"text","text":"T"},)", "a"));
    EXPECT_NE(sent.find(R"([{"text":"T"},{"functionCall")"), std::string::npos) << sent;
    EXPECT_NE(sent.find(R"("args":{}},"thoughtSignature":"U0lH"})"), std::string::npos) << sent;
}

TEST(GeminiRender, R21_Gotcha62_ForeignSignaturesGiveWayToThePlaceholder) {
    std::string history = std::string(kHi) + "," + claude_call(thinking("EqQB"), "a");
    std::string sent = claude(history, kLevel);
    EXPECT_EQ(sent.find("EqQB"), std::string::npos) << sent;
    EXPECT_NE(sent.find(R"("thoughtSignature":"skip_thought_signature_validator")"),
              std::string::npos);
    // Older models do without, and so do steps before the user's latest words.
    EXPECT_EQ(claude(history).find("thoughtSignature"), std::string::npos);
    std::string later = history + R"(,{"role":"assistant","content":"ok"},)" + std::string(kHi);
    EXPECT_EQ(claude(later, kLevel).find("thoughtSignature"), std::string::npos);
}

TEST(GeminiRender, R21_EveryStepOfTheTurnHasOneOnItsFirstCall) {
    std::string sent =
        claude(std::string(kHi) + "," + claude_call("", "a") + "," +
                   claude_call(thinking("gw1.gemini.U0lH"), "b") + "," +
                   claude_call(R"({"type":"tool_use","id":"c","name":"f","input":{}},)", "d"),
               kLevel);
    size_t count = 0;
    for (size_t at = 0; (at = sent.find("thoughtSignature", at)) != std::string::npos; ++at) {
        ++count;
    }
    EXPECT_EQ(count, 3u) << sent;
    EXPECT_NE(sent.find("U0lH"), std::string::npos);
}

TEST(GeminiRender, Gotcha102_ASignatureOfATextStaysThere) {
    std::string body =
        R"({"contents":[{"role":"user","parts":[{"text":"Hi"}]},{"role":"model","parts":[)"
        R"({"text":"a"},{"text":"b","thoughtSignature":"U0lH"},{"functionCall":{"id":"1","name":"f","args":{}}}]},)"
        R"({"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{"result":"1"}}}]},)"
        R"({"role":"model","parts":[{"text":"c"},{"text":"","thoughtSignature":"VA=="}]},)"
        R"({"role":"user","parts":[{"text":"d"}]}]})";
    std::string sent = send(body, kBudget, kGemini).member("contents");
    EXPECT_NE(sent.find(R"({"text":"c","thoughtSignature":"VA=="})"), std::string::npos) << sent;
}

// --- media --------------------------------------------------------------------------------------

TEST(GeminiRender, R12_Images) {
    auto image = [](std::string_view url) {
        return R"({"role":"user","content":[{"type":"image_url","image_url":{"url":")" +
               std::string(url) + R"("}}]})";
    };
    EXPECT_EQ(contents(image("data:image/jpg;base64,iVBORw0KGgo=")),
              R"([{"role":"user","parts":[{"inlineData":{"mimeType":"image/png",)"
              R"("data":"iVBORw0KGgo="}}]}])");
    EXPECT_EQ(contents(image("https://pictures.example/a.webp?x")),
              R"([{"role":"user","parts":[{"fileData":{"mimeType":"image/webp",)"
              R"("fileUri":"https://pictures.example/a.webp?x"}}]}])");
    EXPECT_EQ(contents(image("https://pictures.example/a.webp"), kOld), "refused image_url");
    EXPECT_NE(contents(image("https://pictures.example/a.webp"), kVertex).find(R"({"text":" "})"),
              std::string::npos);
}

TEST(GeminiRender, R11_ImagesInsideOfResults) {
    std::string history =
        R"({"role":"user","content":"Hi"},{"role":"assistant","content":[)"
        R"({"type":"tool_use","id":"a","name":"f","input":{}}]},{"role":"user","content":[)"
        R"({"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"see"},)"
        R"({"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgo="}}]}]})";
    constexpr std::string_view kData =
        R"({"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}})";
    EXPECT_NE(claude(history, kLevel)
                  .find(R"("response":{"result":"see"},"parts":[)" + std::string(kData) + "]}}"),
              std::string::npos);
    EXPECT_NE(claude(history).find(R"("response":{"result":"see"}}},)" + std::string(kData)),
              std::string::npos);
}

TEST(GeminiRender, AudioAndDocuments) {
    EXPECT_EQ(
        contents(R"({"role":"user","content":[{"type":"input_audio",)"
                 R"("input_audio":{"format":"mp3","data":"QUJD"}}]})"),
        R"([{"role":"user","parts":[{"inlineData":{"mimeType":"audio/mpeg","data":"QUJD"}}]}])");
    EXPECT_EQ(claude(R"({"role":"user","content":[{"type":"document","title":"T","source":)"
                     R"({"type":"text","media_type":"text/plain","data":"a\nb"}}]})"),
              R"([{"role":"user","parts":[{"text":"T\n\na\nb"}]}])");
    EXPECT_EQ(claude(R"({"role":"user","content":[{"type":"document","source":{"type":"content",)"
                     R"("content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}}]})"),
              R"([{"role":"user","parts":[{"text":"a\n\nb"}]}])");
    EXPECT_EQ(claude(R"({"role":"user","content":[{"type":"image","source":)"
                     R"({"type":"file","file_id":"f1"}}]})"),
              "refused image_url");
}

// --- tools --------------------------------------------------------------------------------------

std::string tool(std::string_view name, std::string_view parameters) {
    return R"({"type":"function","function":{"name":")" + std::string(name) + "\"" +
           (parameters.empty() ? "" : R"(,"parameters":)" + std::string(parameters)) + "}}";
}

std::string tools(std::string_view list) {
    return R"("tools":[)" + std::string(list) + "]";
}

TEST(GeminiRender, R5_SchemasByWhatTheModelTakes) {
    std::string strict =
        R"({"type":"object","properties":{"a":{"type":["string","null"]}},"additionalProperties":false})";
    EXPECT_EQ(chat(tools(tool("f", strict) + "," + tool("g", "") + "," +
                         tool("h", R"({"type":"object","properties":{}})")))
                  .member("tools"),
              R"([{"functionDeclarations":[{"name":"f","parametersJsonSchema":)" + strict +
                  R"(},{"name":"g"},{"name":"h"}]}])");
    EXPECT_EQ(chat(tools(tool("f", strict)), kOld).member("tools"),
              R"([{"functionDeclarations":[{"name":"f","parameters":{"type":"object",)"
              R"("properties":{"a":{"type":"string","nullable":true}}}}]}])");
}

TEST(GeminiRender, R5_NamesOfTools) {
    std::string sent =
        chat(tools(tool("9 lives", "") + "," + tool("a.b", "") + "," + tool("-x", "")))
            .member("tools");
    EXPECT_EQ(sent,
              R"([{"functionDeclarations":[{"name":"_9_lives"},{"name":"a.b"},{"name":"_-x"}]}])");
}

TEST(GeminiRender, R6_ToolChoice) {
    auto config = [](std::string_view choice) {
        return chat(tools(tool("f", "") + "," + tool("g", "")) + R"(,"tool_choice":)" +
                    std::string(choice))
            .member("toolConfig");
    };
    auto mode = [](std::string_view rest) {
        return R"({"functionCallingConfig":{"mode":)" + std::string(rest) + "}}";
    };
    EXPECT_EQ(config("null"), "");
    EXPECT_EQ(config("\"auto\""), mode("\"AUTO\""));
    EXPECT_EQ(config("\"none\""), mode("\"NONE\""));
    EXPECT_EQ(config("\"required\""), mode("\"ANY\""));
    EXPECT_EQ(config(R"({"type":"function","function":{"name":"f"}})"),
              mode(R"("ANY","allowedFunctionNames":["f"])"));
    auto allowed = [](std::string_view kind) {
        return tools(tool("f", "") + "," + tool("g", "")) +
               R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":")" +
               std::string(kind) + R"(","tools":[{"type":"function","function":{"name":"g"}}]}})";
    };
    EXPECT_EQ(chat(allowed("required")).member("toolConfig"),
              mode(R"("ANY","allowedFunctionNames":["g"])"));
    Sent sent = chat(allowed("auto"));
    EXPECT_EQ(sent.member("toolConfig"), mode("\"AUTO\""));
    EXPECT_EQ(sent.member("tools"), R"([{"functionDeclarations":[{"name":"g"}]}])");
    EXPECT_TRUE(chat(tools(tool("f", "")) + R"(,"parallel_tool_calls":false)")
                    .dropped("parallel_tool_calls"));
}

TEST(GeminiRender, R5_BuiltInToolsOfOthersAreRefusedByName) {
    std::string body = R"({"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],)"
                       R"("tools":[{"type":"web_search_20250305","name":"web_search"}]})";
    EXPECT_EQ(send(body, kBudget, kAnthropic).refused, "tools");
    Sent sent = send(body, target_of("gemini-2.5-flash", Carrier::direct, true), kAnthropic);
    EXPECT_TRUE(sent.dropped("tools"));
    EXPECT_EQ(sent.member("tools"), "");
}

// --- generationConfig ---------------------------------------------------------------------------

TEST(GeminiRender, NumbersStayAsTheyWereWritten) {
    Sent sent = chat(R"("max_completion_tokens":100,"temperature":0.70,"top_p":0.9,"seed":7,"n":2,)"
                     R"("frequency_penalty":0.5,"presence_penalty":-0.5,)"
                     R"("stop":["1","","2","3","4","5","6"])");
    EXPECT_EQ(sent.member("generationConfig"),
              R"({"maxOutputTokens":100,"temperature":0.70,"topP":0.9,"candidateCount":2,)"
              R"("stopSequences":["1","2","3","4","5"],"seed":7,"presencePenalty":-0.5,)"
              R"("frequencyPenalty":0.5})");
    EXPECT_TRUE(sent.dropped("stop"));
    EXPECT_EQ(chat(R"("n":9)").refused, "n");
    EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":2)").refused, "logprobs");
    EXPECT_EQ(chat(R"("logprobs":true,"top_logprobs":2)", kVertex).member("generationConfig"),
              R"({"responseLogprobs":true,"logprobs":2})");
    EXPECT_EQ(chat(R"("logit_bias":{"1":2})").refused, "logit_bias");
}

TEST(GeminiRender, R17_StructuredOutput) {
    std::string format = R"("response_format":{"type":"json_schema","json_schema":{"name":"n",)"
                         R"("schema":{"type":"object","properties":{"a":{"const":"x"}}}}})";
    EXPECT_EQ(chat(format).member("generationConfig"),
              R"({"responseMimeType":"application/json","responseJsonSchema":)"
              R"({"type":"object","properties":{"a":{"const":"x"}}}})");
    EXPECT_EQ(chat(format, kOld).member("generationConfig"),
              R"({"responseMimeType":"application/json","responseSchema":{"type":"object",)"
              R"("properties":{"a":{"type":"string","enum":["x"]}}}})");
    EXPECT_EQ(chat(R"("response_format":{"type":"json_object"})").member("generationConfig"),
              R"({"responseMimeType":"application/json"})");
}

TEST(GeminiRender, R17_Case47_BesideToolsOlderModelsAnswerByATool) {
    std::string both = tools(tool("f", "")) +
                       R"(,"response_format":{"type":"json_schema","json_schema":{"name":"n",)"
                       R"("schema":{"type":"object","properties":{"a":{"type":"string"}}}}})";
    Sent sent = chat(both);
    EXPECT_TRUE(sent.has_json_tool);
    EXPECT_EQ(sent.member("generationConfig"), "");
    EXPECT_NE(sent.member("tools").find("json_tool_call"), std::string::npos);
    EXPECT_EQ(sent.member("toolConfig"), R"({"functionCallingConfig":{"mode":"ANY"}})");
    sent = chat(both, kLevel);
    EXPECT_FALSE(sent.has_json_tool);
    EXPECT_NE(sent.config("responseJsonSchema"), "");
}

TEST(GeminiRender, R18_ReasoningByTheModel) {
    auto config = [](std::string_view effort, std::string_view model) {
        Sent sent = chat(R"("reasoning_effort":")" + std::string(effort) + "\"", target_of(model));
        return sent.dropped("reasoning_effort") ? "dropped" : sent.config("thinkingConfig");
    };
    auto level = [](std::string_view name) {
        return R"({"includeThoughts":true,"thinkingLevel":")" + std::string(name) + "\"}";
    };
    auto budget = [](std::string_view tokens) {
        return R"({"includeThoughts":true,"thinkingBudget":)" + std::string(tokens) + "}";
    };
    EXPECT_EQ(config("none", "gemini-3-flash"), R"({"thinkingLevel":"MINIMAL"})");
    EXPECT_EQ(config("none", "gemini-3-pro-preview"), R"({"thinkingLevel":"LOW"})");
    EXPECT_EQ(config("minimal", "gemini-3-flash"), level("MINIMAL"));
    EXPECT_EQ(config("minimal", "gemini-3.1-pro"), level("LOW"));
    EXPECT_EQ(config("medium", "gemini-3-pro-preview"), level("HIGH"));
    EXPECT_EQ(config("medium", "gemini-3.1-pro"), level("MEDIUM"));
    EXPECT_EQ(config("xhigh", "gemini-3-flash"), level("HIGH"));
    EXPECT_EQ(config("none", "gemini-2.5-flash"), R"({"thinkingBudget":0})");
    EXPECT_EQ(config("none", "gemini-2.5-pro"), R"({"thinkingBudget":128})");
    EXPECT_EQ(config("low", "gemini-2.5-flash"), budget("1024"));
    EXPECT_EQ(config("medium", "gemini-2.5-pro"), budget("2048"));
    EXPECT_EQ(config("high", "gemini-2.5-flash-lite"), budget("4096"));
    EXPECT_EQ(config("high", "gemini-2.0-flash"), "dropped");
    EXPECT_EQ(config("none", "gemini-2.0-flash"), "");
    EXPECT_EQ(chat(R"("seed":1)").config("thinkingConfig"), "");
}

TEST(GeminiRender, R18_BudgetsAndAdaptiveThinking) {
    auto config = [](std::string_view thinking, std::string_view model) {
        return send(
                   R"({"model":"m","max_tokens":90000,"messages":[{"role":"user","content":"Hi"}],)"
                   R"("thinking":)" +
                       std::string(thinking) + "}",
                   target_of(model), kAnthropic)
            .config("thinkingConfig");
    };
    std::string enabled = R"({"type":"enabled","budget_tokens":40000})";
    EXPECT_EQ(config(enabled, "gemini-2.5-flash"),
              R"({"includeThoughts":true,"thinkingBudget":24576})");
    EXPECT_EQ(config(enabled, "gemini-3-flash"),
              R"({"includeThoughts":true,"thinkingLevel":"HIGH"})");
    EXPECT_EQ(config(R"({"type":"adaptive"})", "gemini-2.5-flash"),
              R"({"includeThoughts":true,"thinkingBudget":-1})");
    EXPECT_EQ(config(R"({"type":"adaptive"})", "gemini-3-flash"), R"({"includeThoughts":true})");
    EXPECT_EQ(config(R"({"type":"disabled"})", "gemini-2.5-flash"), R"({"thinkingBudget":0})");
}

// --- the rest -----------------------------------------------------------------------------------

TEST(GeminiRender, LabelsAreForVertex) {
    std::string who = R"("user":"me_1","metadata":{"team":"a-b"})";
    EXPECT_EQ(chat(who, kVertex).member("labels"), R"({"user":"me_1","team":"a-b"})");
    Sent sent = chat(who);
    EXPECT_EQ(sent.member("labels"), "");
    EXPECT_TRUE(sent.dropped("user") && sent.dropped("metadata"));
    EXPECT_TRUE(chat(R"("user":"Me@home")", kVertex).dropped("user"));
}

TEST(GeminiRender, WhatTheApiDoesNotKnowIsNamed) {
    Sent sent = chat(R"("store":true,"prompt_cache_key":"k","verbosity":"low")");
    EXPECT_TRUE(sent.dropped("store") && sent.dropped("prompt_cache_key") &&
                sent.dropped("verbosity"));
    EXPECT_EQ(chat(R"("modalities":["text","audio"],"audio":{"voice":"x"})").refused, "modalities");
    EXPECT_EQ(chat(R"("modalities":["text","image"])").member("generationConfig"),
              R"({"responseModalities":["TEXT","IMAGE"]})");
    EXPECT_EQ(chat(R"("web_search_options":{})").refused, "web_search_options");
}

TEST(GeminiRender, MembersOfItsOwnClientsGoThrough) {
    std::string body =
        R"({"systemInstruction":{"parts":[{"text":"S"}]},"tools":[{"functionDeclarations":[{"name":"f"}]},)"
        R"({"googleSearch":{}}],"toolConfig":{"functionCallingConfig":{"mode":"AUTO"},)"
        R"("retrievalConfig":{"languageCode":"de"}},"contents":[{"role":"user","parts":[{"text":"Hi"}]}],)"
        R"("generationConfig":{"topK":5,"thinkingConfig":{"includeThoughts":true,"thinkingBudget":0},)"
        R"("speechConfig":{"a":1}},"safetySettings":[],"labels":{"a":"b"}})";
    EXPECT_EQ(send(body, kBudget, kGemini).body, body);
}

TEST(GeminiRender, CountingTakesTheRequestWithoutItsNumbers) {
    std::string body = R"({"model":"m","max_tokens":5,"messages":[{"role":"system","content":"S"},)"
                       R"({"role":"user","content":"Hi"}]})";
    std::string members = R"("systemInstruction":{"parts":[{"text":"S"}]},)"
                          R"("contents":[{"role":"user","parts":[{"text":"Hi"}]}]})";
    EXPECT_EQ(send(body, kBudget, kOpenAi, true).body,
              R"({"generateContentRequest":{"model":"models/gemini-2.5-flash",)" + members + "}");
    EXPECT_EQ(send(body, kVertex, kOpenAi, true).body, "{" + members);
}

}  // namespace
