// Plays an answer by the deployment's script: reply, chunks, interval, delay, status, cut_after.
// The events go the way of every provider's answer, so time-outs, failover and cuts can be
// rehearsed without one.
#include "ngx_llm_module/upstream/mock_attempt.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {
namespace {

// Events that leave in one write when nothing has to wait.
constexpr size_t kBatch = 64;

constexpr std::string_view kReply =
    "Hello! This is the mock provider of ngx_http_llm_module: your request arrived, and no model "
    "was asked.";

std::vector<JsonText> split_words(std::string_view text, Arena &arena) {
    std::vector<JsonText> words;
    while (!text.empty()) {
        size_t end = text.find(' ', 1);
        words.push_back(json::escape(text.substr(0, end), arena));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end);
    }
    return words;
}

}  // namespace

MockAttempt::MockAttempt(LlmRequest &request, const Candidate &candidate, AnswerSink &sink)
    : request_(request),
      candidate_(candidate),
      sink_(sink),
      script_(candidate.deployment->mock),
      timeouts_(request.timeouts()),
      arena_(1024) {
    words_ = split_words(script_.reply.empty() ? kReply : std::string_view(script_.reply), arena_);
    pieces_ = script_.chunks != 0 ? script_.chunks : words_.size();
    id_ = json::escape("mock-" + request.id.substr(4), arena_);
    model_ = json::escape(candidate.upstream_model, arena_);
    usage_.known = true;
    usage_.input = estimate_tokens(request.ledger.request_bytes);
    usage_.output = int64_t(pieces_);
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = request.r->connection->log;
}

MockAttempt::~MockAttempt() {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

// The script's own wait, or the time limit that comes before its end.
void MockAttempt::wait(ngx_msec_t time, ngx_msec_t limit, Broken when_over) {
    is_last_wait_ = time > limit;
    broken_ = when_over;
    ngx_add_timer(&timer_, is_last_wait_ ? limit : time);
}

void MockAttempt::start() {
    ngx_msec_t time = script_.delay;
    if (!request_.is_stream()) {
        time += script_.interval * (pieces_ - 1);
    }
    if (time > 0) {
        wait(time, timeouts_.first_token, Broken::first_token_timeout);
        return;
    }
    play();
}

void MockAttempt::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<MockAttempt *>(ev->data);
    ngx_connection_t *client = self.request_.r->connection;
    ngx_http_set_log_request(client->log, self.request_.r);
    if (self.is_last_wait_) {
        self.is_over_ = true;
        self.sink_.on_broken(self.broken_);
    } else {
        self.play();
    }
    ngx_http_run_posted_requests(client);
}

void MockAttempt::resume() {
    if (!is_over_ && !timer_.timer_set) {
        play();
    }
}

void MockAttempt::finish() {
    is_over_ = true;
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

JsonText MockAttempt::piece(size_t number) const {
    return words_[number % words_.size()];
}

void MockAttempt::send(ir::EventKind kind, JsonText text) {
    ir::StreamEvent event;
    event.kind = kind;
    event.text = text;
    if (kind == ir::EventKind::start) {
        event.id = id_;
        event.name = model_;
        event.created = int64_t(ngx_time());
        event.usage = nullptr;
    }
    if (kind == ir::EventKind::usage) {
        event.usage = &usage_;
    }
    event.native.bytes = "stop";
    sink_.on_event(event);
}

void MockAttempt::play() {
    if (script_.status >= 400) {
        is_over_ = true;
        ApiError error;
        error.status = uint16_t(script_.status);
        error.error_class = class_of_status(error.status);
        error.message.bytes = "the mock provider answers with this error as it was told to";
        request_.ledger.status = script_.status;
        sink_.on_error(error);
        return;
    }
    if (!request_.is_stream()) {
        answer_whole();
        return;
    }
    if (!has_begun_) {
        has_begun_ = true;
        send(ir::EventKind::start);
        send(ir::EventKind::open);
    }
    size_t last = script_.cut_after >= 0 && size_t(script_.cut_after) < pieces_
                      ? size_t(script_.cut_after)
                      : pieces_;
    while (sent_ < last) {
        if (!sink_.wants_more()) {
            return;
        }
        send(ir::EventKind::delta, piece(sent_++));
        bool waits = script_.interval > 0 && sent_ < pieces_;
        if (waits) {
            wait(script_.interval, timeouts_.idle, Broken::idle_timeout);
        }
        if ((waits || sent_ % kBatch == 0) && !sink_.on_pause()) {
            return;
        }
        if (waits) {
            return;
        }
    }
    is_over_ = true;
    if (last < pieces_) {
        if (sink_.on_pause()) {
            sink_.on_broken(Broken::cut);
        }
        return;
    }
    send(ir::EventKind::close);
    send(ir::EventKind::usage);
    send(ir::EventKind::finish);
    send(ir::EventKind::end);
    (void)sink_.on_pause();
}

void MockAttempt::answer_whole() {
    is_over_ = true;
    if (script_.cut_after >= 0 && size_t(script_.cut_after) < pieces_) {
        sink_.on_broken(Broken::cut);
        return;
    }
    std::string text;
    for (size_t i = 0; i < pieces_; i++) {
        text.append(piece(i).bytes);
    }
    ir::Response response;
    response.id = id_;
    response.model = model_;
    response.created = int64_t(ngx_time());
    response.usage = usage_;
    ir::Choice &choice = response.choices.emplace_back();
    choice.native_finish.bytes = "stop";
    choice.parts.push_back({ir::Text{JsonText{arena_.copy(text)}, {}, {}}});
    sink_.on_response(response);
}

}  // namespace llm
