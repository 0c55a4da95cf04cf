#include <gtest/gtest.h>

#include <string>

#include "t/check/pump.hpp"
#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;
using check::Document;

struct Parsed {
    explicit Parsed(std::string_view body) : document(body) {
        EXPECT_TRUE(bool(document)) << body;
        status = kGemini.parse_request(document.root(), arena, request);
    }
    const ir::Request *operator->() {
        EXPECT_TRUE(bool(status)) << status.error().what << " " << status.error().param;
        return &request;
    }
    template <class T>
    const T *part(size_t turn, size_t at) const {
        if (turn >= request.turns.size() || at >= request.turns[turn].parts.size()) {
            return nullptr;
        }
        return std::get_if<T>(&request.turns[turn].parts[at].is);
    }

    Document document;
    Arena arena;
    ir::Request request;
    Status status;
};

std::string user(std::string_view rest) {
    return R"({"contents":[{"role":"user","parts":[{"text":"hi"}]}],)" + std::string(rest) + "}";
}

std::string blamed(std::string_view body) {
    Parsed parsed(body);
    EXPECT_FALSE(bool(parsed.status)) << body;
    return parsed.status ? "accepted" : std::string(parsed.status.error().param);
}

std::string extra_of(const ir::Request &request) {
    std::string all;
    for (const ir::Extra &extra : request.extra) {
        all.append(extra.name.bytes).append("=").append(extra.value.bytes).append(";");
    }
    return all;
}

// --- envelope -----------------------------------------------------------------------------------

TEST(GeminiEnvelope, SaysWhatRoutingNeedsWithoutModel) {
    Document body(user(R"("generation_config":{"max_output_tokens":9,)"
                       R"("responseMimeType":"application/json"},"tools":[{}])"));
    Result<Envelope> envelope = kGemini.read_envelope(body.root());
    ASSERT_TRUE(bool(envelope));
    EXPECT_TRUE(envelope->model.empty());
    EXPECT_FALSE(envelope->stream);
    EXPECT_TRUE(envelope->has_tools);
    EXPECT_TRUE(envelope->is_structured);
    EXPECT_EQ(envelope->max_tokens, 9);
}

TEST(GeminiEnvelope, Case69_MalformedRequestsAreRefused) {
    auto refused = [](std::string_view body) {
        Document document(body);
        return !kGemini.read_envelope(document.root());
    };
    EXPECT_TRUE(refused("[]"));
    EXPECT_TRUE(refused("{}"));
    EXPECT_TRUE(refused(R"({"contents":[]})"));
    EXPECT_TRUE(refused(R"({"contents":5})"));
    EXPECT_TRUE(refused(user(R"("contents":"twice")")));
    std::string many = R"({"contents":[{})";
    for (int i = 0; i < 8192; ++i) {
        many += ",{}";
    }
    EXPECT_TRUE(refused(many + "]}"));
}

// --- contents -----------------------------------------------------------------------------------

TEST(GeminiRequest, ContentsComeInEveryFormOfTheSdk) {
    Parsed string(R"({"contents":"hi"})");
    ASSERT_EQ(string->turns.size(), 1u);
    EXPECT_EQ(string.part<ir::Text>(0, 0)->text.bytes, "hi");
    Parsed object(R"({"contents":{"parts":{"text":"hi"}}})");
    ASSERT_EQ(object->turns.size(), 1u);
    EXPECT_EQ(object.part<ir::Text>(0, 0)->text.bytes, "hi");
    Parsed list(R"({"contents":["a",{"text":"b"},{"role":"model","parts":[{"text":"c"},"d"]}]})");
    ASSERT_EQ(list->turns.size(), 3u);
    EXPECT_EQ(list.part<ir::Text>(1, 0)->text.bytes, "b");
    EXPECT_EQ(list->turns[2].role, ir::Role::assistant);
    EXPECT_EQ(list.part<ir::Text>(2, 1)->text.bytes, "d");
}

TEST(GeminiRequest, MalformedPartsAreRefusedByName) {
    EXPECT_EQ(blamed(R"({"contents":[]})"), "contents");
    EXPECT_EQ(blamed(R"({"contents":[{"role":"tool","parts":[]}]})"), "contents.role");
    EXPECT_EQ(blamed(R"({"contents":[{"parts":[{}]}]})"), "contents.parts");
    EXPECT_EQ(blamed(R"({"contents":[{"parts":[{"text":5}]}]})"), "contents.parts.text");
    EXPECT_EQ(blamed(R"({"contents":[{"parts":[{"functionCall":{"args":{}}}]}]})"),
              "contents.parts.functionCall.name");
    EXPECT_EQ(blamed(R"({"contents":[{"parts":[{"functionCall":{"name":"f","args":"x"}}]}]})"),
              "contents.parts.functionCall.args");
    EXPECT_EQ(blamed(R"({"contents":[{"parts":[{"inlineData":{"data":"?"}}]}]})"),
              "contents.parts.inlineData.data");
    EXPECT_EQ(blamed(user(R"("systemInstruction":{"parts":[{"inlineData":{}}]})")),
              "systemInstruction");
    EXPECT_EQ(blamed(user(R"("generationConfig":{"topP":"high"})")), "generationConfig.topP");
    EXPECT_EQ(blamed(user(R"("tools":[{"functionDeclarations":[{"name":"f"},{"name":"f"}]}])")),
              "tools.functionDeclarations");
}

TEST(GeminiRequest, SystemTextKeepsItsParts) {
    Parsed parsed(
        user(R"("system_instruction":{"role":"user","parts":[{"text":"a"},{"text":"b"}]})"));
    ASSERT_EQ(parsed->system.size(), 2u);
    EXPECT_EQ(parsed->system[1].text.bytes, "b");
    EXPECT_EQ(Parsed(user(R"("systemInstruction":"s")"))->system[0].text.bytes, "s");
}

TEST(GeminiRequest, MediaByTheirTypes) {
    Parsed parsed(
        R"({"contents":[{"parts":[)"
        R"({"inline_data":{"mime_type":"image/jpg","data":"iVBORw0KGgoAAAANSUhEUg_-"}},)"
        R"({"inlineData":{"mimeType":"audio/mpeg","data":"AAAA"}},)"
        R"({"inlineData":{"mimeType":"application/pdf","data":"JVBERi0x","displayName":"a.pdf"}},)"
        R"({"inlineData":{"mimeType":"text/plain","data":"aGkKIm8i"}},)"
        R"({"fileData":{"fileUri":"https://a.example/x.png?s=1"}},)"
        R"({"fileData":{"mimeType":"video/mp4","fileUri":"gs://bucket/x.mp4"}}]}]})");
    ASSERT_EQ(parsed->turns[0].parts.size(), 6u);
    const auto *image = parsed.part<ir::Image>(0, 0);
    ASSERT_NE(image, nullptr);
    EXPECT_EQ(image->source.mime.bytes, "image/png");  // the bytes say so
    EXPECT_EQ(image->source.data.bytes, "iVBORw0KGgoAAAANSUhEUg/+");
    EXPECT_EQ(parsed.part<ir::Audio>(0, 1)->format.bytes, "mp3");
    EXPECT_EQ(parsed.part<ir::Document>(0, 2)->title.bytes, "a.pdf");
    EXPECT_EQ(parsed.part<ir::Document>(0, 3)->source.kind, ir::SourceKind::text);
    EXPECT_EQ(parsed.part<ir::Document>(0, 3)->source.data.bytes, R"(hi\n\"o\")");
    EXPECT_EQ(parsed.part<ir::Image>(0, 4)->source.kind, ir::SourceKind::url);
    EXPECT_EQ(parsed.part<ir::Document>(0, 5)->source.kind, ir::SourceKind::file_id);
}

// --- calls --------------------------------------------------------------------------------------

constexpr std::string_view kHistory =
    R"({"contents":[{"role":"user","parts":[{"text":"go"}]},)"
    R"({"role":"model","parts":[{"functionCall":{"name":"look","args":{"n":1}}},)"
    R"({"functionCall":{"name":"look","args":{"n":2}}},{"functionCall":{"name":"find"}}]},)"
    R"({"role":"user","parts":[{"functionResponse":{"name":"find","response":{"error":"no"}}},)"
    R"({"functionResponse":{"name":"look","response":{"output":"one"}}},)"
    R"({"functionResponse":{"name":"look","response":{"a":1}}}]}]})";

TEST(GeminiRequest, CallsWithoutIdsGetThoseOfTheirPlaceAndTheirResponsesFollow) {
    Parsed parsed(kHistory);
    ASSERT_EQ(parsed->turns.size(), 3u);
    EXPECT_EQ(parsed.part<ir::ToolCall>(1, 0)->id.bytes, "call_10aad841dd8fdd25649b2885");
    EXPECT_EQ(parsed.part<ir::ToolCall>(1, 1)->id.bytes, "call_eaf36c51f9f2300374b017de");
    EXPECT_EQ(parsed.part<ir::ToolCall>(1, 2)->id.bytes, "call_b8e83aa4a2dbb5bf0b3b2f58");
    EXPECT_EQ(parsed.part<ir::ToolCall>(1, 2)->arguments, "{}");
    const auto *failed = parsed.part<ir::ToolResult>(2, 0);
    EXPECT_EQ(failed->call_id.bytes, "call_b8e83aa4a2dbb5bf0b3b2f58");
    EXPECT_TRUE(failed->is_error);
    EXPECT_EQ(std::get<ir::Text>(failed->parts[0].is).text.bytes, "no");
    EXPECT_EQ(parsed.part<ir::ToolResult>(2, 1)->call_id.bytes, "call_10aad841dd8fdd25649b2885");
    EXPECT_EQ(std::get<ir::Text>(parsed.part<ir::ToolResult>(2, 1)->parts[0].is).text.bytes, "one");
    EXPECT_EQ(parsed.part<ir::ToolResult>(2, 2)->call_id.bytes, "call_eaf36c51f9f2300374b017de");
    EXPECT_EQ(std::get<ir::Text>(parsed.part<ir::ToolResult>(2, 2)->parts[0].is).text.bytes,
              R"({\"a\":1})");
}

TEST(GeminiRequest, GivenIdsPairCallsAndResponses) {
    Parsed parsed(R"({"contents":[{"role":"model","parts":[{"functionCall":{"id":"x","name":"f"}},)"
                  R"({"functionCall":{"id":"y","name":"f"}}]},{"role":"function","parts":[)"
                  R"({"function_response":{"id":"y","name":"f","response":{}}},)"
                  R"({"functionResponse":{"name":"f","response":{"result":"r"}}}]}]})");
    EXPECT_EQ(parsed->turns[1].role, ir::Role::user);
    EXPECT_EQ(parsed.part<ir::ToolResult>(1, 0)->call_id.bytes, "y");
    EXPECT_EQ(parsed.part<ir::ToolResult>(1, 1)->call_id.bytes, "x");
}

TEST(GeminiRequest, ACallThatNobodyAnsweredDoesNotTakeTheNextAnswer) {
    Parsed parsed(
        R"({"contents":[{"role":"model","parts":[{"functionCall":{"id":"old","name":"f"}}]},)"
        R"({"role":"user","parts":[{"text":"never mind"}]},)"
        R"({"role":"model","parts":[{"functionCall":{"id":"new","name":"f"}}]},)"
        R"({"role":"user","parts":[{"functionResponse":{"name":"f","response":{}}}]}]})");
    ASSERT_EQ(parsed->turns.size(), 4u);
    EXPECT_EQ(parsed.part<ir::ToolResult>(3, 0)->call_id.bytes, "new");
}

// --- reasoning ----------------------------------------------------------------------------------

TEST(GeminiRequest, SignaturesStandBeforeCallsAndBehindTexts) {
    Parsed parsed(R"({"contents":[{"role":"model","parts":[{"text":"a","thoughtSignature":"S1"},)"
                  R"({"functionCall":{"name":"f"},"thought_signature":"S2"},)"
                  R"({"text":"","thoughtSignature":"S3"}]}]})");
    ASSERT_EQ(parsed->turns[0].parts.size(), 5u);
    EXPECT_EQ(parsed.part<ir::Reasoning>(0, 1)->signature.bytes, "S1");
    EXPECT_EQ(parsed.part<ir::Reasoning>(0, 1)->origin, DialectId::gemini);
    EXPECT_EQ(parsed.part<ir::Reasoning>(0, 2)->signature.bytes, "S2");
    EXPECT_NE(parsed.part<ir::ToolCall>(0, 3), nullptr);
    EXPECT_EQ(parsed.part<ir::Reasoning>(0, 4)->signature.bytes, "S3");
}

TEST(GeminiRequest, ThoughtsInPiecesAreOneBlockAndForeignSignaturesFindTheirMaker) {
    Parsed parsed(R"({"contents":[{"role":"model","parts":[{"text":"Let","thought":true},)"
                  R"({"text":" me","thought":true},)"
                  R"({"text":"","thought":true,"thoughtSignature":"Z3cxLmFudGhyb3BpYy5FcWsvPQ=="},)"
                  R"({"text":"","thoughtSignature":"Z3cxLmFudGhyb3BpYy5yZWRhY3RlZDpYWVo="}]}]})");
    ASSERT_EQ(parsed->turns[0].parts.size(), 2u);
    const auto *thoughts = parsed.part<ir::Reasoning>(0, 0);
    EXPECT_EQ(thoughts->text.bytes, "Let me");
    EXPECT_EQ(thoughts->signature.bytes, "Eqk/=");
    EXPECT_EQ(thoughts->origin, DialectId::anthropic);
    const auto *redacted = parsed.part<ir::Reasoning>(0, 1);
    EXPECT_TRUE(redacted->is_redacted);
    EXPECT_EQ(redacted->redacted.bytes, "XYZ");
}

TEST(GeminiRequest, WhatGooglesToolsLeaveStaysWhole) {
    Parsed parsed(R"({"contents":[{"role":"model","parts":[{"executableCode":{"code":"1"},)"
                  R"("thoughtSignature":"S"}]}]})");
    ASSERT_EQ(parsed->turns[0].parts.size(), 1u);
    const auto *code = parsed.part<ir::Opaque>(0, 0);
    EXPECT_EQ(code->type.bytes, "executableCode");
    EXPECT_EQ(code->json.bytes, R"({"executableCode":{"code":"1"},"thoughtSignature":"S"})");
}

// --- tools and parameters -----------------------------------------------------------------------

TEST(GeminiRequest, FunctionsAndToolsOfGoogleInOneElement) {
    Parsed parsed(
        user(R"("tools":[{"function_declarations":[{"name":"f","description":"d","parameters":)"
             R"({"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true}}}},)"
             R"({"name":"g","parametersJsonSchema":{"type":"object"}}],"google_search":{}},)"
             R"({"codeExecution":{}}])"));
    ASSERT_EQ(parsed->tools.size(), 4u);
    EXPECT_EQ(parsed->tools[0].schema.bytes,
              R"({"type":"object","properties":{"type":{"type":["string","null"]}}})");
    EXPECT_EQ(parsed->tools[1].schema.bytes, R"({"type":"object"})");
    EXPECT_EQ(parsed->tools[2].kind, ir::ToolKind::server);
    EXPECT_EQ(parsed->tools[2].name.bytes, "googleSearch");
    EXPECT_EQ(parsed->tools[2].raw.bytes, R"({"google_search":{}})");
    EXPECT_EQ(parsed->tools[3].raw.bytes, R"({"codeExecution":{}})");
}

std::string schema_of(std::string_view schema) {
    Parsed parsed(user(R"("generationConfig":{"responseMimeType":"application/json",)"
                       R"("responseSchema":)" +
                       std::string(schema) + "}"));
    EXPECT_EQ(parsed->output.kind, ir::OutputKind::json_schema);
    return std::string(parsed->output.schema.bytes);
}

TEST(GeminiRequest, SchemasBecomeJsonSchema) {
    EXPECT_EQ(schema_of(R"({"type":"ARRAY","minItems":"2","items":{"type":"INTEGER"}})"),
              R"({"type":"array","minItems":2,"items":{"type":"integer"}})");
    EXPECT_EQ(schema_of(R"({"type":"STRING","format":"enum","enum":["a"],"nullable":true})"),
              R"({"type":["string","null"],"enum":["a",null]})");
    EXPECT_EQ(schema_of(R"({"any_of":[{"type":"STRING"},{"type":"NUMBER"}],"nullable":true})"),
              R"({"anyOf":[{"type":"string"},{"type":"number"},{"type":"null"}]})");
    EXPECT_EQ(schema_of(R"({"type":"OBJECT","propertyOrdering":["a"],"nullable":false,)"
                        R"("properties":{"nullable":{"type":"BOOLEAN"}},"additionalProperties":)"
                        R"({"type":"NULL"}})"),
              R"({"type":"object","properties":{"nullable":{"type":"boolean"}},)"
              R"("additionalProperties":{"type":"null"}})");
    // JSON Schema is not touched, not even its spaces.
    std::string_view as_is =
        R"({ "type" : ["string", "null"], "enum":["OBJECT"], "default":"STRING" })";
    EXPECT_EQ(schema_of(as_is), as_is);
}

TEST(GeminiRequest, CallingModes) {
    auto choice = [](std::string_view config) {
        Parsed parsed(
            user(R"("toolConfig":{"functionCallingConfig":)" + std::string(config) + "}"));
        EXPECT_TRUE(bool(parsed.status));
        const ir::ToolChoice &made = parsed.request.tool_choice;
        std::string all = std::to_string(int(made.kind)) + ":" + std::string(made.name.bytes);
        for (JsonText name : made.allowed) {
            all.append("+").append(name.bytes);
        }
        return all + (made.allowed_required ? "!" : "");
    };
    using Kind = ir::ToolChoiceKind;
    auto kind = [](Kind is) { return std::to_string(int(is)) + ":"; };
    EXPECT_EQ(choice(R"({"mode":"AUTO"})"), kind(Kind::automatic));
    EXPECT_EQ(choice(R"({"mode":"none"})"), kind(Kind::none));
    EXPECT_EQ(choice(R"({"mode":"ANY"})"), kind(Kind::required));
    EXPECT_EQ(choice(R"({"mode":"ANY","allowedFunctionNames":["f"]})"), kind(Kind::named) + "f");
    EXPECT_EQ(choice(R"({"mode":"ANY","allowed_function_names":["f","g"]})"),
              kind(Kind::allowed) + "+f+g!");
    EXPECT_EQ(choice(R"({"mode":"VALIDATED"})"), kind(Kind::automatic));
    EXPECT_EQ(choice(R"({"mode":"VALIDATED","allowedFunctionNames":["f"]})"),
              kind(Kind::allowed) + "+f");
    EXPECT_EQ(blamed(user(R"("toolConfig":{"functionCallingConfig":{"mode":"MAYBE"}})")),
              "toolConfig.functionCallingConfig");
}

TEST(GeminiRequest, ThinkingIsKeptAsItWasSaid) {
    auto thinking = [](std::string_view config) {
        Parsed parsed(user(R"("generationConfig":{"thinkingConfig":)" + std::string(config) + "}"));
        EXPECT_TRUE(bool(parsed.status));
        EXPECT_EQ(kGemini.shows_reasoning(parsed.request),
                  config.find("Thoughts\":true") != std::string_view::npos);
        return parsed.request.thinking;
    };
    EXPECT_EQ(thinking(R"({"includeThoughts":true})").kind, ir::ThinkingKind::unset);
    EXPECT_EQ(thinking(R"({"thinkingBudget":0})").kind, ir::ThinkingKind::off);
    EXPECT_EQ(thinking(R"({"thinking_budget":-1})").kind, ir::ThinkingKind::adaptive);
    EXPECT_EQ(thinking(R"({"thinkingBudget":777,"includeThoughts":false})").budget, 777);
    EXPECT_EQ(thinking(R"({"thinkingLevel":"low"})").effort, ir::Effort::low);
    EXPECT_EQ(blamed(user(R"("generationConfig":{"thinkingConfig":{"thinkingLevel":"TINY"}})")),
              "generationConfig.thinkingConfig.thinkingLevel");
}

TEST(GeminiRequest, ParametersAsWrittenAndTheRestUnderItsPath) {
    Parsed parsed(
        user(R"("generationConfig":{"temperature":0.70,"topP":1e0,"top_k":40,"seed":7,)"
             R"("candidateCount":2,"stopSequences":["a"],"responseLogprobs":true,"logprobs":3,)"
             R"("response_modalities":["TEXT"]},"toolConfig":{"retrievalConfig":{"a":1}},)"
             R"("safetySettings":[],"cached_content":"c/1","labels":{"a":"b"})"));
    EXPECT_EQ(parsed->temperature.bytes, "0.70");
    EXPECT_EQ(parsed->top_p.bytes, "1e0");
    EXPECT_EQ(parsed->top_k.bytes, "40");
    EXPECT_EQ(parsed->n, 2);
    EXPECT_EQ(parsed->stop.size(), 1u);
    EXPECT_TRUE(parsed->logprobs);
    EXPECT_EQ(parsed->top_logprobs.bytes, "3");
    EXPECT_EQ(extra_of(parsed.request),
              R"(toolConfig.retrievalConfig={"a":1};generationConfig.responseModalities=["TEXT"];)"
              R"(safetySettings=[];cachedContent="c/1";labels={"a":"b"};)");
}

TEST(GeminiRequest, CountTokensHoldsAWholeRequest) {
    Parsed parsed(R"({"generateContentRequest":{"model":"models/m","contents":"hi"}})");
    EXPECT_EQ(parsed->model.bytes, "models/m");
    EXPECT_EQ(parsed->turns.size(), 1u);
}

TEST(GeminiSplice, TheCounterIsToldTheProvidersNameOfTheModel) {
    std::string body = R"({"generateContentRequest":{"contents":[{"parts":[{"text":"a",)"
                       R"("thoughtSignature":"Z3cxLmFudGhyb3BpYy5FcWsvPQ=="}]}],)"
                       R"("model" : "models/alias","n":{"model":"x"}},"model":"y"})";
    Document document(body);
    std::vector<Edit> edits;
    Notes notes;
    Target target;
    target.model = "gemini-2.5-flash";
    ASSERT_TRUE(bool(kGemini.splice_request(document.root(), {}, target, edits, notes)));
    ASSERT_EQ(edits.size(), 2u);
    ASSERT_LT(edits[0].begin, edits[1].begin);
    for (size_t i = 2; i-- > 0;) {
        body.replace(edits[i].begin, edits[i].end - edits[i].begin, edits[i].text);
    }
    EXPECT_EQ(body, R"({"generateContentRequest":{"contents":[{"parts":[{"text":"a",)"
                    R"("thoughtSignature":"skip_thought_signature_validator"}]}],)"
                    R"("model" : "models/gemini-2.5-flash","n":{"model":"x"}},"model":"y"})");
}

TEST(GeminiSplice, Gotcha62_SignaturesOfOtherMakersAreReplaced) {
    std::string body =
        R"({"contents":[{"parts":[{"text":"a","thoughtSignature":"CiQB"},)"
        R"({"functionCall":{"name":"f"},"thoughtSignature":"Z3cxLmFudGhyb3BpYy5FcWsvPQ=="}]}]})";
    Document document(body);
    std::vector<Edit> edits;
    Notes notes;
    ASSERT_TRUE(bool(kGemini.splice_request(document.root(), {}, {}, edits, notes)));
    ASSERT_EQ(edits.size(), 1u);
    body.replace(edits[0].begin, edits[0].end - edits[0].begin, edits[0].text);
    EXPECT_EQ(body, R"({"contents":[{"parts":[{"text":"a","thoughtSignature":"CiQB"},)"
                    R"({"functionCall":{"name":"f"},)"
                    R"("thoughtSignature":"skip_thought_signature_validator"}]}]})");
}

}  // namespace
