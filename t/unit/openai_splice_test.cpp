// Pass-through of chat requests: what changes in the client's bytes, and what does not.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

std::string spliced(std::string_view body, ModelTraits traits = {}) {
    Document document(body);
    Result<Envelope> envelope = kOpenAi.read_envelope(document.root());
    EXPECT_TRUE(envelope);
    std::vector<Edit> edits;
    Target target{.model = "new\"1", .traits = traits};
    EXPECT_TRUE(kOpenAi.splice_request(document.root(), *envelope, target, edits));
    std::string result;
    size_t at = 0;
    for (const Edit &edit : edits) {
        EXPECT_GE(edit.begin, at);
        result += body.substr(at, edit.begin - at);
        result += edit.text;
        at = edit.end;
    }
    return result + std::string(body.substr(at));
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

}  // namespace
}  // namespace llm::openai_testing
