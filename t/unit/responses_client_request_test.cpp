// Requests of Responses clients: what every member and item becomes, and what is refused.
#include <gtest/gtest.h>

#include "t/unit/openai_testing.hpp"
#include "translators/dialect/client_state.hpp"

namespace llm {
namespace {

using openai_testing::Document;

struct Parsed {
    explicit Parsed(std::string_view body) : document(body) {
        status = kResponses.parse_request(document.root(), arena, request);
    }

    template <class T>
    const T &part(size_t turn, size_t index) const {
        return std::get<T>(request.turns.at(turn).parts.at(index).is);
    }

    Document document;
    Arena arena;
    ir::Request request;
    Status status;
};

Parsed parse(std::string members) {
    return Parsed("{\"model\":\"m\"," + members + "}");
}

TEST(ResponsesClientRequest, StringIsOneUserMessage) {
    Parsed parsed(R"({"model":"gpt-x","input":"Hi \"you\""})");
    ASSERT_TRUE(parsed.status);
    EXPECT_EQ(parsed.request.dialect, DialectId::responses);
    EXPECT_EQ(parsed.request.model.bytes, "gpt-x");
    ASSERT_EQ(parsed.request.turns.size(), 1u);
    EXPECT_EQ(parsed.request.turns[0].role, ir::Role::user);
    EXPECT_EQ(parsed.part<ir::Text>(0, 0).text.bytes, "Hi \\\"you\\\"");
    EXPECT_TRUE(parsed.request.usage_wanted);
}

TEST(ResponsesClientRequest, InstructionsStandBeforeSystemItems) {
    Parsed parsed(R"({"model":"m","instructions":"first","input":[
        {"role":"developer","content":"second"},
        {"type":"message","role":"system","content":[{"type":"input_text","text":"third"}]},
        {"role":"user","content":"Hi"},
        {"role":"developer","content":"later"}]})");
    ASSERT_TRUE(parsed.status);
    ASSERT_EQ(parsed.request.system.size(), 3u);
    EXPECT_EQ(parsed.request.system[0].text.bytes, "first");
    EXPECT_EQ(parsed.request.system[1].text.bytes, "second");
    EXPECT_EQ(parsed.request.system[2].text.bytes, "third");
    ASSERT_EQ(parsed.request.turns.size(), 2u);
    EXPECT_EQ(parsed.request.turns[1].role, ir::Role::system);
}

// requests.md R8: what the assistant does in one step is one turn, and so are the results.
TEST(ResponsesClientRequest, ItemsOfOneStepAreOneTurn) {
    Parsed parsed(R"({"model":"m","input":[
        {"role":"user","content":"Q"},
        {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"a"},
            {"type":"summary_text","text":"b"}],"encrypted_content":"ENC"},
        {"type":"message","role":"assistant","content":[
            {"type":"output_text","text":"I look","annotations":[]},
            {"type":"refusal","refusal":"no"}]},
        {"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1}"},
        {"type":"custom_tool_call","call_id":"call_2","name":"sql","input":"SELECT \"x\""},
        {"type":"function_call_output","call_id":"call_1","output":"one"},
        {"type":"custom_tool_call_output","call_id":"call_2","output":[
            {"type":"input_text","text":"two"},
            {"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgo="}]},
        {"role":"user","content":"next"}]})");
    ASSERT_TRUE(parsed.status);
    ASSERT_EQ(parsed.request.turns.size(), 4u);
    ASSERT_EQ(parsed.request.turns[1].parts.size(), 5u);
    EXPECT_EQ(parsed.request.turns[1].role, ir::Role::assistant);
    const auto &reasoning = parsed.part<ir::Reasoning>(1, 0);
    EXPECT_EQ(reasoning.text.bytes, "a\\n\\nb");
    EXPECT_EQ(reasoning.signature.bytes, "ENC");
    EXPECT_EQ(reasoning.id.bytes, "rs_1");
    EXPECT_EQ(reasoning.origin, DialectId::responses);
    EXPECT_EQ(parsed.part<ir::Text>(1, 1).text.bytes, "I look");
    EXPECT_EQ(parsed.part<ir::Refusal>(1, 2).text.bytes, "no");
    EXPECT_EQ(parsed.part<ir::ToolCall>(1, 3).id.bytes, "call_1");
    EXPECT_EQ(parsed.part<ir::ToolCall>(1, 3).arguments, "{\"a\":1}");
    EXPECT_FALSE(parsed.part<ir::ToolCall>(1, 3).custom);
    EXPECT_EQ(parsed.part<ir::ToolCall>(1, 4).arguments, "SELECT \"x\"");
    EXPECT_TRUE(parsed.part<ir::ToolCall>(1, 4).custom);
    ASSERT_EQ(parsed.request.turns[2].parts.size(), 2u);
    EXPECT_EQ(parsed.request.turns[2].role, ir::Role::user);
    EXPECT_EQ(parsed.part<ir::ToolResult>(2, 0).call_id.bytes, "call_1");
    EXPECT_EQ(parsed.part<ir::ToolResult>(2, 1).parts.size(), 2u);
}

TEST(ResponsesClientRequest, ForeignReasoningGetsItsMakerBack) {
    Parsed parsed(R"({"model":"m","input":[
        {"type":"reasoning","id":"rs_9","summary":[],"encrypted_content":"gw1.anthropic.EqkE"},
        {"type":"reasoning","id":"rs_8","summary":[],
         "encrypted_content":"gw1.anthropic.redacted.AbCd"},
        {"type":"reasoning","id":"rs_7","summary":[],
         "content":[{"type":"reasoning_text","text":"raw"}]}]})");
    ASSERT_TRUE(parsed.status);
    const auto &signed_block = parsed.part<ir::Reasoning>(0, 0);
    EXPECT_EQ(signed_block.origin, DialectId::anthropic);
    EXPECT_EQ(signed_block.signature.bytes, "EqkE");
    EXPECT_TRUE(signed_block.id.empty());
    const auto &redacted = parsed.part<ir::Reasoning>(0, 1);
    EXPECT_TRUE(redacted.is_redacted);
    EXPECT_EQ(redacted.redacted.bytes, "AbCd");
    EXPECT_TRUE(redacted.signature.empty());
    EXPECT_EQ(parsed.part<ir::Reasoning>(0, 2).text.bytes, "raw");
}

TEST(ResponsesClientRequest, ImagesFilesAndAudio) {
    Parsed parsed(R"({"model":"m","input":[{"role":"user","content":[
        {"type":"input_image","image_url":"https://a.example/i.png","detail":"low"},
        {"type":"input_image","file_id":"file-1"},
        {"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERg=="},
        {"type":"input_file","file_data":"JVBERi0xLjQ="},
        {"type":"input_file","file_url":"https://a.example/b.pdf"},
        {"type":"input_audio","input_audio":{"data":"UklG","format":"wav"}}]}]})");
    ASSERT_TRUE(parsed.status);
    EXPECT_EQ(parsed.part<ir::Image>(0, 0).source.kind, ir::SourceKind::url);
    EXPECT_EQ(parsed.part<ir::Image>(0, 0).detail.bytes, "low");
    EXPECT_EQ(parsed.part<ir::Image>(0, 1).source.kind, ir::SourceKind::file_id);
    EXPECT_EQ(parsed.part<ir::Document>(0, 2).source.mime.bytes, "application/pdf");
    EXPECT_EQ(parsed.part<ir::Document>(0, 2).title.bytes, "a.pdf");
    EXPECT_EQ(parsed.part<ir::Document>(0, 3).source.kind, ir::SourceKind::base64);
    EXPECT_EQ(parsed.part<ir::Document>(0, 3).source.mime.bytes, "application/pdf");
    EXPECT_EQ(parsed.part<ir::Document>(0, 4).source.kind, ir::SourceKind::url);
    EXPECT_EQ(parsed.part<ir::Audio>(0, 5).format.bytes, "wav");
}

TEST(ResponsesClientRequest, ItemsOfHostedToolsAreKept) {
    Parsed parsed(R"({"model":"m","input":[{"role":"user","content":"Q"},
        {"type":"web_search_call","id":"ws_1","status":"completed"},
        {"role":"assistant","content":"A"},
        {"type":"computer_call_output","call_id":"c","output":{}}]})");
    ASSERT_TRUE(parsed.status);
    ASSERT_EQ(parsed.request.turns.size(), 3u);
    const auto &search = parsed.part<ir::Opaque>(1, 0);
    EXPECT_EQ(search.dialect, DialectId::responses);
    EXPECT_EQ(search.type.bytes, "web_search_call");
    EXPECT_EQ(search.json.bytes, R"({"type":"web_search_call","id":"ws_1","status":"completed"})");
    EXPECT_EQ(parsed.request.turns[1].parts.size(), 2u);
    EXPECT_EQ(parsed.request.turns[2].role, ir::Role::user);
}

TEST(ResponsesClientRequest, ToolsAreFlatAndStrictUnlessSaid) {
    Parsed parsed = parse(R"("input":"Q","tools":[
        {"type":"function","name":"a","description":"d","parameters":{"type":"object"}},
        {"type":"function","name":"b","parameters":null,"strict":false},
        {"type":"custom","name":"c","format":{"type":"text"}},
        {"type":"web_search","search_context_size":"low"}])");
    ASSERT_TRUE(parsed.status);
    const auto &tools = parsed.request.tools;
    ASSERT_EQ(tools.size(), 4u);
    EXPECT_EQ(tools[0].strict, true);
    EXPECT_EQ(tools[0].schema.bytes, R"({"type":"object"})");
    EXPECT_EQ(tools[1].strict, false);
    EXPECT_TRUE(tools[1].schema.empty());
    EXPECT_EQ(tools[2].kind, ir::ToolKind::custom);
    EXPECT_EQ(tools[3].kind, ir::ToolKind::server);
    EXPECT_EQ(tools[3].dialect, DialectId::responses);
    EXPECT_EQ(tools[3].raw.bytes, R"({"type":"web_search","search_context_size":"low"})");
}

TEST(ResponsesClientRequest, EveryFormOfToolChoice) {
    using Kind = ir::ToolChoiceKind;
    auto choice = [](std::string value) {
        Parsed parsed = parse("\"input\":\"Q\",\"tool_choice\":" + value);
        EXPECT_TRUE(parsed.status) << value;
        return std::pair(parsed.request.tool_choice.kind,
                         std::string(parsed.request.tool_choice.name.bytes));
    };
    EXPECT_EQ(choice("null").first, Kind::unset);
    EXPECT_EQ(choice("\"auto\"").first, Kind::automatic);
    EXPECT_EQ(choice("\"none\"").first, Kind::none);
    EXPECT_EQ(choice("\"required\"").first, Kind::required);
    EXPECT_EQ(choice(R"({"type":"function","name":"f"})"),
              std::pair(Kind::named, std::string("f")));
    EXPECT_EQ(choice(R"({"type":"custom","name":"c"})"), std::pair(Kind::named, std::string("c")));
    EXPECT_EQ(choice(R"({"type":"web_search"})"),
              std::pair(Kind::named, std::string("web_search")));
    Parsed allowed = parse(R"("input":"Q","tool_choice":{"type":"allowed_tools","mode":"required",
        "tools":[{"type":"function","name":"a"},{"type":"web_search"}]})");
    ASSERT_TRUE(allowed.status);
    EXPECT_EQ(allowed.request.tool_choice.kind, Kind::allowed);
    EXPECT_TRUE(allowed.request.tool_choice.allowed_required);
    ASSERT_EQ(allowed.request.tool_choice.allowed.size(), 2u);
    EXPECT_EQ(allowed.request.tool_choice.allowed[1].bytes, "web_search");
}

TEST(ResponsesClientRequest, Parameters) {
    Parsed parsed = parse(R"("input":"Q","max_output_tokens":100,"temperature":0.70,"top_p":1,
        "text":{"verbosity":"low","format":{"type":"json_schema","name":"n","strict":true,
                "schema":{"type":"object"}}},
        "reasoning":{"effort":"high","summary":"detailed"},
        "include":["message.output_text.logprobs","reasoning.encrypted_content"],
        "top_logprobs":3,"parallel_tool_calls":false,"user":"u","metadata":{"k":"v"},
        "service_tier":"flex","stream":true,"stream_options":{"include_obfuscation":false},
        "store":true,"x_vendor":1,"truncation":null)");
    ASSERT_TRUE(parsed.status);
    const ir::Request &request = parsed.request;
    EXPECT_EQ(request.max_tokens.bytes, "100");
    EXPECT_EQ(request.temperature.bytes, "0.70");
    EXPECT_EQ(request.output.kind, ir::OutputKind::json_schema);
    EXPECT_EQ(request.output.schema.bytes, R"({"type":"object"})");
    EXPECT_EQ(request.verbosity.bytes, "low");
    EXPECT_EQ(request.thinking.kind, ir::ThinkingKind::effort);
    EXPECT_EQ(request.thinking.effort, ir::Effort::high);
    EXPECT_EQ(request.thinking.display.bytes, "summarized");
    EXPECT_TRUE(request.logprobs);
    EXPECT_EQ(request.top_logprobs.bytes, "3");
    EXPECT_EQ(request.parallel_tool_calls, false);
    EXPECT_TRUE(request.stream);
    std::string extra;
    for (const ir::Extra &one : request.extra) {
        extra.append(one.name.bytes).append(" ");
    }
    EXPECT_EQ(extra, "include store x_vendor ");
}

TEST(ResponsesClientRequest, WrongTypesAreRefusedByName) {
    struct Case {
        std::string members;
        std::string_view param;
    };
    const Case cases[] = {
        {R"("input":5)", "input"},
        {R"("input":[])", "input"},
        {R"("input":["x"])", "input"},
        {R"("input":[{"role":"tool","content":"x"}])", "input[].role"},
        {R"("input":[{"role":"user","content":5}])", "input[].content"},
        {R"("input":[{"role":"user","content":[{"text":"x"}]}])", "input[].content[].type"},
        {R"("input":[{"type":"function_call","name":"f"}])", "input[].call_id"},
        {R"("input":[{"type":"function_call_output","output":"f"}])", "input[].call_id"},
        {R"("input":"x","tools":[{"type":"function"}])", "tools[].name"},
        {R"("input":"x","tools":[{"type":"custom","name":"a"},{"type":"custom","name":"a"}])",
         "tools"},
        {R"("input":"x","tool_choice":"any")", "tool_choice"},
        {R"("input":"x","text":{"format":{"type":"xml"}})", "text.format"},
        {R"("input":"x","reasoning":{"effort":"huge"})", "reasoning.effort"},
        {R"("input":"x","max_output_tokens":"9")", "max_output_tokens"},
        {R"("input":"x","instructions":[])", "instructions"},
        {R"("input":"x","include":"y")", "include"},
    };
    for (const Case &one : cases) {
        Parsed parsed = parse(one.members);
        ASSERT_FALSE(parsed.status) << one.members;
        EXPECT_EQ(parsed.status.error().param, one.param) << one.members;
        EXPECT_EQ(parsed.status.error().code, Errc::invalid_request);
    }
}

// requests.md R25: an answer without what the client means would be another question's.
TEST(ResponsesClientRequest, StateIsRefusedByNameAtOtherDialects) {
    struct Case {
        std::string members;
        std::string_view param;
    };
    const Case cases[] = {
        {R"("input":"x","previous_response_id":"resp_1")", "previous_response_id"},
        {R"("input":"x","conversation":"conv_1")", "conversation"},
        {R"("prompt":{"id":"pmpt_1"})", "prompt"},
        {R"("input":"x","background":true)", "background"},
        {R"("input":[{"type":"item_reference","id":"msg_1"}])", "item_reference"},
        {R"("input":[{"type":null,"id":"msg_1"}])", "item_reference"},
        {R"("input":[{"id":"msg_1"}])", "item_reference"},
    };
    for (const Case &one : cases) {
        Parsed parsed = parse(one.members);
        ASSERT_TRUE(parsed.status) << one.members;
        EXPECT_TRUE(check_state(parsed.request, DialectId::responses));
        Status status = check_state(parsed.request, DialectId::anthropic);
        ASSERT_FALSE(status) << one.members;
        EXPECT_EQ(status.error().code, Errc::unsupported);
        EXPECT_EQ(status.error().param, one.param);
    }
    Parsed harmless = parse(R"("input":"x","background":false,"previous_response_id":null)");
    EXPECT_TRUE(check_state(harmless.request, DialectId::openai));
}

TEST(ResponsesClientRequest, EnvelopeTellsWhatRoutingNeeds) {
    Document body(R"({"model":"m","input":"x","stream":true,"max_output_tokens":7,
        "tools":[{"type":"web_search"}],"text":{"format":{"type":"json_object"}}})");
    Result<Envelope> envelope = kResponses.read_envelope(body.root());
    ASSERT_TRUE(envelope);
    EXPECT_EQ(envelope->model.bytes, "m");
    EXPECT_TRUE(envelope->stream);
    EXPECT_TRUE(envelope->is_structured);
    EXPECT_TRUE(envelope->has_tools);
    EXPECT_EQ(envelope->max_tokens, 7);

    EXPECT_FALSE(kResponses.read_envelope(Document(R"({"model":"m"})").root()));
    EXPECT_FALSE(kResponses.read_envelope(Document(R"({"input":"x"})").root()));
    EXPECT_FALSE(
        kResponses.read_envelope(Document(R"({"model":"m","input":"x","model":"n"})").root()));
    Document continued(R"({"model":"m","previous_response_id":"resp_1"})");
    EXPECT_TRUE(kResponses.read_envelope(continued.root()));
}

TEST(ResponsesClientRequest, TooManyItemsAreRefused) {
    std::string body = R"({"model":"m","input":[{"role":"user","content":"x"})";
    for (int i = 0; i < 8192; ++i) {
        body += R"(,{"role":"user","content":"x"})";
    }
    body += "]}";
    EXPECT_FALSE(kResponses.read_envelope(Document(body).root()));
    EXPECT_FALSE(Parsed(body).status);
}

TEST(ResponsesClientRequest, PassThroughChangesTheModelOnly) {
    std::string text = R"({"input":"x", "model" : "a\u0062c","store":true})";
    Document body(text);
    Target target;
    target.model = "gpt \"5\"";
    std::vector<Edit> edits;
    Notes notes;
    Result<Envelope> envelope = kResponses.read_envelope(body.root());
    ASSERT_TRUE(envelope);
    ASSERT_TRUE(kResponses.splice_request(body.root(), *envelope, target, edits, notes));
    ASSERT_EQ(edits.size(), 1u);
    text.replace(edits[0].begin, edits[0].end - edits[0].begin, edits[0].text);
    EXPECT_EQ(text, R"({"input":"x", "model" : "gpt \"5\"","store":true})");
    edits.clear();
    target.model = "abc";
    ASSERT_TRUE(kResponses.splice_request(body.root(), *envelope, target, edits, notes));
    EXPECT_TRUE(edits.empty());
}

TEST(ResponsesSplice, ReasoningOfOtherMakersStaysBehind) {
    constexpr std::string_view kItem = R"({"id":"m","role":"user"})";
    constexpr std::string_view kOwn = R"({"type":"reasoning","encrypted_content":"gAAA"})";
    constexpr std::string_view kBare = R"({"type":"reasoning","summary":[]})";
    constexpr std::string_view kForeign =
        R"({"type":"reasoning","encrypted_content":"gw1.anthropic.RXFx"})";
    struct Case {
        std::vector<std::string_view> items;
        std::vector<std::string_view> kept;
    };
    const Case cases[] = {
        {{kItem, kOwn, kBare}, {kItem, kOwn, kBare}},
        {{kForeign, kItem}, {kItem}},
        {{kItem, kForeign, kForeign, kOwn}, {kItem, kOwn}},
        {{kItem, kForeign, kForeign}, {kItem}},
        {{kForeign, kItem, kForeign, kOwn, kForeign}, {kItem, kOwn}},
        {{kForeign, kForeign}, {}},
        {{}, {}},
    };
    auto list = [](const std::vector<std::string_view> &items) {
        std::string text = "[";
        for (std::string_view item : items) {
            text.append(text.size() > 1 ? "," : "").append(item);
        }
        return text.append("]");
    };
    for (bool is_model_first : {false, true}) {
        for (const Case &test : cases) {
            auto body = [&](const std::vector<std::string_view> &items, std::string_view model) {
                std::string name = R"("model":")" + std::string(model) + "\"";
                std::string input = "\"input\":" + list(items);
                return "{" + (is_model_first ? name + "," + input : input + "," + name) + "}";
            };
            std::string sent = body(test.items, "alias");
            Document document(sent);
            Target target;
            target.model = "gpt-5";
            std::vector<Edit> edits;
            Notes notes;
            ASSERT_TRUE(kResponses.splice_request(document.root(), {}, target, edits, notes));
            for (size_t i = edits.size(); i-- > 0;) {
                sent.replace(edits[i].begin, edits[i].end - edits[i].begin, edits[i].text);
            }
            EXPECT_EQ(sent, body(test.kept, "gpt-5"));
        }
    }
}

}  // namespace
}  // namespace llm
