// See hedge.hpp. The race in order: arm, on_timer, begin (a share and room are taken), launch; then
// one of win, give_way, close_other, settle.
#include "ngx_llm_module/request/hedge.hpp"

#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/booking.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/upstream/net_attempt.hpp"

namespace llm {

namespace {

constexpr size_t kNone = SIZE_MAX;

// Shares of all requests to a model are counted at its first deployment.
uint32_t share_slot(const Model &model) {
    return model.deployments.front().slot;
}

}  // namespace

bool can_hedge(const LlmRequest &request) {
    return request.candidate().model->routing.hedge.is_on && request.candidates.size() > 1 &&
           !request.is_raw && !request.is_kept() && !request.is_count() && !request.is_other() &&
           request.keeper == nullptr && !request.plan.wishes.disable_fallbacks;
}

// --- whose members the request has ---

Hedge::Inside::Inside(Hedge *hedge) {
    if (hedge == nullptr || hedge->is_inside_ || hedge->state_ != State::racing) {
        return;
    }
    hedge_ = hedge;
    hedge_->exchange();
    hedge_->is_inside_ = true;
    hedge_->is_gone_ = &is_gone_;
}

Hedge::Inside::~Inside() {
    if (hedge_ == nullptr || is_gone_) {
        return;
    }
    hedge_->is_gone_ = nullptr;
    if (hedge_->is_inside_) {  // neither won nor lost
        hedge_->exchange();
        hedge_->is_inside_ = false;
    }
}

void Hedge::exchange() {
    std::swap(request_.next_candidate, lane_.next_candidate);
    std::swap(request_.attempt, lane_.attempt);
    std::swap(request_.notes, lane_.notes);
    std::swap(static_cast<AttemptNumbers &>(request_.ledger), lane_.numbers);
    std::swap(static_cast<AttemptChoice &>(request_.plan), lane_.choice);
    request_.answer.exchange(lane_.answer);
}

Hedge::Hedge(LlmRequest &request) : request_(request) {
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = request.r->connection->log;
}

Hedge::~Hedge() {
    if (is_gone_ != nullptr) {
        *is_gone_ = true;
    }
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

// --- before the race ---

void Hedge::arm() {
    if (state_ != State::idle) {
        return;
    }
    const Candidate &candidate = request_.candidate();
    const HedgeRule &rule = candidate.model->routing.hedge;
    if (model_ != candidate.model) {
        model_ = candidate.model;
        add_hedge_share(request_.config, share_slot(*model_), rule.share);
    }
    ngx_msec_t after = rule.after != 0 ? rule.after
                                       : slow_latency(request_.config, candidate.deployment->slot,
                                                      request_.is_stream());
    if (after != 0) {
        state_ = State::armed;
        ngx_add_timer(&timer_, after);
    }
}

void Hedge::disarm() {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
    switch (state_) {
        case State::asking:
            refuse();
            return;
        case State::armed:
            state_ = State::idle;
            return;
        case State::adopted:
            state_ = State::over;  // who serves after this is no hedge
            return;
        case State::idle:
        case State::racing:
        case State::over:
            return;
    }
}

void Hedge::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Hedge *>(ev->data);
    Turn turn(self.request_.r);
    self.begin();
}

// The first attempt is under way: it does not wait for a pause, for room, or for its last words.
bool Hedge::is_running() const {
    return request_.attempt != nullptr && !request_.answer.is_committed() &&
           !request_.plan.pause.timer_set;
}

// The next best that nobody doubts.
size_t Hedge::find_other() const {
    const auto &tried = request_.plan.tried;
    for (size_t i = 0; i < tried.size(); i++) {
        uint32_t slot = request_.candidates[i].deployment->slot;
        if (tried[i].tries == 0 && !tried[i].is_out &&
            availability(request_.config, slot) == Availability::open) {
            return i;
        }
    }
    return kNone;
}

void Hedge::begin() {
    state_ = State::idle;
    index_ = is_running() ? find_other() : kNone;
    if (index_ == kNone || !take_hedge_share(request_.config, share_slot(*model_))) {
        return;
    }
    state_ = State::asking;
    switch (request_.limits.take_second(index_, *this)) {
        case Admission::granted:
            launch();
            return;
        case Admission::waiting:
            return;
        case Admission::refused:
        case Admission::failed:
            refuse();
            return;
    }
}

void Hedge::on_verdict(const Verdict &verdict) {
    Turn turn(request_.r);
    if (verdict.admission == Admission::granted && is_running()) {
        launch();
    } else {
        refuse();
    }
}

// No room for it: its share is for another request.
void Hedge::refuse() {
    state_ = State::over;
    request_.limits.drop_second();
    give_back_hedge_share(request_.config, share_slot(*model_));
}

void Hedge::launch() {
    const Deployment &late = *request_.candidate().deployment;
    const Deployment &other = *request_.candidates[index_].deployment;
    ngx_log_error(NGX_LOG_INFO, request_.r->connection->log, 0,
                  "llm: deployment %s is late, %s is asked as well", late.id.c_str(),
                  other.id.c_str());
    count(Metric::hedges, {other.id});
    request_.ledger.hedge = "lost";
    request_.plan.tried[index_].tries = 1;
    lane_ = Lane();
    lane_.next_candidate = index_ + 1;
    state_ = State::racing;
    Inside inside(this);
    send_attempt(request_);
}

// --- its end ---

// The second attempt is the request's only one from here; what the first one was is in lane_.
void Hedge::adopt() {
    // From the begin of the first one there was always somebody to wait for.
    request_.ledger.upstream_time += request_.ledger.attempt_began - lane_.numbers.attempt_began;
    is_inside_ = false;
    state_ = State::adopted;
    request_.limits.adopt_second();
    lane_ = Lane();
}

// The first one is.
void Hedge::drop() {
    is_inside_ = false;
    state_ = State::over;
    request_.limits.drop_second();
    lane_ = Lane();
}

// The attempt in lane_ is not needed any more. It did not fail, but it was asked.
void Hedge::close_lane() {
    exchange();
    const Candidate &candidate = request_.candidate();
    if (request_.attempt != nullptr && request_.attempt->was_asked()) {
        request_.answer.record_lost();
    }
    if (is_inside_) {
        // It would have taken longer still: without it only quick ones would be remembered.
        note_latency(request_.config, candidate.deployment->slot,
                     ngx_current_msec - request_.ledger.attempt_began, request_.is_stream());
    }
    count(Metric::deployment_attempts, {candidate.deployment->id, "hedged"});
    book_attempts(request_);
    request_.attempt.reset();
    exchange();
}

void Hedge::end(bool has_won) {
    if (state_ == State::racing) {
        close_lane();
        is_inside_ ? adopt() : drop();
    }
    if (state_ == State::adopted && has_won) {
        request_.ledger.hedge = "won";
        count(Metric::hedges_won, {request_.candidate().deployment->id});
    }
    disarm();
}

void win_race(LlmRequest &request) {
    if (request.hedge != nullptr) {
        request.hedge->win();
    }
}

void Hedge::give_way() {
    exchange();
    is_inside_ ? drop() : adopt();
}

void Hedge::settle() {
    disarm();
    if (state_ != State::racing) {
        return;
    }
    exchange();
    book_attempts(request_);
    request_.attempt.reset();
    exchange();
    state_ = State::over;
}

// --- what the second attempt tells ---

bool Hedge::on_head(const wire::HttpHead &head) {
    Inside inside(this);
    return request_.answer.on_head(head);
}

bool Hedge::on_body(std::string_view bytes) {
    Inside inside(this);
    return request_.answer.on_body(bytes);
}

bool Hedge::on_pause() {
    Inside inside(this);
    return request_.answer.on_pause();
}

void Hedge::on_end() {
    Inside inside(this);
    request_.answer.on_end();
}

void Hedge::on_broken(Broken why) {
    Inside inside(this);
    request_.answer.on_broken(why);
}

void Hedge::on_stale() {
    Inside inside(this);
    request_.answer.on_stale();
}

void Hedge::on_event(const ir::StreamEvent &event) {
    Inside inside(this);
    request_.answer.on_event(event);
}

void Hedge::on_response(const ir::Response &response) {
    Inside inside(this);
    request_.answer.on_response(response);
}

void Hedge::on_error(const ApiError &error) {
    Inside inside(this);
    static_cast<AnswerSink &>(request_.answer).on_error(error);
}

bool Hedge::wants_more() const {
    return request_.answer.wants_more();
}

}  // namespace llm
