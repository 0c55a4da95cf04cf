// Free text ("custom") tools: between OpenAI's two dialects as they are, elsewhere as a function of
// one string, in requests, whole answers and streams.
#include "t/unit/openai_testing.hpp"
#include "translators/dialect/custom_input.hpp"

namespace llm::openai_testing {
namespace {

using ir::BlockKind;
using ir::EventKind;

// --- streams --------------------------------------------------------------------------------

std::string responses_stream(std::string_view call_type, std::string_view event_type,
                             const std::vector<std::string> &deltas) {
    auto event = [](const std::string &json) { return "data: " + json + "\n\n"; };
    std::string stream =
        event(R"({"type":"response.created","response":{"id":"resp_1"}})") +
        event(R"({"type":"response.output_item.added","output_index":0,"item":{)"
              R"("type":")" +
              std::string(call_type) + R"(","id":"i","call_id":"call_1","name":"patch"}})");
    for (const std::string &delta : deltas) {
        stream += event(R"({"type":"response.)" + std::string(event_type) +
                        R"(.delta","output_index":0,"delta":")" + delta + R"("})");
    }
    return stream + event(R"({"type":"response.completed","response":{"status":"completed"}})");
}

std::string chat_stream(const std::vector<std::string> &inputs) {
    std::vector<std::string> chunks = {delta(R"("tool_calls":[{"index":0,"id":"call_1",)"
                                             R"("type":"custom","custom":{"name":"patch"}}])")};
    for (const std::string &input : inputs) {
        chunks.push_back(
            delta(R"("tool_calls":[{"index":0,"custom":{"input":")" + input + R"("}}])"));
    }
    chunks.push_back(delta("", R"("tool_calls")"));
    return stream_of(chunks);
}

class Translation final : public ir::EventSink {
  public:
    explicit Translation(const Dialect &to, const ClientView &view = {})
        : encoder_(to.make_encoder(view)) {}
    void on_event(const ir::StreamEvent &event) override { encoder_->event(event, out_); }
    std::string text() const { return std::string(out_.view()); }

  private:
    std::unique_ptr<Encoder> encoder_;
    ByteBuffer out_;
};

std::string translated(const Dialect &from, std::string_view stream, const Dialect &to) {
    Ids ids;
    ClientView view;
    view.ids = &ids;
    Translation translation(to, view);
    std::unique_ptr<Decoder> decoder = from.make_decoder();
    Padded bytes(stream);
    decoder->feed(bytes.view(), translation);
    decoder->finish(translation);
    return translation.text();
}

// How often a text stands in another.
size_t count(std::string_view text, std::string_view what) {
    size_t found = 0;
    for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) {
        ++found;
    }
    return found;
}

TEST(CustomTools, AChatProvidersCallStreamsToAResponsesClient) {
    std::string out = translated(kOpenAi, chat_stream({"*** a", "\\n\\\"b\\\""}), kResponses);
    EXPECT_EQ(count(out, R"("type":"custom_tool_call","status":"in_progress")") +
                  count(out, R"("type":"custom_tool_call")"),
              count(out, R"("type":"custom_tool_call")") + 1)
        << out;
    EXPECT_EQ(count(out, "event: response.custom_tool_call_input.delta\n"), 2u) << out;
    EXPECT_EQ(count(out, R"("delta":"\n\"b\"")"), 1u) << out;
    EXPECT_EQ(count(out, R"("input":"*** a\n\"b\"")"), 3u) << out;  // done, item, response
    EXPECT_EQ(count(out, "function_call"), 0u) << out;
}

TEST(CustomTools, AResponsesProvidersCallStreamsToAChatClient) {
    std::string out = translated(kResponses,
                                 responses_stream("custom_tool_call", "custom_tool_call_input",
                                                  {R"({\"input\":\"not unwrapped\"})", " more"}),
                                 kOpenAi);
    EXPECT_EQ(count(out, R"("type":"custom","custom":{"name":"patch","input":""})"), 1u) << out;
    EXPECT_EQ(count(out, R"("custom":{"input":"{\"input\":\"not unwrapped\"}"})"), 1u) << out;
    EXPECT_EQ(count(out, R"("custom":{"input":" more"})"), 1u) << out;
    EXPECT_EQ(count(out, "arguments"), 0u) << out;
}

TEST(CustomTools, ClientsWithoutThemGetAFunctionOfOneString) {
    std::string stream = chat_stream({"*** a", "\\n\\\"b\\\""});
    std::string out = translated(kOpenAi, stream, kAnthropic);
    EXPECT_EQ(count(out, R"("partial_json":"{\"input\":\"")"), 1u) << out;
    EXPECT_EQ(count(out, R"("partial_json":"\\n\\\"b\\\"")"), 1u) << out;
    EXPECT_EQ(count(out, R"("partial_json":"\"}")"), 1u) << out;
    out = translated(kOpenAi, stream, kGemini);
    EXPECT_EQ(count(out, R"("args":{"input":"*** a\n\"b\""})"), 1u) << out;
}

TEST(CustomTools, FreeTextMayLookLikeWholeArguments) {
    // Two calls by turns: neither text is taken for a whole one, nor for a third call.
    std::string one = R"("tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"p",)"
                      R"("input":"{}"}}])";
    std::string two = R"("tool_calls":[{"index":1,"id":"b","type":"custom","custom":{"name":"p",)"
                      R"("input":"{}"}}])";
    std::string more = R"("tool_calls":[{"index":0,"custom":{"input":" x"}}])";
    std::vector<std::string> lines =
        decode(stream_of({delta(one), delta(two), delta(more), delta("", R"("tool_calls")")}));
    EXPECT_EQ(lines,
              (std::vector<std::string>{"start a m", "open 0 tool a p", "delta 0 {}",
                                        "open 1 tool b p", "delta 1 {}", "delta 0  x", "close 0",
                                        "close 1", "finish tool_calls (tool_calls)", "end"}));
}

// --- a function's arguments as text ---------------------------------------------------------

// The pieces that come out, however the arguments are cut: joined, and by each cut.
std::string unwrapped(std::string_view arguments) {
    Arena arena;
    std::string escaped(json::escape(arguments, arena).bytes);
    std::string whole;
    for (size_t cut = 0; cut <= escaped.size(); ++cut) {
        bool is_in_escape =
            cut > 0 && escaped[cut - 1] == '\\' && (cut < 2 || escaped[cut - 2] != '\\');
        bool is_in_character =
            cut < escaped.size() && (static_cast<unsigned char>(escaped[cut]) & 0xC0) == 0x80;
        if (is_in_escape || is_in_character || escaped.find("\\u") != std::string::npos) {
            if (cut > 0) {
                continue;  // decoders do not cut there
            }
        }
        CustomInput input;
        ByteBuffer out;
        json::Reader reader;
        EXPECT_TRUE(input.feed({std::string_view(escaped).substr(0, cut)}, out));
        EXPECT_TRUE(input.feed({std::string_view(escaped).substr(cut)}, out));
        input.finish(reader, out);
        EXPECT_TRUE(cut == 0 || out.view() == whole) << arguments << " cut at " << cut;
        whole = out.view();
    }
    return whole;
}

TEST(CustomTools, Gotcha104_TheTextOfAFunctionComesAsItIsSaid) {
    CustomInput input;
    ByteBuffer out;
    std::string seen;
    for (std::string_view fragment :
         {R"({ \"inp)", R"(ut\" : \"ab)", "c", R"(\\)", R"(nd\\ud83d)", R"(\\ude00e)", R"(\" })"}) {
        ASSERT_TRUE(input.feed({fragment}, out));
        seen.append(out.view()).append("|");
        out.clear();
    }
    EXPECT_EQ(seen, R"(|ab|c||\nd|\ud83d\ude00e||)");
}

TEST(CustomTools, ArgumentsOfEveryForm) {
    EXPECT_EQ(unwrapped("{\"input\":\"a\\n\\\"b\\\" \\u00e9 \xC3\xA9\"}"),
              "a\\n\\\"b\\\" \\u00e9 \xC3\xA9");
    EXPECT_EQ(unwrapped(R"({"x":1,"input":"a"})"), "a");
    EXPECT_EQ(unwrapped(R"({"input":"a","x":"b"})"), "a");
    EXPECT_EQ(unwrapped("plain text"), "plain text");
    EXPECT_EQ(unwrapped(R"({"input":5})"), R"({\"input\":5})");
    EXPECT_EQ(unwrapped(R"({"input":"cut)"), "cut");
    EXPECT_EQ(unwrapped("{\"in"), R"({\"in)");
    EXPECT_EQ(unwrapped(""), "");
    // What models write and no JSON text may have.
    EXPECT_EQ(unwrapped("{\"input\":\"a\nb\\d\\\"c\"}"), R"(a\nb\\d\"c)");
    EXPECT_EQ(unwrapped(R"({"input":"\u12zz"})"), R"(\\u12zz)");
}

// --- requests -------------------------------------------------------------------------------

struct Sent {
    std::string body;
    std::vector<std::string> custom_tools;
    std::vector<std::string> dropped;
};

Sent sent(std::string_view responses_body, ModelTraits traits, bool drop_params = false) {
    Document document(responses_body);
    Arena arena;
    ir::Request request;
    EXPECT_TRUE(kResponses.parse_request(document.root(), arena, request));
    Target target{.model = "t", .traits = traits, .drop_params = drop_params};
    Notes notes;
    std::string body = rendered(request, target, &notes);
    return {body,
            {notes.custom_tools.begin(), notes.custom_tools.end()},
            {notes.dropped.begin(), notes.dropped.end()}};
}

ModelTraits openai_itself() {
    ModelTraits traits;
    traits.service_tier = true;
    return traits;
}

constexpr std::string_view kAsked =
    R"({"model":"m","input":[{"role":"user","content":"Q"},{"type":"custom_tool_call",)"
    R"("call_id":"c","name":"sql","input":"SELECT \"x\""},{"type":"custom_tool_call_output",)"
    R"("call_id":"c","output":"1"}],"tools":[{"type":"custom","name":"sql","description":"d",)"
    R"("format":{"type":"grammar","syntax":"regex","definition":"S.+"}}],)"
    R"("tool_choice":{"type":"custom","name":"sql"}})";

TEST(CustomTools, OpenAisOwnChatHasThemToo) {
    std::string body = sent(kAsked, openai_itself()).body;
    EXPECT_NE(body.find(R"("tools":[{"type":"custom","custom":{"name":"sql","description":"d",)"
                        R"("format":{"type":"grammar","grammar":{"syntax":"regex",)"
                        R"("definition":"S.+"}}}}],"tool_choice":{"type":"custom",)"
                        R"("custom":{"name":"sql"}})"),
              std::string::npos)
        << body;
    EXPECT_NE(body.find(R"("type":"custom","custom":{"name":"sql","input":"SELECT \"x\""})"),
              std::string::npos)
        << body;
}

TEST(CustomTools, ImitatorsGetAFunction) {
    EXPECT_EQ(sent(kAsked, {}).body, "refused tools");  // nobody else holds to the grammar
    auto [body, custom_tools, dropped] = sent(kAsked, {}, true);
    EXPECT_NE(body.find(R"("tools":[{"type":"function","function":{"name":"sql",)"
                        R"("description":"d\n\nRaw text input.","parameters":{"type":"object",)"
                        R"("properties":{"input":{"type":"string"}},"required":["input"]}}}],)"
                        R"("tool_choice":{"type":"function","function":{"name":"sql"}})"),
              std::string::npos)
        << body;
    EXPECT_NE(body.find(R"("arguments":"{\"input\":\"SELECT \\\"x\\\"\"}")"), std::string::npos)
        << body;
    EXPECT_EQ(custom_tools, std::vector<std::string>{"sql"});
    EXPECT_EQ(dropped, std::vector<std::string>{"tools"});
}

TEST(CustomTools, AWholeNativeCallIsNotUnwrapped) {
    Document body(R"({"id":"resp_1","status":"completed","output":[{"type":"custom_tool_call",)"
                  R"("id":"i","call_id":"c","name":"sql","input":"{\"input\":\"x\"}"}]})");
    Arena arena;
    ir::Response response;
    ASSERT_TRUE(kResponses.parse_response(body.root(), arena, response));
    std::vector<std::string_view> custom = {"sql"};
    ClientView view;
    view.custom_tools = &custom;
    ByteBuffer out;
    json::Writer writer(out);
    kOpenAi.render_response(response, view, arena, writer);
    EXPECT_NE(out.view().find(R"("input":"{\"input\":\"x\"}")"), std::string_view::npos)
        << out.view();
}

}  // namespace
}  // namespace llm::openai_testing
