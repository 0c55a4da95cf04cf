// Legacy completions: prompts in, texts out.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

struct Prompt {
    explicit Prompt(std::string_view members)
        : document(R"({"model":"m",)" + std::string(members) + "}") {
        status = kCompletions.parse_request(document.root(), arena, request);
    }
    std::string refused() const { return status ? "accepted" : std::string(status.error().param); }
    Document document;
    Arena arena;
    ir::Request request;
    Status status;
};

std::string as_chat(std::string_view members) {
    Prompt prompt(members);
    EXPECT_TRUE(prompt.status) << prompt.status.error().what;
    return rendered(prompt.request, {.model = "t"}, nullptr);
}

TEST(Completions, APromptIsAUserMessage) {
    std::string hi = R"({"model":"t","messages":[{"role":"user","content":"Say \u00e9"}]})";
    EXPECT_EQ(as_chat(R"("prompt":"Say \u00e9")"), hi);
    EXPECT_EQ(as_chat(R"("prompt":["Say \u00e9"],"suffix":null,"echo":false)"), hi);
    Prompt prompt(R"("prompt":"a","max_tokens":5,"temperature":0.70,"stop":"x","n":2,)"
                  R"("logprobs":3,"stream":true,"best_of":2)");
    Notes notes;  // its names are views into the prompt
    EXPECT_EQ(rendered(prompt.request, {.model = "t"}, &notes),
              R"({"model":"t","messages":[{"role":"user","content":"a"}],"max_tokens":5,)"
              R"("temperature":0.70,"n":2,"logprobs":true,"top_logprobs":3,"stop":["x"],)"
              R"("stream":true,"stream_options":{"include_usage":true}})");
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"best_of"});
}

TEST(Completions, WhatCannotBeTranslatedIsRefusedByName) {
    EXPECT_EQ(Prompt(R"("prompt":["a","b"])").refused(), "prompt");
    EXPECT_EQ(Prompt(R"("prompt":[1,2])").refused(), "prompt");
    EXPECT_EQ(Prompt(R"("prompt":[[1],[2]])").refused(), "prompt");
    EXPECT_EQ(Prompt(R"("prompt":"a","suffix":"b")").refused(), "suffix");
    EXPECT_EQ(Prompt(R"("prompt":"a","echo":true)").refused(), "echo");
    EXPECT_EQ(Prompt(R"("prompt":"a","suffix":"b")").status.error().code, Errc::unsupported);
    EXPECT_EQ(Prompt(R"("prompt":5)").status.error().code, Errc::invalid_request);
    EXPECT_EQ(Prompt(R"("prompt":"a","stop":[1])").refused(), "stop");
}

TEST(Completions, TokensAndListsPassThrough) {
    Document document(R"({"prompt":[[1,2],[3]],"model":"m","stream":true,"max_tokens":5})");
    Result<Envelope> envelope = kCompletions.read_envelope(document.root());
    ASSERT_TRUE(envelope);
    EXPECT_TRUE(envelope->stream);
    EXPECT_EQ(envelope->max_tokens, 5);
    std::vector<Edit> edits;
    Notes notes;
    ASSERT_TRUE(
        kCompletions.splice_request(document.root(), *envelope, {.model = "t"}, edits, notes));
    ASSERT_EQ(edits.size(), 2u);
    EXPECT_EQ(edits[0].text, R"("stream_options":{"include_usage":true},)");
    EXPECT_EQ(edits[1].text, R"("t")");
    Document none(R"({"model":"m"})");
    EXPECT_FALSE(kCompletions.read_envelope(none.root()));
}

// --- answers --------------------------------------------------------------------------------

class Stream : public ir::EventSink {
  public:
    explicit Stream(ClientView view = {}) {
        view.now = 7;
        view.model = "shown";
        encoder_ = kCompletions.make_encoder(view);
    }
    void on_event(const ir::StreamEvent &event) override { encoder_->event(event, out_); }
    std::string bytes() const { return std::string(out_.view()); }

  private:
    std::unique_ptr<Encoder> encoder_;
    ByteBuffer out_;
};

std::string chunk(std::string_view choice, std::string_view usage = "") {
    return R"(data: {"id":"a","object":"text_completion","created":7,"model":"m","choices":[)" +
           std::string(choice) + "]" + std::string(usage) + "}\n\n";
}

TEST(Completions, AStreamOfTexts) {
    std::string chat = stream_of(
        {delta(R"("role":"assistant","content":"","reasoning_content":"Hm")"),
         delta(R"("content":"Hi\n")"), delta("", R"("length")"),
         R"("choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3})"});
    Padded padded(chat);
    ClientView view;
    view.usage_wanted = true;
    Stream stream(view);
    std::unique_ptr<Decoder> decoder = kOpenAi.make_decoder();
    decoder->feed(padded.view(), stream);
    std::string usage = R"(,"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,)"
                        R"("prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},)"
                        R"("completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,)"
                        R"("accepted_prediction_tokens":0,"rejected_prediction_tokens":0}})";
    EXPECT_EQ(stream.bytes(),
              chunk(R"({"text":"Hi\n","index":0,"logprobs":null,"finish_reason":null})",
                    R"(,"usage":null)") +
                  chunk(R"({"text":"","index":0,"logprobs":null,"finish_reason":"length"})",
                        R"(,"usage":null)") +
                  chunk("", usage) + "data: [DONE]\n\n");
}

TEST(Completions, ABrokenStreamHasNoEnd) {
    Stream stream;
    stream.on_event({.kind = ir::EventKind::start, .id = {"a"}, .name = {"m"}});
    stream.on_event({.kind = ir::EventKind::error,
                     .error_class = ErrorClass::stream_truncated,
                     .text = {"cut"}});
    stream.on_event({.kind = ir::EventKind::end});
    EXPECT_EQ(stream.bytes().find("[DONE]"), std::string::npos);
    EXPECT_NE(stream.bytes().find(R"("message":"cut")"), std::string::npos);
}

TEST(Completions, AWholeAnswer) {
    Document body(
        R"({"id":"a","created":5,"model":"m","choices":[{"index":0,"message":{"content":"Hi \u00e9"},)"
        R"("logprobs":{"content":[{"token":"Hi","logprob":-0.10,"top_logprobs":[)"
        R"({"token":"Ho","logprob":-2}]},{"token":" \u00e9","logprob":-1}]},)"
        R"("finish_reason":"stop"}]})");
    Arena arena;
    ir::Response response;
    ASSERT_TRUE(kOpenAi.parse_response(body.root(), arena, response));
    ByteBuffer out;
    json::Writer writer(out);
    kCompletions.render_response(response, {}, arena, writer);
    EXPECT_EQ(out.view(),
              R"({"id":"a","object":"text_completion","created":5,"model":"m","choices":[)"
              R"({"text":"Hi \u00e9","index":0,"logprobs":{"tokens":["Hi"," \u00e9"],)"
              R"("token_logprobs":[-0.10,-1],"top_logprobs":[{"Ho":-2},{}],)"
              R"("text_offset":[0,2]},"finish_reason":"stop"}]})");
}

}  // namespace
}  // namespace llm::openai_testing
