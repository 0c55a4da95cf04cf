// The preset `mock`: an answer made here, always the same for the same request, in any dialect.
#pragma once

#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {

class MockAttempt final : public Attempt {
  public:
    MockAttempt(LlmRequest &request, const Candidate &candidate, AnswerSink &sink);
    ~MockAttempt() override;

    void start() override;
    void resume() override;
    bool was_asked() const override { return true; }
    void on_first_content() override { has_content_ = true; }
    void finish() override;

  private:
    void play();  // as far as time and the client allow
    void wait(ngx_msec_t time, ngx_msec_t limit, Broken when_over);
    void answer_whole();
    void send(ir::EventKind kind, JsonText text = {});
    JsonText piece(size_t number) const;
    static void on_timer(ngx_event_t *ev);

    LlmRequest &request_;
    const Candidate &candidate_;
    AnswerSink &sink_;
    const MockScript &script_;
    Timeouts timeouts_;
    Arena arena_;
    Usage usage_;
    JsonText id_;
    JsonText model_;
    std::vector<JsonText> words_;  // each with the space in front of it
    size_t pieces_ = 0;
    size_t sent_ = 0;
    ngx_event_t timer_ = {};
    Broken broken_ = Broken::cut;  // what the timer means, when is_last_wait_
    bool is_last_wait_ = false;
    bool has_begun_ = false;
    bool has_content_ = false;
    bool is_over_ = false;
};

}  // namespace llm
