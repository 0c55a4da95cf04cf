// Streams for Responses clients: the events of each kind of block, their order, and the object
// that repeats them all.
#include "t/unit/responses_client_testing.hpp"

namespace llm {
namespace {

using namespace responses_testing;  // NOLINT
using ir::Finish;

struct Asked {
    explicit Asked(std::string_view body) : document(body) {
        EXPECT_TRUE(kResponses.parse_request(document.root(), arena, request));
        view = showing_all();
        view.request = &request;
    }

    openai_testing::Document document;
    Arena arena;
    ir::Request request;
    ClientView view;
};

bool contains(std::string_view text, std::string_view what) {
    return text.find(what) != std::string_view::npos;
}

TEST(ResponsesEncoder, Gotcha81_TextIsAMessageWithOnePart) {
    Usage usage;
    usage.known = true;
    usage.input = 9;
    usage.cache_read = 4;
    usage.output = 3;
    usage.reasoning = 1;
    ir::StreamEvent counted = make(EventKind::usage);
    counted.usage = &usage;
    std::string stream =
        encode({start(), open(0, BlockKind::text), delta(0, "He\\ud83d"), delta(0, "\\ude00"),
                close(0), counted, finish(Finish::stop), end()});
    EXPECT_EQ(names(stream),
              "created in_progress output_item.added content_part.added output_text.delta "
              "output_text.delta output_text.done content_part.done output_item.done completed");
    check::Answer answer = read(stream);
    EXPECT_EQ(answer.id, "resp_1");
    EXPECT_EQ(answer.model, "m");
    EXPECT_EQ(answer.first().text, "He\xF0\x9F\x98\x80");
    EXPECT_EQ(answer.first().finish, "completed");
    EXPECT_EQ(answer.usage.input, 9);
    EXPECT_EQ(answer.usage.cache_read, 4);
    EXPECT_EQ(answer.usage.reasoning, 1);
    EXPECT_TRUE(contains(stream, "\"total_tokens\":12"));
}

// Gotcha 82: Codex fails without an id or with an empty output at the end.
TEST(ResponsesEncoder, Gotcha82LastObjectIsWhole) {
    std::string stream = encode({start("chatcmpl-7"), open(0, BlockKind::text), delta(0, "Hi"),
                                 close(0), finish(Finish::stop), end()});
    check::Answer answer = read(stream);
    EXPECT_TRUE(answer.id.starts_with("resp_"));
    EXPECT_EQ(answer.id.size(), 5u + 48u);
    EXPECT_TRUE(contains(stream.substr(stream.find("event: response.completed")),
                         "\"content\":[{\"type\":\"output_text\",\"text\":\"Hi\""));
}

// Gotcha 83: the numbers count every event; the reader above looks at each.
TEST(ResponsesEncoder, Gotcha83EventsAreNumberedFromZero) {
    std::string stream = encode({start(), finish(Finish::stop), end()});
    EXPECT_EQ(names(stream), "created in_progress completed");
    EXPECT_TRUE(contains(stream, "{\"type\":\"response.created\",\"sequence_number\":0,"));
    EXPECT_TRUE(contains(stream, "{\"type\":\"response.completed\",\"sequence_number\":2,"));
    read(stream);
}

TEST(ResponsesEncoder, CallsMayGrowSideBySide) {
    std::string stream =
        encode({start(), open(0, BlockKind::text), delta(0, "I"), close(0),
                open(1, BlockKind::tool, "call_a", "f"), delta(1, "{\\\"a\\\":"),
                open(2, BlockKind::tool, "call_b", "g"), delta(2, "{}"), delta(1, "1}"), close(1),
                close(2), finish(Finish::tool_calls), end()});
    check::Answer answer = read(stream);
    ASSERT_EQ(answer.first().calls.size(), 2u);
    EXPECT_EQ(answer.first().calls[0].id, "call_a");
    EXPECT_EQ(answer.first().calls[0].arguments, "{\"a\":1}");
    EXPECT_EQ(answer.first().calls[1].name, "g");
    EXPECT_EQ(answer.first().finish, "completed");
}

TEST(ResponsesEncoder, CallWithoutArgumentsHasAnEmptyObject) {
    std::string stream = encode({start(), open(0, BlockKind::tool, "call_a", "f"), close(0),
                                 finish(Finish::tool_calls), end()});
    EXPECT_EQ(read(stream).first().calls.at(0).arguments, "{}");
    stream = encode({start(), open(0, BlockKind::tool, "call_a", "f"), delta(0, " \\n"), close(0),
                     finish(Finish::tool_calls), end()});
    EXPECT_EQ(read(stream).first().calls.at(0).arguments, " \n{}");
}

TEST(ResponsesEncoder, TextsThatFollowOneAnotherAreOneMessage) {
    std::string stream =
        encode({start(), open(0, BlockKind::text), delta(0, "a"), close(0),
                open(1, BlockKind::text), delta(1, "b"), close(1), open(2, BlockKind::refusal),
                delta(2, "no"), close(2), open(3, BlockKind::tool, "c", "f"), close(3),
                open(4, BlockKind::text), delta(4, "d"), close(4), finish(Finish::stop), end()});
    check::Answer answer = read(stream);
    EXPECT_EQ(answer.first().spoken, "abnod");
    EXPECT_EQ(answer.first().refusal, "no");
    EXPECT_EQ(answer.first().text, "abd");
    EXPECT_TRUE(contains(stream, "\"output_index\":0,\"content_index\":2"));
    EXPECT_TRUE(contains(stream, "\"output_index\":2,\"content_index\":0"));
    EXPECT_FALSE(contains(stream, "\"output_index\":3"));
}

TEST(ResponsesEncoder, RefusalWithoutWordsIsStillOne) {
    std::string stream = encode({start(), finish(Finish::refusal), end()});
    EXPECT_EQ(read(stream).first().finish, "completed");
    EXPECT_TRUE(contains(stream, "{\"type\":\"refusal\",\"refusal\":\"\"}"));
}

// The item in which the answer stops is incomplete, and those before it are not.
TEST(ResponsesEncoder, CutAnswerIsIncomplete) {
    std::string stream = encode({start(), open(0, BlockKind::text), delta(0, "a"), close(0),
                                 open(1, BlockKind::tool, "c", "f"), delta(1, "{\\\"a"), close(1),
                                 finish(Finish::length), end()});
    EXPECT_EQ(read(stream).first().finish, "max_output_tokens");
    EXPECT_TRUE(contains(stream, "event: response.incomplete\n"));
    EXPECT_TRUE(contains(stream, "\"type\":\"message\",\"status\":\"completed\""));
    EXPECT_TRUE(contains(stream, "\"type\":\"function_call\",\"status\":\"incomplete\""));
    std::string filtered = encode({start(), open(0, BlockKind::text), delta(0, "a"), close(0),
                                   finish(Finish::content_filter), end()});
    EXPECT_EQ(read(filtered).first().finish, "content_filter");
}

// --- reasoning ------------------------------------------------------------------------------

std::vector<ir::StreamEvent> thinking(DialectId origin) {
    return {start(),
            open(0, BlockKind::reasoning, "rs_own"),
            delta(0, "Let"),
            delta(0, " me"),
            opaque(EventKind::signature, 0, "SIG", origin),
            close(0),
            opaque(EventKind::redacted, 1, "RED", origin),
            open(2, BlockKind::text),
            delta(2, "Hi"),
            close(2),
            finish(Finish::stop),
            end()};
}

TEST(ResponsesEncoder, ReasoningIsASummary) {
    std::string stream = encode(thinking(DialectId::anthropic), showing_all());
    EXPECT_TRUE(names(stream).starts_with(
        "created in_progress output_item.added reasoning_summary_part.added "
        "reasoning_summary_text.delta reasoning_summary_text.delta reasoning_summary_text.done "
        "reasoning_summary_part.done output_item.done output_item.added output_item.done "
        "output_item.added content_part.added"));
    check::Answer answer = read(stream);
    EXPECT_EQ(answer.first().reasoning, "Let me");
    EXPECT_EQ(answer.first().signatures, std::vector<std::string>{"gw1.anthropic.SIG"});
    EXPECT_EQ(answer.first().redacted, std::vector<std::string>{"gw1.anthropic.RED"});
}

TEST(ResponsesEncoder, OwnReasoningIsNotTouched) {
    std::string stream = encode(thinking(DialectId::responses), showing_all());
    EXPECT_TRUE(contains(stream, "\"id\":\"rs_own\",\"type\":\"reasoning\""));
    EXPECT_TRUE(contains(stream, "\"encrypted_content\":\"SIG\""));
}

TEST(ResponsesEncoder, OpaqueReasoningOnlyWhereItWasAskedFor) {
    Asked nothing(R"({"model":"m","input":"Q","reasoning":{"effort":"low"}})");
    check::Answer hidden = read(encode(thinking(DialectId::anthropic), nothing.view));
    EXPECT_TRUE(hidden.first().signatures.empty());
    EXPECT_TRUE(hidden.first().redacted.empty());
    EXPECT_EQ(hidden.first().reasoning, "");
    EXPECT_EQ(hidden.first().text, "Hi");

    // A signature holds for its text only: who asks for the one gets the other.
    Asked opaque_only(R"({"model":"m","input":"Q","include":["reasoning.encrypted_content"]})");
    check::Answer both = read(encode(thinking(DialectId::anthropic), opaque_only.view));
    EXPECT_EQ(both.first().signatures.size(), 1u);
    EXPECT_EQ(both.first().reasoning, "Let me");

    Asked summary_only(R"({"model":"m","input":"Q","reasoning":{"summary":"auto"}})");
    check::Answer text = read(encode(thinking(DialectId::anthropic), summary_only.view));
    EXPECT_TRUE(text.first().signatures.empty());
    EXPECT_EQ(text.first().reasoning, "Let me");

    Asked all(R"({"model":"m","input":"Q","reasoning":{"summary":"auto"},
                  "include":["reasoning.encrypted_content"]})");
    check::Answer shown = read(encode(thinking(DialectId::anthropic), all.view));
    EXPECT_EQ(shown.first().signatures.size(), 1u);
    EXPECT_EQ(shown.first().redacted.size(), 1u);
    EXPECT_EQ(shown.first().reasoning, "Let me");
}

// What this encoder hides in a reasoning item, the parser finds there again.
TEST(ResponsesEncoder, ReasoningComesBackAsItWas) {
    std::string stream = encode(thinking(DialectId::gemini), showing_all());
    std::string last = stream.substr(stream.find("event: response.completed"));
    size_t begin = last.find("\"output\":") + 9;
    size_t size = last.find(",\"usage\"") - begin;
    Asked again("{\"model\":\"m\",\"input\":" + last.substr(begin, size) + "}");
    ASSERT_EQ(again.request.turns.size(), 1u);
    const auto &reasoning = std::get<ir::Reasoning>(again.request.turns[0].parts[0].is);
    EXPECT_EQ(reasoning.origin, DialectId::gemini);
    EXPECT_EQ(reasoning.signature.bytes, "SIG");
    EXPECT_EQ(reasoning.text.bytes, "Let me");
    const auto &redacted = std::get<ir::Reasoning>(again.request.turns[0].parts[1].is);
    EXPECT_TRUE(redacted.is_redacted);
    EXPECT_EQ(redacted.redacted.bytes, "RED");
}

// A signature of a text stands behind it, in an item of its own (requests.md R21).
TEST(ResponsesEncoder, SignatureWithoutTextIsAnItem) {
    std::string stream =
        encode({start(), open(0, BlockKind::reasoning),
                opaque(EventKind::signature, 0, "S", DialectId::gemini), close(0),
                open(1, BlockKind::tool, "c", "f"), close(1), finish(Finish::stop), end()});
    check::Answer answer = read(stream);
    EXPECT_EQ(answer.first().signatures, std::vector<std::string>{"gw1.gemini.S"});
    EXPECT_TRUE(contains(stream, "\"summary\":[],\"encrypted_content\":\"gw1.gemini.S\""));
}

// --- tools that are no functions ------------------------------------------------------------

TEST(ResponsesEncoder, FreeTextToolSentAsAFunctionIsUnwrapped) {
    std::vector<std::string_view> custom = {"sql"};
    ClientView view = showing_all();
    view.custom_tools = &custom;
    std::string stream = encode(
        {start(), open(0, BlockKind::tool, "call_1", "sql"), delta(0, "{\\\"input\\\":\\\"SELECT "),
         delta(0, "\\\\\\\"x\\\\\\\"\\\"}"), close(0), finish(Finish::tool_calls), end()},
        view);
    EXPECT_EQ(read(stream).first().calls.at(0).arguments, "SELECT \"x\"");
    EXPECT_TRUE(contains(names(stream),
                         "output_item.added custom_tool_call_input.delta "
                         "custom_tool_call_input.delta custom_tool_call_input.done "
                         "output_item.done"));
}

TEST(ResponsesEncoder, FreeTextToolThatTheProviderKnowsStreams) {
    ir::StreamEvent opening = open(0, BlockKind::tool, "call_1", "sql");
    opening.is_custom = true;
    std::string stream = encode({start(), opening, delta(0, "SELECT "), delta(0, "1"), close(0),
                                 finish(Finish::tool_calls), end()});
    EXPECT_EQ(read(stream).first().calls.at(0).arguments, "SELECT 1");
    EXPECT_TRUE(contains(stream, "\"type\":\"custom_tool_call\""));
    EXPECT_TRUE(
        contains(names(stream), "custom_tool_call_input.delta custom_tool_call_input.delta"));
}

TEST(ResponsesEncoder, StructuredOutputByAToolIsTheText) {
    ClientView view = showing_all();
    view.json_tool = true;
    std::string stream =
        encode({start(), open(0, BlockKind::tool, "call_1", kJsonTool), delta(0, "{\\\"a\\\":1}"),
                close(0), finish(Finish::tool_calls), end()},
               view);
    EXPECT_EQ(read(stream).first().text, "{\"a\":1}");
    EXPECT_TRUE(read(stream).first().calls.empty());
}

TEST(ResponsesEncoder, ToolsComeBackUnderTheClientsNames) {
    std::vector<Renamed> renamed = {{{"a.b"}, {"a_b_123456"}}};
    ClientView view = showing_all();
    view.renamed = &renamed;
    std::string stream = encode({start(), open(0, BlockKind::tool, "c", "a_b_123456"), close(0),
                                 finish(Finish::tool_calls), end()},
                                view);
    EXPECT_EQ(read(stream).first().calls.at(0).name, "a.b");
}

TEST(ResponsesEncoder, HostedItemsAndImages) {
    ir::StreamEvent hosted = open(0, BlockKind::opaque, {}, "web_search_call");
    hosted.raw = {"{\"type\":\"web_search_call\",\n \"id\":\"ws_1\"}"};
    hosted.origin = DialectId::responses;
    ir::StreamEvent foreign = open(1, BlockKind::opaque, {}, "server_tool_use");
    foreign.raw = {"{}"};
    foreign.origin = DialectId::anthropic;
    ir::StreamEvent image = open(2, BlockKind::image, {}, "image/png");
    image.text = {"iVBORw0KGgo="};
    std::string stream = encode({start(), hosted, close(0), foreign, close(1), image, close(2),
                                 finish(Finish::stop), end()});
    check::Answer answer = read(stream);
    EXPECT_EQ(answer.first().server_blocks, 1u);
    EXPECT_TRUE(contains(stream, "{\"type\":\"web_search_call\",  \"id\":\"ws_1\"}"));
    EXPECT_TRUE(contains(stream, "\"result\":\"iVBORw0KGgo=\",\"output_format\":\"png\""));
    EXPECT_FALSE(contains(stream, "server_tool_use"));
}

TEST(ResponsesEncoder, CitationsInCommonTerms) {
    ir::Citation page{{"https://a.example"}, {"A"}, {}, -1, -1};
    ir::StreamEvent cite = make(EventKind::cite, 0);
    cite.origin = DialectId::anthropic;
    cite.raw = {"{\"type\":\"web_search_result_location\"}"};
    cite.citation = &page;
    ir::StreamEvent own = make(EventKind::cite, 0);
    own.origin = DialectId::responses;
    own.raw = {"{\"type\":\"file_citation\",\"index\":0}"};
    ir::StreamEvent foreign = make(EventKind::cite, 0);
    foreign.origin = DialectId::cohere;
    foreign.raw = {"{\"type\":\"x\"}"};
    std::string stream =
        encode({start(), open(0, BlockKind::text), delta(0, "\\u00e9t\\ud83d\\ude00"), cite, own,
                foreign, close(0), finish(Finish::stop), end()});
    read(stream);
    EXPECT_TRUE(
        contains(stream,
                 "\"annotation_index\":0,\"annotation\":{\"type\":\"url_citation\",\"start_index\":"
                 "0,\"end_index\":3,\"url\":\"https://a.example\",\"title\":\"A\"}"));
    EXPECT_TRUE(
        contains(stream, "\"annotation_index\":1,\"annotation\":{\"type\":\"file_citation"));
    EXPECT_FALSE(contains(stream, "\"type\":\"x\""));
}

TEST(ResponsesEncoder, LogprobsStandWhereTheTextEnds) {
    ir::StreamEvent logprobs = make(EventKind::logprobs);
    logprobs.raw = {"{\"content\":[{\"token\":\"Hi\",\"logprob\":-0.1}],\"refusal\":null}"};
    std::string stream = encode({start(), open(0, BlockKind::text), delta(0, "Hi"), logprobs,
                                 close(0), finish(Finish::stop), end()});
    read(stream);
    EXPECT_TRUE(contains(stream, "\"text\":\"Hi\",\"logprobs\":[{\"token\":\"Hi\",\"logprob\":"));
}

// --- errors and limits ----------------------------------------------------------------------

TEST(ResponsesEncoder, ErrorIsToldTwiceAndNothingFollows) {
    ir::StreamEvent failed = make(EventKind::error, 0, "slow down");
    failed.error_class = ErrorClass::rate_limit;
    std::string stream = encode({start(), open(0, BlockKind::text), delta(0, "a"), failed,
                                 delta(0, "b"), close(0), finish(Finish::stop), end()});
    check::Answer answer = read(stream);
    EXPECT_TRUE(answer.has_error);
    EXPECT_FALSE(answer.is_complete);
    EXPECT_EQ(answer.error_class, "rate_limit_exceeded");
    EXPECT_TRUE(names(stream).ends_with("output_text.delta error failed"));
    EXPECT_TRUE(
        contains(stream, "\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slow down\"}"));
}

TEST(ResponsesEncoder, ErrorBeforeAnythingElse) {
    ir::StreamEvent failed = make(EventKind::error, 0, "no");
    failed.error_class = ErrorClass::context_length;
    std::string stream = encode({failed}, showing_all());
    EXPECT_EQ(names(stream), "error failed");
    EXPECT_TRUE(contains(stream,
                         "{\"type\":\"error\",\"sequence_number\":0,\"code\":"
                         "\"context_length_exceeded\",\"message\":\"no\",\"param\":\"input\"}"));
    read(stream);
}

TEST(ResponsesEncoder, AnswerBeyondTheLimitIsAnError) {
    openai_testing::Ids ids;
    ClientView view;
    view.ids = &ids;
    auto encoder = kResponses.make_encoder(view);
    ByteBuffer out;
    encoder->event(start(), out);
    encoder->event(open(0, BlockKind::text), out);
    std::string megabyte(1u << 20, 'x');
    for (int i = 0; i < 16; ++i) {
        out.clear();
        encoder->event(delta(0, megabyte), out);
        ASSERT_TRUE(contains(out.view(), "output_text.delta")) << i;
    }
    out.clear();
    encoder->event(delta(0, "y"), out);
    EXPECT_EQ(names(out.view()), "error failed");
    EXPECT_LT(out.size(), 4096u);
    out.clear();
    encoder->event(delta(0, "z"), out);
    encoder->event(end(), out);
    EXPECT_EQ(out.size(), 0u);
}

TEST(ResponsesEncoder, HostileEventsDoNoHarm) {
    std::string stream = encode(
        {delta(7, "x"), close(9), open(0, BlockKind::text), open(0, BlockKind::tool, "c", "f"),
         close(0), close(0), delta(0, "late"), opaque(EventKind::signature, 0, "S", {}),
         opaque(EventKind::redacted, 0, "R", DialectId::anthropic), open(1, BlockKind::reasoning),
         close(1), open(2, BlockKind::text), delta(2, "open"), finish(Finish::stop),
         finish(Finish::length), end(), end()},
        showing_all());
    check::Answer answer = read(stream);
    EXPECT_EQ(answer.first().text, "open");
    EXPECT_EQ(answer.first().finish, "completed");
    EXPECT_EQ(names(encode({open(8192, BlockKind::text)})), "created in_progress error failed");
}

// --- the request in the answer --------------------------------------------------------------

TEST(ResponsesEncoder, AnswerRepeatsTheRequest) {
    auto asked = std::make_unique<Asked>(R"({"model":"m","instructions":"Be brief","input":"Q",
        "max_output_tokens":99,"temperature":0.50,"parallel_tool_calls":false,
        "tools":[{"type":"function","name":"f",
                  "parameters":{}}],
        "tool_choice":{"type":"function","name":"f"},"reasoning":{"effort":"low","summary":"auto"},
        "text":{"format":{"type":"json_object"},"verbosity":"low"},"user":"u","store":true,
        "metadata":{"a":
"b"},"prompt_cache_key":"k","truncation":"auto"})");
    openai_testing::Ids ids;
    asked->view.ids = &ids;
    auto encoder = kResponses.make_encoder(asked->view);
    asked.reset();  // the request is gone when the stream runs
    ByteBuffer out;
    for (const ir::StreamEvent &event : {start(), finish(Finish::stop), end()}) {
        encoder->event(event, out);
    }
    read(out.view());
    for (std::string_view member :
         {"\"instructions\":\"Be brief\"", "\"max_output_tokens\":99", "\"temperature\":0.50",
          "\"parallel_tool_calls\":false", "\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"}",
          "\"reasoning\":{\"effort\":\"low\",\"summary\":\"auto\"}",
          "\"text\":{\"format\":{\"type\":\"json_object\"},\"verbosity\":\"low\"}",
          "\"user\":\"u\"", "\"store\":false", "\"metadata\":{\"a\": \"b\"}",
          "\"prompt_cache_key\":\"k\"", "\"truncation\":\"auto\"",
          "\"tools\":[{\"type\":\"function\",\"name\":\"f\","}) {
        EXPECT_TRUE(contains(out.view(), member)) << member;
    }
}

}  // namespace
}  // namespace llm
