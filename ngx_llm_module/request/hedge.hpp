// A second attempt beside one that is late (`hedge` of llm_model). The first content wins, the
// other attempt is closed.
//
// All that belongs to one attempt can be exchanged (Lane). The request's own members are those of
// the first attempt, but while the second one's sink is called they are the second one's: so
// everything that an attempt goes through works on the request as if there were no other. What
// ends the race is called from there:
//   win()       the commit point: the present attempt has content, or a whole answer
//   give_way()  the present attempt failed: the other one is the request's from here
//   settle()    the request is over
#pragma once

#include <memory>

#include "ngx_llm_module/policy/store.hpp"
#include "ngx_llm_module/request/ledger.hpp"
#include "ngx_llm_module/route/plan.hpp"
#include "ngx_llm_module/stream/answer.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm {

class LlmRequest;
struct Model;

class Hedge final : public AnswerSink, private Waiter {
  public:
    explicit Hedge(LlmRequest &request);
    ~Hedge();
    Hedge(const Hedge &) = delete;
    Hedge &operator=(const Hedge &) = delete;

    // Within: what is called belongs to the second attempt, where `hedge` races and was the one
    // that made it. The request may be gone behind it.
    class Inside {
      public:
        explicit Inside(Hedge *hedge);
        ~Inside();
        Inside(const Inside &) = delete;
        Inside &operator=(const Inside &) = delete;

      private:
        Hedge *hedge_ = nullptr;
        bool is_gone_ = false;
    };

    // An attempt is sent: it has so long until a second one begins.
    void arm();
    // It has failed before that.
    void disarm();
    bool is_racing() const { return state_ == State::racing; }
    bool is_inside() const { return is_inside_; }

    void win() { end(true); }
    // The present attempt failed in a way that no other can mend: the other one is closed.
    void close_other() { end(false); }
    void give_way();
    void settle();

  private:
    enum class State : uint8_t { idle, armed, asking, racing, adopted, over };

    // What of the request belongs to one attempt.
    struct Lane {
        size_t next_candidate = 0;
        std::unique_ptr<Attempt> attempt;
        Notes notes;
        AttemptAnswer answer;
        AttemptNumbers numbers;
        AttemptChoice choice;
    };

    void exchange();
    void begin();
    void launch();
    void refuse();
    void end(bool has_won);
    void adopt();
    void drop();
    void close_lane();
    bool is_running() const;
    size_t find_other() const;

    void on_verdict(const Verdict &verdict) override;
    bool on_head(const wire::HttpHead &head) override;
    bool on_body(std::string_view bytes) override;
    bool on_pause() override;
    void on_end() override;
    void on_broken(Broken why) override;
    void on_stale() override;
    void on_event(const ir::StreamEvent &event) override;
    void on_response(const ir::Response &response) override;
    void on_error(const ApiError &error) override;
    bool wants_more() const override;
    static void on_timer(ngx_event_t *ev);

    LlmRequest &request_;
    Lane lane_;                     // of the attempt that is not the present one
    const Model *model_ = nullptr;  // whose share counts this request
    size_t index_ = 0;              // of the second attempt's candidate
    ngx_event_t timer_ = {};
    bool *is_gone_ = nullptr;  // of the innermost call
    State state_ = State::idle;
    bool is_inside_ = false;
};

// Whether a request could have a second attempt: it asks for an answer that any deployment may
// give, and its model says hedge.
bool can_hedge(const LlmRequest &request);

}  // namespace llm
