// Chat requests in: what of a body reaches the IR, and what is refused by name. Chat requests
// out: what a provider of this dialect is sent for a conversation, and the pass-through edits.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

// The name of the parameter that is refused.
std::string refused(std::string_view body) {
    Parsed parsed(body);
    if (parsed.status) {
        return "accepted";
    }
    EXPECT_EQ(parsed.status.error().code, Errc::invalid_request);
    return std::string(parsed.status.error().param);
}

template <class T>
const T &part(const ir::Turn &turn, size_t index) {
    static const T kNone{};
    const T *found = index < turn.parts.size() ? std::get_if<T>(&turn.parts[index].is) : nullptr;
    EXPECT_NE(found, nullptr) << "part " << index;
    return found != nullptr ? *found : kNone;
}

// --- in -------------------------------------------------------------------------------------

TEST(ChatEnvelope, TellsWhatRoutingNeeds) {
    Document document(
        with(R"("stream":true,"stream_options":{"include_usage":true},"max_tokens":5,)"
             R"("max_completion_tokens":7,"tools":[{}],"response_format":{"type":"json_object"})"));
    Result<Envelope> envelope = kOpenAi.read_envelope(document.root());
    ASSERT_TRUE(envelope);
    EXPECT_EQ(envelope->model.bytes, "m");
    EXPECT_TRUE(envelope->stream && envelope->usage_wanted && envelope->is_structured &&
                envelope->has_tools);
    EXPECT_EQ(envelope->max_tokens, 7);
}

TEST(ChatEnvelope, Case69_RefusesMalformedRequests) {
    auto fault = [](std::string_view body) {
        Document document(body);
        Result<Envelope> envelope = kOpenAi.read_envelope(document.root());
        return envelope ? "accepted" : std::string(envelope.error().param);
    };
    EXPECT_EQ(fault("[]"), "");
    EXPECT_EQ(fault(R"({"messages":[{}]})"), "model");
    EXPECT_EQ(fault(R"({"model":5,"messages":[{}]})"), "model");
    EXPECT_EQ(fault(R"({"model":"m"})"), "messages");
    EXPECT_EQ(fault(R"({"model":"m","messages":[]})"), "messages");
    EXPECT_EQ(fault(R"({"model":"m","messages":["x"]})"), "messages");
    EXPECT_EQ(fault(R"({"model":"m","messages":[{}],"stream":"yes"})"), "stream");
    EXPECT_EQ(fault(R"({"model":"m","messages":[{}],"model":"n"})"), "model");
    std::string many = "{}";
    for (int i = 1; i < 8192; ++i) {
        many += ",{}";
    }
    EXPECT_EQ(fault(with_messages(many)), "accepted");
    EXPECT_EQ(fault(with_messages(many + ",{}")), "messages");
}

TEST(ChatRequest, WrongTypesAreRefusedByName) {
    EXPECT_EQ(refused(with(R"("temperature":"hot")")), "temperature");
    EXPECT_EQ(refused(with(R"("max_tokens":1.5)")), "max_tokens");
    EXPECT_EQ(refused(with(R"("n":0)")), "n");
    EXPECT_EQ(refused(with(R"("n":129)")), "n");
    EXPECT_EQ(refused(with(R"("stop":[1])")), "stop");
    EXPECT_EQ(refused(with(R"("tools":{})")), "tools");
    EXPECT_EQ(refused(with(R"("tools":[{"type":"function","function":{}}])")),
              "tools[].function.name");
    EXPECT_EQ(
        refused(with(R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])")),
        "tools[].function.parameters");
    EXPECT_EQ(refused(with(R"("tool_choice":"sometimes")")), "tool_choice");
    EXPECT_EQ(refused(with(R"("response_format":"json")")), "response_format");
    EXPECT_EQ(refused(with(R"("reasoning_effort":"extreme")")), "reasoning_effort");
    EXPECT_EQ(refused(with(R"("thinking":{"type":"enabled","budget_tokens":"x"})")),
              "thinking.budget_tokens");
    EXPECT_EQ(refused(with(R"("logprobs":1)")), "logprobs");
    EXPECT_EQ(refused(with(R"("user":5)")), "user");
    EXPECT_EQ(refused(with_messages(R"({"role":"wizard","content":"x"})")), "messages[].role");
    EXPECT_EQ(refused(with_messages(R"({"role":"user"})")), "messages[].content");
    EXPECT_EQ(refused(with_messages(R"({"role":"user","content":5})")), "messages[].content");
    EXPECT_EQ(refused(with_messages(R"({"role":"tool","content":"x"})")),
              "messages[].tool_call_id");
    EXPECT_EQ(refused(with_messages(R"({"role":"assistant","tool_calls":[{"id":"c"}]})")),
              "messages[].tool_calls[].function");
    EXPECT_EQ(refused(with_messages(R"({"role":"user","content":[{"type":"image_url"}]})")),
              "messages[].content[].image_url");
    EXPECT_EQ(
        refused(with_messages(
            R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"data:x"}}]})")),
        "messages[].content[].image_url");
}

TEST(ChatRequest, DuplicateToolNamesAreRefusedBeforeSending) {
    std::string tool = R"({"type":"function","function":{"name":"f"}})";
    EXPECT_EQ(refused(with(R"("tools":[)" + tool + "," + tool + "]")), "tools");
}

TEST(ChatRequest, NullMeansUnset) {
    EXPECT_EQ(refused(with(
                  R"("temperature":null,"stop":null,"tools":null,"tool_choice":null,"n":null,)"
                  R"("response_format":null,"stream":null,"stream_options":null,"user":null,)"
                  R"("reasoning_effort":null,"functions":null,"logit_bias":null,"made_up":null)")),
              "accepted");
}

TEST(ChatRequest, SystemMessagesBeforeAndAfterTheFirstTurn) {
    Parsed parsed(with_messages(
        R"({"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b",)"
        R"("cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"Hi"},)"
        R"({"role":"system","content":"later"})"));
    ASSERT_TRUE(parsed.status);
    ASSERT_EQ(parsed.request.system.size(), 2u);
    EXPECT_EQ(parsed.request.system[1].cache.bytes, R"({"type":"ephemeral"})");
    ASSERT_EQ(parsed.request.turns.size(), 2u);
    EXPECT_EQ(parsed.request.turns[1].role, ir::Role::system);
    EXPECT_EQ(part<ir::Text>(parsed.request.turns[1], 0).text.bytes, "later");
}

TEST(ChatRequest, AdjacentToolMessagesShareATurn) {
    Parsed parsed(with_messages(
        R"({"role":"assistant","content":null,"tool_calls":[)"
        R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{\"n\": 12345678901234567890}"}},)"
        R"({"id":"c2","type":"function","function":{"name":"g","arguments":{"x":1}}}]},)"
        R"({"role":"tool","tool_call_id":"c1","content":"one"},)"
        R"({"role":"tool","tool_call_id":"c2","content":[{"type":"text","text":"two"}]},)"
        R"({"role":"user","content":"go on"})"));
    ASSERT_TRUE(parsed.status);
    const std::vector<ir::Turn> &turns = parsed.request.turns;
    ASSERT_EQ(turns.size(), 3u);
    EXPECT_EQ(part<ir::ToolCall>(turns[0], 0).arguments, R"({"n": 12345678901234567890})");
    EXPECT_EQ(part<ir::ToolCall>(turns[0], 1).arguments, R"({"x":1})");
    ASSERT_EQ(turns[1].parts.size(), 2u);
    EXPECT_EQ(part<ir::ToolResult>(turns[1], 1).call_id.bytes, "c2");
}

TEST(ChatRequest, LegacyFunctionsBecomeTools) {
    Parsed parsed(with_messages(
        R"({"role":"user","content":"Hi"},)"
        R"({"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},)"
        R"({"role":"function","name":"f","content":"42"})",
        R"(,"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"})"));
    ASSERT_TRUE(parsed.status);
    EXPECT_TRUE(parsed.request.legacy_functions);
    ASSERT_EQ(parsed.request.tools.size(), 1u);
    EXPECT_EQ(parsed.request.tool_choice.kind, ir::ToolChoiceKind::named);
    std::string_view id = part<ir::ToolCall>(parsed.request.turns[1], 0).id.bytes;
    EXPECT_EQ(id.size(), 29u);
    EXPECT_EQ(part<ir::ToolResult>(parsed.request.turns[2], 0).call_id.bytes, id);
}

TEST(ChatRequest, Case38_ThinkingBlocksComeBackAsTheyWere) {
    Parsed parsed(with_messages(
        R"({"role":"assistant","content":"x","reasoning_content":"Hm","thinking_blocks":[)"
        R"({"type":"thinking","thinking":"","signature":"S\u003d="},)"
        R"({"type":"redacted_thinking","data":"R"}]},)"
        R"({"role":"assistant","content":"y","reasoning_content":"Hm","thinking_blocks":[)"
        R"({"type":"thinking","thinking":"","signature":"S2"}]},)"
        R"({"role":"assistant","content":"z","reasoning":"only text"})"));
    ASSERT_TRUE(parsed.status);
    const ir::Reasoning &kept = part<ir::Reasoning>(parsed.request.turns[0], 0);
    EXPECT_EQ(kept.origin, DialectId::anthropic);
    EXPECT_EQ(kept.signature.bytes, R"(S\u003d=)");
    EXPECT_EQ(part<ir::Reasoning>(parsed.request.turns[0], 1).redacted.bytes, "R");
    // As our own stream tells it: the text in one member, the signature in the other.
    EXPECT_EQ(part<ir::Reasoning>(parsed.request.turns[1], 0).text.bytes, "Hm");
    EXPECT_EQ(part<ir::Reasoning>(parsed.request.turns[2], 0).text.bytes, "only text");
    EXPECT_EQ(part<ir::Reasoning>(parsed.request.turns[2], 0).origin, DialectId::openai);
}

TEST(ChatRequest, ImagesFilesAndAudio) {
    Parsed parsed(with_messages(
        R"({"role":"user","content":[)"
        R"({"type":"image_url","image_url":{"url":"data:image/jpg;base64,\/9j/","detail":"low"}},)"
        R"({"type":"image_url","image_url":"https://e.x/a.png"},)"
        R"({"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}},)"
        R"({"type":"file","file":{"file_id":"file-1"}},)"
        R"({"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},)"
        R"({"type":"video_url","video_url":{"url":"x"}}]})"));
    ASSERT_TRUE(parsed.status);
    const ir::Turn &turn = parsed.request.turns[0];
    EXPECT_EQ(part<ir::Image>(turn, 0).source.mime.bytes, "image/jpeg");
    EXPECT_EQ(part<ir::Image>(turn, 0).detail.bytes, "low");
    EXPECT_EQ(part<ir::Image>(turn, 1).source.kind, ir::SourceKind::url);
    EXPECT_EQ(part<ir::Document>(turn, 2).source.data.bytes, "JVBERi0=");
    EXPECT_EQ(part<ir::Document>(turn, 3).source.kind, ir::SourceKind::file_id);
    EXPECT_EQ(part<ir::Audio>(turn, 4).format.bytes, "wav");
    EXPECT_EQ(part<ir::Opaque>(turn, 5).type.bytes, "video_url");
}

TEST(ChatRequest, ParametersKeepTheirNumbers) {
    Parsed parsed(with(R"("max_tokens":5,"max_completion_tokens":7,"temperature":0.70,"stop":"x",)"
                       R"("seed":12345678901234567890,"made_up":{"a":1},"top_k":3)"));
    ASSERT_TRUE(parsed.status);
    EXPECT_EQ(parsed.request.max_tokens.bytes, "7");
    EXPECT_EQ(parsed.request.temperature.bytes, "0.70");
    EXPECT_EQ(parsed.request.seed.bytes, "12345678901234567890");
    ASSERT_EQ(parsed.request.stop.size(), 1u);
    ASSERT_EQ(parsed.request.extra.size(), 1u);
    EXPECT_EQ(parsed.request.extra[0].name.bytes, "made_up");
}

TEST(ChatRequest, MembersOfMessagesThatNobodyKnowsAreRemembered) {
    Parsed parsed(with_messages(
        R"({"role":"user","content":"a","name":"ann","x_note":1,"x_none":null},)"
        R"({"role":"assistant","content":"b","refusal":null,"annotations":[],"x_note":2,)"
        R"("tool_calls":[{"id":"c","type":"function","function":{"name":"f"}}]},)"
        R"({"role":"tool","tool_call_id":"c","name":"f","content":"r"},)"
        R"({"role":"user","content":"a","x\ny":1})"));
    EXPECT_EQ(parsed.request.unmodelled,
              (std::vector<std::string_view>{"name", "x_note", "messages"}));
    std::string many = R"({"role":"user","content":"a")";
    for (int i = 0; i < 100; ++i) {
        many += ",\"x" + std::to_string(i) + "\":1";
    }
    EXPECT_EQ(Parsed(with_messages(many + "}")).request.unmodelled.size(), 16u);
}

TEST(ChatRequest, Gotcha67_ThinkingIsOneWish) {
    auto thinking = [](std::string_view more) {
        Parsed parsed(with(more));
        EXPECT_TRUE(parsed.status);
        return parsed.request.thinking;
    };
    EXPECT_EQ(thinking(R"("reasoning_effort":"xhigh")").effort, ir::Effort::xhigh);
    EXPECT_EQ(thinking(R"("thinking":{"type":"disabled"},"reasoning_effort":"high")").kind,
              ir::ThinkingKind::off);
    EXPECT_EQ(thinking(R"("thinking":{"type":"enabled","budget_tokens":2000})").budget, 2000);
    EXPECT_EQ(thinking(R"("reasoning":{"max_tokens":3000})").budget, 3000);
    EXPECT_EQ(thinking(R"("reasoning":{"enabled":false})").kind, ir::ThinkingKind::off);
}

TEST(ChatRequest, ToolChoices) {
    auto choice = [](std::string_view value) {
        Parsed parsed(with(R"("tool_choice":)" + std::string(value)));
        EXPECT_TRUE(parsed.status);
        return parsed.request.tool_choice;
    };
    EXPECT_EQ(choice(R"("any")").kind, ir::ToolChoiceKind::required);
    EXPECT_EQ(choice(R"({"type":"custom","custom":{"name":"f"}})").kind, ir::ToolChoiceKind::named);
    ir::ToolChoice allowed =
        choice(R"({"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[)"
               R"({"type":"function","function":{"name":"f"}}]}})");
    EXPECT_EQ(allowed.kind, ir::ToolChoiceKind::allowed);
    EXPECT_TRUE(allowed.allowed_required);
}

// --- out ------------------------------------------------------------------------------------

TEST(ChatRequestOut, SystemBlocksAreOneMessage) {
    std::string messages =
        R"({"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":""},)"
        R"({"type":"text","text":"b"}]},{"role":"user","content":"Hi"},{"role":"system","content":"c"})";
    EXPECT_EQ(resent(messages),
              R"([{"role":"system","content":"a\n\nb"},{"role":"user","content":"Hi"},)"
              R"({"role":"system","content":"c"}])");
    ModelTraits reasoning;
    reasoning.developer_role = true;
    EXPECT_EQ(resent(messages, reasoning).substr(0, 22), R"([{"role":"developer",")");
    EXPECT_EQ(resent(R"({"role":"system","content":""},{"role":"user","content":"Hi"})"),
              R"([{"role":"user","content":"Hi"}])");
}

const std::string kTwoCalls =
    R"({"role":"assistant","content":null,"tool_calls":[)"
    R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},)"
    R"({"id":"c2","type":"function","function":{"name":"g","arguments":""}}]})";

const std::string kTwoCallsOut =
    R"({"role":"assistant","content":null,"tool_calls":[)"
    R"({"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},)"
    R"({"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]})";

TEST(ChatRequestOut, ResultsAreReorderedRepairedAndDeduplicated) {
    EXPECT_EQ(resent(kTwoCalls + R"(,{"role":"tool","tool_call_id":"c2","content":"old"},)"
                                 R"({"role":"tool","tool_call_id":"c2","content":"new"},)"
                                 R"({"role":"tool","tool_call_id":"c1","content":"one"})"),
              "[" + kTwoCallsOut +
                  R"(,{"role":"tool","tool_call_id":"c1","content":"one"},)"
                  R"({"role":"tool","tool_call_id":"c2","content":"new"}])");
    EXPECT_EQ(resent(kTwoCalls + R"(,{"role":"tool","tool_call_id":"c2","content":"two"},)"
                                 R"({"role":"user","content":"Hi"})"),
              "[" + kTwoCallsOut +
                  R"(,{"role":"tool","tool_call_id":"c1","content":"Error: [no result]"},)"
                  R"({"role":"tool","tool_call_id":"c2","content":"two"},)"
                  R"({"role":"user","content":"Hi"}])");
}

TEST(ChatRequestOut, ResultsWithoutACallAreLeftOutAndNamed) {
    Parsed parsed(with_messages(
        R"({"role":"tool","tool_call_id":"x","content":"?"},{"role":"user","content":"Hi"},)"
        R"({"role":"assistant","content":"Yo"},{"role":"tool","tool_call_id":"y","content":"?"})"));
    ASSERT_TRUE(parsed.status);
    Notes notes;
    EXPECT_EQ(rendered(parsed.request, {.model = "t"}, &notes),
              R"({"model":"t","messages":[{"role":"user","content":"Hi"},)"
              R"({"role":"assistant","content":"Yo"}]})");
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"tool_result"});
}

// The conversations of a messages client are built by hand: its parser is another family's.
struct Conversation {
    ir::Request request;
    Conversation() {
        request.dialect = DialectId::anthropic;
        ir::Turn &turn = request.turns.emplace_back();
        turn.role = ir::Role::assistant;
        turn.parts.push_back({ir::ToolCall{{"toolu_1"}, {"f"}, "{}"}});
    }
    ir::Turn &user() {
        ir::Turn &turn = request.turns.emplace_back();
        turn.role = ir::Role::user;
        return turn;
    }
    std::string messages() {
        std::string body = rendered(request, {.model = "t"});
        size_t first = body.find(R"({"role":"tool")");
        return first == std::string::npos ? body : body.substr(first, body.size() - first - 2);
    }
};

TEST(ChatRequestOut, Gotcha19_ResultsComeBeforeTheTextOfTheSameTurn) {
    Conversation talk;
    ir::Turn &turn = talk.user();
    turn.parts.push_back({ir::Text{{"and now?"}}});
    turn.parts.push_back({ir::ToolResult{{"toolu_1"}, {}, {{ir::Text{{"42"}}}}, true}});
    EXPECT_EQ(talk.messages(), R"({"role":"tool","tool_call_id":"toolu_1","content":"Error: 42"},)"
                               R"({"role":"user","content":"and now?"})");
}

TEST(ChatRequestOut, Gotcha25_ImagesInResultsMoveBehindTheRun) {
    Conversation talk;
    ir::ToolResult result{{"toolu_1"}, {}, {}};
    result.parts.push_back({ir::Text{{"see"}}});
    result.parts.push_back({ir::Image{{ir::SourceKind::base64, {"image/png"}, {"iVBORw0KGgo="}}}});
    talk.user().parts.push_back({result});
    talk.user().parts.push_back({ir::Text{{"well?"}}});
    EXPECT_EQ(
        talk.messages(),
        R"({"role":"tool","tool_call_id":"toolu_1","content":"see\n\n[image: see the following user message]"},)"
        R"({"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]},)"
        R"({"role":"user","content":"well?"})");
}

TEST(ChatRequestOut, TextIsAStringAndMediaMakeParts) {
    EXPECT_EQ(
        resent(
            R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]})"),
        R"([{"role":"user","content":"a\n\nb"}])");
    EXPECT_EQ(
        resent(R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""},)"
               R"({"type":"image_url","image_url":{"url":"https://e.x","detail":"low"}}]})"),
        R"([{"role":"user","content":[{"type":"text","text":"a"},)"
        R"({"type":"image_url","image_url":{"url":"https://e.x","detail":"low"}}]}])");
    EXPECT_EQ(resent(R"({"role":"user","content":""})"),
              R"x([{"role":"user","content":"(empty)"}])x");
    EXPECT_EQ(resent(R"({"role":"user","content":"a"},{"role":"assistant","content":""})"),
              R"([{"role":"user","content":"a"}])");
}

TEST(ChatRequestOut, Gotcha43_LongIdsAreShortenedAlikeInCallsAndResults) {
    std::string id(43, 'x');
    std::string out = resent(R"({"role":"assistant","tool_calls":[{"id":")" + id +
                             R"(","type":"function","function":{"name":"f","arguments":"{}"}}]},)"
                             R"({"role":"tool","tool_call_id":")" +
                             id + R"(","content":"1"})");
    size_t call = out.find("\"id\":\"call_");
    size_t result = out.find("\"tool_call_id\":\"call_");
    ASSERT_NE(call, std::string::npos);
    ASSERT_NE(result, std::string::npos);
    EXPECT_EQ(out.substr(call + 6, 37), out.substr(result + 16, 37));
}

TEST(ChatRequestOut, Gotcha48_UnusableNamesAreSentUnderOthersAndRemembered) {
    Parsed parsed(with(R"("tools":[{"type":"function","function":{"name":"my.tool"}}],)"
                       R"("tool_choice":{"type":"function","function":{"name":"my.tool"}})"));
    Notes notes;
    std::string body = rendered(parsed.request, {.model = "t"}, &notes);
    ASSERT_EQ(notes.renamed.size(), 1u);
    EXPECT_EQ(notes.renamed[0].original.bytes, "my.tool");
    EXPECT_EQ(body.find("my.tool"), std::string::npos);
}

TEST(ChatRequestOut, Gotcha63_64_ReasoningGoesBackOnlyWhereItIsWanted) {
    std::string messages = R"({"role":"assistant","content":"x","reasoning_content":"Hm"},)" +
                           kTwoCalls +
                           R"(,{"role":"tool","tool_call_id":"c1","content":"1"},)"
                           R"({"role":"tool","tool_call_id":"c2","content":"2"})";
    EXPECT_EQ(resent(messages).find("reasoning"), std::string::npos);
    ModelTraits deepseek;
    deepseek.wants_reasoning_content = true;
    std::string out = resent(messages, deepseek);
    EXPECT_NE(out.find(R"("content":"x","reasoning_content":"Hm")"), std::string::npos);
    EXPECT_NE(out.find(R"("content":null,"reasoning_content":" ")"), std::string::npos);
}

TEST(ChatRequestOut, Gotcha88_MaxTokensByTheNameOfTheService) {
    EXPECT_EQ(resent_with(R"("max_tokens":5)"), R"(,"max_tokens":5})");
    ModelTraits official;
    official.max_completion_tokens = true;
    EXPECT_EQ(resent_with(R"("max_tokens":5)", official), R"(,"max_completion_tokens":5})");
}

TEST(ChatRequestOut, StreamsAskForUsage) {
    EXPECT_EQ(resent_with(R"("stream":true)"),
              R"(,"stream":true,"stream_options":{"include_usage":true}})");
    ModelTraits old;
    old.no_stream_options = true;
    EXPECT_EQ(resent_with(R"("stream":true)", old), R"(,"stream":true})");
}

TEST(ChatRequestOut, ToolChoiceNeedsTools) {
    EXPECT_EQ(resent_with(R"("tool_choice":"auto","parallel_tool_calls":false)"), "}");
    EXPECT_EQ(resent_with(R"("tools":[{"type":"function","function":{"name":"f"}}],)"
                          R"("tool_choice":"any","parallel_tool_calls":false)"),
              R"(,"tools":[{"type":"function","function":{"name":"f"}}],)"
              R"("tool_choice":"required","parallel_tool_calls":false})");
}

TEST(ChatRequestOut, ChatClientsKeepTheirOwnMembers) {
    EXPECT_EQ(resent_with(
                  R"("store":false,"metadata":{"a":"b"},"service_tier":"flex","verbosity":"low")"),
              R"(,"verbosity":"low","service_tier":"flex","metadata":{"a":"b"},"store":false})");
}

TEST(ChatRequestOut, MeaningIsRefusedUnlessDropParams) {
    EXPECT_EQ(resent_with(R"("top_k":3)"), "refused top_k");
    Notes notes;
    EXPECT_EQ(resent_with(R"("top_k":3)", {}, true, &notes), "}");
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"top_k"});
    ModelTraits lenient;
    lenient.strict_members = false;
    EXPECT_EQ(resent_with(R"("top_k":3)", lenient), R"(,"top_k":3})");
}

TEST(ChatRequestOut, ReasoningModelsLoseSamplingOnlyWithDropParams) {
    ModelTraits traits;
    traits.is_reasoning = true;
    EXPECT_EQ(resent_with(R"("temperature":0.7)", traits), R"(,"temperature":0.7})");
    Notes notes;
    EXPECT_EQ(resent_with(R"("temperature":0.7,"top_p":1,"stop":"x")", traits, true, &notes),
              R"(,"top_p":1})");
    EXPECT_EQ(notes.dropped, (std::vector<std::string_view>{"temperature", "stop"}));
}

TEST(ChatRequestOut, MessagesClientsParameters) {
    ir::Request request;
    request.dialect = DialectId::anthropic;
    request.turns.push_back({ir::Role::user, {{ir::Text{{"Hi"}, {R"({"type":"ephemeral"})"}}}}});
    std::string user(70, 'u');
    request.user = {user};
    request.metadata = {R"({"user_id":"u"})"};
    request.service_tier = {"standard_only"};
    request.output.kind = ir::OutputKind::json_schema;
    request.output.schema = {R"({"type":"object"})"};
    request.stop = {{""}, {"a"}, {"b"}, {"c"}, {"d"}, {"e"}};
    request.thinking.kind = ir::ThinkingKind::budget;
    request.thinking.budget = 10000;
    request.extra.push_back({{"context_management"}, {"{}"}});
    Target target{.model = "t"};
    target.traits.is_reasoning = true;
    target.traits.max_completion_tokens = true;
    Notes notes;
    EXPECT_EQ(
        rendered(request, target, &notes),
        R"({"model":"t","messages":[{"role":"user","content":"Hi"}],)"
        R"("response_format":{"type":"json_schema","json_schema":{"name":"structured_output",)"
        R"("schema":{"type":"object"},"strict":true}},"stop":["a","b","c","d"],)"
        R"("reasoning_effort":"high","user":")" +
            std::string(64, 'u') + R"("})");
    EXPECT_EQ(notes.dropped, (std::vector<std::string_view>{"cache_control", "stop_sequences",
                                                            "service_tier", "context_management"}));
}

TEST(ChatRequestOut, TiersAreOpenAisOnly) {
    ir::Request request;
    request.dialect = DialectId::anthropic;
    request.turns.push_back({ir::Role::user, {{ir::Text{{"Hi"}}}}});
    request.service_tier = {"standard_only"};
    Target target{.model = "t"};
    target.traits.service_tier = true;
    Notes notes;
    EXPECT_NE(rendered(request, target, &notes).find(R"("service_tier":"default")"),
              std::string::npos);
    EXPECT_TRUE(notes.dropped.empty());
    target.traits.service_tier = false;
    EXPECT_EQ(rendered(request, target, &notes).find("service_tier"), std::string::npos);
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"service_tier"});
}

TEST(ChatRequestOut, R3_PrefillIsRefusedWhereItIsNotContinued) {
    ir::Request request;
    request.dialect = DialectId::anthropic;
    request.turns.push_back({ir::Role::user, {{ir::Text{{"Count"}}}}});
    request.turns.push_back({ir::Role::assistant, {{ir::Text{{"One,"}}}}});
    Target target{.model = "t"};
    target.traits.prefill = false;
    EXPECT_EQ(rendered(request, target), "refused prefill");
    EXPECT_NE(rendered(request, {.model = "t"}), "refused prefill");
    target.drop_params = true;
    Notes notes;
    rendered(request, target, &notes);
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"prefill"});
    // A call is answered behind the turn: nothing is left to be continued.
    target.drop_params = false;
    request.turns[1].parts.push_back({ir::ToolCall{{"c"}, {"f"}, "{}"}});
    EXPECT_NE(rendered(request, target), "refused prefill");
}

TEST(ChatRequestOut, R13_ContextAndCitationsOfDocuments) {
    ir::Document document;
    document.source.kind = ir::SourceKind::text;
    document.source.data = {"Line"};
    document.title = {"Notes"};
    document.context = {"from 2024"};
    document.citations = {R"({"enabled":false})"};
    ir::Request request;
    request.dialect = DialectId::anthropic;
    request.turns.push_back({ir::Role::user, {{document}}});
    Notes notes;
    EXPECT_NE(rendered(request, {.model = "t"}, &notes).find(R"("Notes\nfrom 2024\nLine")"),
              std::string::npos);
    EXPECT_TRUE(notes.dropped.empty());
    document.source.kind = ir::SourceKind::base64;
    document.citations = {R"({"enabled":true})"};
    request.turns[0].parts = {{document}};
    rendered(request, {.model = "t"}, &notes);
    EXPECT_EQ(notes.dropped, (std::vector<std::string_view>{"context", "citations"}));
}

TEST(ChatRequestOut, MembersOfMessagesOfAnotherDialectAreNamed) {
    ir::Request request;
    request.dialect = DialectId::anthropic;
    request.unmodelled = {"x_note"};
    Notes notes;
    rendered(request, {.model = "t"}, &notes);
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"x_note"});
}

TEST(ChatRequestOut, Gotcha66_BudgetsBecomeEffortsByTheThresholds) {
    auto effort = [](int64_t budget) {
        ir::Request request;
        request.dialect = DialectId::anthropic;
        request.thinking.kind = ir::ThinkingKind::budget;
        request.thinking.budget = budget;
        Target target{.model = "t"};
        target.traits.is_reasoning = true;
        std::string body = rendered(request, target);
        size_t at = body.find("effort\":\"") + 9;
        return body.substr(at, body.find('"', at) - at);
    };
    EXPECT_EQ(effort(1999), "minimal");
    EXPECT_EQ(effort(2000), "low");
    EXPECT_EQ(effort(4999), "low");
    EXPECT_EQ(effort(5000), "medium");
    EXPECT_EQ(effort(9999), "medium");
    EXPECT_EQ(effort(10000), "high");
}

TEST(ChatRequestOut, ServerToolsAreRefusedByName) {
    ir::Request request;
    request.dialect = DialectId::anthropic;
    ir::Tool tool;
    tool.kind = ir::ToolKind::server;
    tool.dialect = DialectId::anthropic;
    tool.name = {"web_search"};
    request.tools.push_back(tool);
    EXPECT_EQ(rendered(request, {.model = "t"}), "refused web_search");
    Notes notes;
    EXPECT_EQ(rendered(request, {.model = "t", .drop_params = true}, &notes),
              R"({"model":"t","messages":[]})");
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"web_search"});
}

TEST(ChatRequestOut, RenderingAgainChangesNothing) {
    std::string body = with_messages(
        R"({"role":"system","content":"s"},{"role":"user","content":"Hi"},)" + kTwoCalls,
        R"(,"temperature":0.70,"seed":12345678901234567890,"logit_bias":{"1":2},"n":2,"stop":"x",)"
        R"("logprobs":true,"top_logprobs":2,"tools":[{"type":"function","function":{"name":"f",)"
        R"("description":"d","parameters":{"type":"object","properties":{}},"strict":true}},)"
        R"({"type":"custom","custom":{"name":"c"}}],"reasoning_effort":"max","stream":true)");
    Parsed parsed(body);
    ASSERT_TRUE(parsed.status);
    std::string once = rendered(parsed.request, {.model = "t"});
    Parsed again(once);
    ASSERT_TRUE(again.status);
    EXPECT_EQ(rendered(again.request, {.model = "t"}), once);
}

// --- pass-through ---------------------------------------------------------------------------

}  // namespace
}  // namespace llm::openai_testing
