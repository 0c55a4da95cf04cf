// Pass-through of chat requests: what changes in the client's bytes, and what does not.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

std::string spliced(std::string_view body, ModelTraits traits = {}, bool drop_params = false) {
    Document document(body);
    Result<Envelope> envelope = kOpenAi.read_envelope(document.root());
    EXPECT_TRUE(envelope);
    std::vector<Edit> edits;
    Notes notes;
    Target target{.model = "new\"1", .traits = traits, .drop_params = drop_params};
    Status status = kOpenAi.splice_request(document.root(), *envelope, target, edits, notes);
    if (!status) {
        return "refused " + std::string(status.error().param);
    }
    std::string result;
    size_t at = 0;
    for (const Edit &edit : edits) {
        EXPECT_GE(edit.begin, at);
        result += body.substr(at, edit.begin - at);
        result += edit.text;
        at = edit.end;
    }
    result += body.substr(at);
    Document valid(result);
    return result;
}

// The rest of a body with these members and one user message, and what becomes of it.
std::string spliced_with(std::string_view members, ModelTraits traits, bool drop_params = false) {
    constexpr std::string_view kHead = R"({"model":"new\"1","messages":[{"role":"user"}])";
    std::string result =
        spliced(std::string(kHead) + "," + std::string(members) + "}", traits, drop_params);
    return result.starts_with(kHead) ? result.substr(kHead.size(), result.size() - kHead.size() - 1)
                                     : result;
}

// The messages of a body, and what becomes of them.
std::string spliced_messages(std::string_view messages, ModelTraits traits) {
    std::string head = R"({"model":"new\"1","messages":[)";
    std::string result = spliced(head + std::string(messages) + "]}", traits);
    EXPECT_TRUE(result.starts_with(head)) << result;
    return result.substr(head.size(), result.size() - head.size() - 2);
}

ModelTraits lenient() {
    ModelTraits traits;
    traits.strict_members = false;
    return traits;
}

TEST(ChatSplice, OnlyTheModelChanges) {
    EXPECT_EQ(spliced(R"( { "model" : "m" , "messages":[{}], "x" : 1.0 } )"),
              R"( { "model" : "new\"1" , "messages":[{}], "x" : 1.0 } )");
    EXPECT_EQ(spliced(R"({"messages":[{}],"model":"new\"1"})"),
              R"({"messages":[{}],"model":"new\"1"})");
}

TEST(ChatSplice, Case51_StreamsAskForUsage) {
    EXPECT_EQ(
        spliced(R"({"model":"m","messages":[{}],"stream":true})"),
        R"({"stream_options":{"include_usage":true},"model":"new\"1","messages":[{}],"stream":true})");
    EXPECT_EQ(
        spliced(R"({"stream_options": null,"model":"m","messages":[{}],"stream":true})"),
        R"({"stream_options": {"include_usage":true},"model":"new\"1","messages":[{}],"stream":true})");
    EXPECT_EQ(
        spliced(R"({"stream_options":{ },"model":"m","messages":[{}],"stream":true})"),
        R"({"stream_options":{"include_usage":true },"model":"new\"1","messages":[{}],"stream":true})");
    EXPECT_EQ(
        spliced(R"({"stream_options":{"a":1},"model":"m","messages":[{}],"stream":true})"),
        R"({"stream_options":{"include_usage":true,"a":1},"model":"new\"1","messages":[{}],"stream":true})");
    EXPECT_EQ(
        spliced(
            R"({"stream_options":{"include_usage":false},"model":"m","messages":[{}],"stream":true})"),
        R"({"stream_options":{"include_usage":true},"model":"new\"1","messages":[{}],"stream":true})");
}

TEST(ChatSplice, NothingIsAddedWhereItIsNotNeeded) {
    std::string wanted =
        R"({"model":"new\"1","messages":[{}],"stream":true,"stream_options":{"include_usage":true}})";
    EXPECT_EQ(spliced(wanted), wanted);
    EXPECT_EQ(spliced(R"({"model":"m","messages":[{}],"stream":false})"),
              R"({"model":"new\"1","messages":[{}],"stream":false})");
    ModelTraits old;
    old.no_stream_options = true;
    EXPECT_EQ(spliced(R"({"model":"m","messages":[{}],"stream":true})", old),
              R"({"model":"new\"1","messages":[{}],"stream":true})");
}

TEST(ChatSplice, StreamOptionsAreLeftOutWhereTheyAreRefused) {
    ModelTraits traits = lenient();
    traits.no_stream_options = true;
    EXPECT_EQ(spliced_with(R"("stream_options":{"include_usage":true},"stream":true)", traits),
              R"(,"stream":true)");
    EXPECT_EQ(
        spliced(R"({"stream_options":null , "model":"m","messages":[{}],"stream":true})", traits),
        R"({"model":"new\"1","messages":[{}],"stream":true})");
}

TEST(ChatSplice, Gotcha88_TheLimitHasTheNameThatTheServiceKnows) {
    ModelTraits reasoning = lenient();
    reasoning.max_completion_tokens = reasoning.is_reasoning = reasoning.service_tier = true;
    EXPECT_EQ(spliced_with(R"("max_tokens":5,"n":1)", reasoning),
              R"(,"max_completion_tokens":5,"n":1)");
    EXPECT_EQ(spliced_with(R"("max_tokens" : 5,"max_completion_tokens":7)", reasoning),
              R"(,"max_completion_tokens":7)");
    ModelTraits older = reasoning;
    older.is_reasoning = false;
    EXPECT_EQ(spliced_with(R"("max_tokens":5)", older), R"(,"max_tokens":5)");
    ModelTraits strict;
    EXPECT_EQ(spliced_with(R"("max_completion_tokens":7)", strict), R"(,"max_tokens":7)");
    EXPECT_EQ(spliced_with(R"("max_completion_tokens":7,"x":0,"max_tokens":5)", strict),
              R"(,"max_tokens":7,"x":0)");
}

TEST(ChatSplice, Case45_LimitsOfUnknownServicesAreKept) {
    EXPECT_EQ(spliced_with(R"("max_completion_tokens":7)", lenient()),
              R"(,"max_completion_tokens":7)");
    EXPECT_EQ(spliced_with(R"("max_tokens":7)", lenient()), R"(,"max_tokens":7)");
}

TEST(ChatSplice, Gotcha64_StrictServicesGetNoReasoningOfTheHistory) {
    std::string_view history =
        R"({"reasoning_content":"Hm","thinking_blocks":[{}],"role":"assistant","content":"a",)"
        R"("reasoning":"Hm","reasoning_details":[],"tool_calls":[{"id":"c",)"
        R"("extra_content":{"google":{}}, "type":"function"}],"extra_content":{}})";
    EXPECT_EQ(spliced_messages(history, lenient()), history);
    EXPECT_EQ(spliced_messages(history, {}),
              R"({"role":"assistant","content":"a","tool_calls":[{"id":"c", "type":"function"}]})");
    ModelTraits wants;
    wants.wants_reasoning_content = true;
    EXPECT_EQ(spliced_messages(history, wants),
              R"({"reasoning_content":"Hm","role":"assistant","content":"a",)"
              R"("tool_calls":[{"id":"c", "type":"function"}]})");
}

TEST(ChatSplice, Gotcha63_ReasoningThatIsWantedIsThere) {
    ModelTraits traits = lenient();
    traits.wants_reasoning_content = true;
    std::string calls = R"("role":"assistant","tool_calls":[{"id":"c"}]})";
    EXPECT_EQ(spliced_messages("{" + calls, traits), R"({"reasoning_content":" ",)" + calls);
    EXPECT_EQ(spliced_messages(R"({"reasoning_content":null,)" + calls, traits),
              R"({"reasoning_content":" ",)" + calls);
    EXPECT_EQ(spliced_messages(R"({"reasoning_content":"Hm",)" + calls, traits),
              R"({"reasoning_content":"Hm",)" + calls);
    EXPECT_EQ(spliced_messages(R"({"role":"assistant","content":"a"})", traits),
              R"({"role":"assistant","content":"a"})");
}

TEST(ChatSplice, Gotcha67_OneSwitchForReasoning) {
    ModelTraits traits = lenient();
    traits.thinking_switch = true;
    EXPECT_EQ(spliced_with(R"("reasoning_effort":"high")", traits),
              R"(,"thinking":{"type":"enabled"})");
    EXPECT_EQ(spliced_with(R"("reasoning_effort":"none")", traits),
              R"(,"thinking":{"type":"disabled"})");
    EXPECT_EQ(spliced_with(R"("thinking":{"type":"disabled"},"reasoning_effort":"high")", traits),
              R"(,"thinking":{"type":"disabled"})");
    traits.enable_thinking = true;
    EXPECT_EQ(spliced_with(R"("reasoning_effort":"low")", traits), R"(,"enable_thinking":true)");
}

TEST(ChatSplice, Gotcha45_MistralsIdsAndNames) {
    ModelTraits traits;
    traits.mistral = true;
    EXPECT_EQ(spliced_with(R"("stream":true,"seed":7,"tool_choice":"required",)"
                           R"("stream_options":{"include_usage":true})",
                           traits),
              R"(,"stream":true,"random_seed":7,"tool_choice":"any")");
    EXPECT_EQ(
        spliced_messages(
            R"({"role":"developer","content":"s"},)"
            R"({"role":"assistant","tool_calls":[{"id":"functions.add:0"},{"id":"rEJDoePqM"}]},)"
            R"({"role":"tool","tool_call_id":"functions.add:0","content":"x"},)"
            R"({"role":"assistant","content":"And"})",
            traits),
        R"({"role":"system","content":"s"},)"
        R"({"role":"assistant","tool_calls":[{"id":"7hBrWovId"},{"id":"rEJDoePqM"}]},)"
        R"({"role":"tool","tool_call_id":"7hBrWovId","content":"x"},)"
        R"({"prefix":true,"role":"assistant","content":"And"})");
}

TEST(ChatSplice, ServicesThatTakeLess) {
    ModelTraits traits = lenient();
    traits.string_content = traits.no_strict_tools = traits.no_tool_choice_required = true;
    EXPECT_EQ(spliced_messages(R"({"role":"user","content":[{"type":"text","text":"a\n"},)"
                               R"({"type":"text","text":"b"}]})",
                               traits),
              R"({"role":"user","content":"a\n\n\nb"})");
    std::string image = R"({"role":"user","content":[{"type":"image_url","image_url":{}}]})";
    EXPECT_EQ(spliced_messages(image, traits), image);
    EXPECT_EQ(spliced_with(R"("tools":[{"function":{"strict":true,"name":"f"}}])", traits),
              R"(,"tools":[{"function":{"name":"f"}}])");
    EXPECT_EQ(spliced_with(R"("tool_choice":"required")", traits), "refused tool_choice");
    EXPECT_EQ(spliced_with(R"("tool_choice":"required")", traits, true),
              R"(,"tool_choice":"auto")");
    EXPECT_EQ(spliced_with(R"("tool_choice":"none")", traits), R"(,"tool_choice":"none")");
}

}  // namespace
}  // namespace llm::openai_testing
