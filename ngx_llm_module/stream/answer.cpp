// From the provider's answer to the client's (AnswerSink). A function that returns false, or one
// of the void ones, may have ended the request: callers return at once. Bodies that come whole are
// in answer_whole.cpp.
#include "ngx_llm_module/stream/answer.hpp"

#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/kept_answers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/pricing/delivered.hpp"

namespace llm {
namespace {

constexpr size_t kMaxErrorBody = 64 * 1024;
// A length that is believed before the bytes come.
constexpr off_t kMaxExpected = 1024 * 1024;
// Events without content that may come before the first content.
constexpr size_t kMaxHeld = 1024 * 1024;

bool is_type(std::string_view content_type, std::string_view wanted) {
    return wire::same_name(content_type.substr(0, wanted.size()), wanted);
}

ApiError plain_error(ErrorClass error_class, std::string_view what) {
    ApiError error;
    error.error_class = error_class;
    error.message.bytes = what;
    return error;
}

}  // namespace

void Answer::reset() {
    if (!is_committed_) {
        relay_.reset();
        recoverable_ = nullptr;
    }
    is_continued_ = false;
    inflate_.reset();
    invoke_.reset();
    unread_usage_.reset();
    whole_.clear();
    request_.ledger.service_tier = ServiceTier::standard;
    status_ = 0;
    mode_ = Mode::head;
    is_ended_ = false;
}

// What a stream of the current provider calls itself.
std::string_view Answer::stream_type() const {
    const Speech &speech = request_.speech();
    return speech.carrier == Carrier::bedrock ? "application/vnd.amazon.eventstream"
                                              : speech.dialect->stream_type;
}

void Answer::append_renamed(std::string_view text, std::string_view id, std::string_view previous,
                            ByteBuffer &out) {
    llm::append_renamed(request_, text, id, previous, out);
}

bool Answer::is_recoverable() const {
    ngx_uint_t recover = request_.recover_mode();
    return request_.is_stream() && recover != kRecoverOff && !request_.envelope.is_structured &&
           !renames_answer(request_) &&
           !(recover == kRecoverContinue && request_.envelope.has_tools);
}

void Answer::start_relay() {
    mode_ = Mode::stream;
    bool is_mock = request_.candidate().deployment->provider->is_mock();
    const Dialect &from = request_.provider_dialect();
    if (recoverable_ != nullptr) {
        recoverable_->begin_again(is_mock ? nullptr : from.make_decoder(), is_continued_);
        is_counted_ = false;
        return;
    }
    ClientView view = client_view(request_);
    bool can_translate = is_mock || from.is_provider();
    if (can_translate && is_recoverable()) {
        auto relay = std::make_unique<RecoverableRelay>(is_mock ? nullptr : from.make_decoder(),
                                                        request_.client->make_encoder(view));
        recoverable_ = relay.get();
        relay_ = std::move(relay);
    } else if (&from == request_.client && !is_mock) {
        relay_ = make_pass_relay(from, view, renames_answer(request_) ? this : nullptr);
    } else {
        relay_ = make_translating_relay(is_mock ? nullptr : &from, *request_.client, view);
    }
}

// What comes goes on as it is.
bool Answer::start_raw(const wire::HttpHead &head) {
    mode_ = Mode::raw;
    is_committed_ = true;
    keep_deadline(request_);
    unread_usage_ =
        std::make_unique<UnreadUsage>(request_.raw_path.ends_with("/invoke-with-response-stream"));
    if (is_type(head.find("content-type"), "text/event-stream") &&
        head.find("content-length").empty() && head.find("content-encoding").empty()) {
        raw_events_.begin();
    }
    if (!commit_raw(request_, head)) {
        return false;
    }
    request_.attempt->on_first_content();
    return true;
}

bool Answer::on_head(const wire::HttpHead &head) {
    status_ = head.status();
    request_.ledger.status = status_;
    note_provider_headers(request_, head);
    if (request_.is_raw) {
        return start_raw(head);
    }
    std::string_view coding = head.find("content-encoding");
    if (wire::same_name(coding, "gzip") || wire::same_name(coding, "deflate")) {
        inflate_ = std::make_unique<Inflate>();
    } else if (!coding.empty() && !wire::same_name(coding, "identity")) {
        fail(ErrorClass::upstream_protocol, "unknown compression of the provider");
        return false;
    }
    if (status_ < 200 || status_ > 299) {
        mode_ = Mode::error;
        return true;
    }
    if (request_.is_other() && !is_type(head.find("content-type"), "application/json")) {
        return start_raw(head);  // sound, text, a stream
    }
    if (request_.is_stream() && !request_.is_other() &&
        is_type(head.find("content-type"), stream_type())) {
        if (request_.speech().carrier == Carrier::bedrock) {
            invoke_ = std::make_unique<anthropic::InvokeStream>();
        }
        if (recoverable_ != nullptr && !request_.provider_dialect().is_provider()) {
            fail(ErrorClass::upstream_protocol, "the provider's stream cannot be put to the other");
            return false;
        }
        start_relay();
        return true;
    }
    mode_ = Mode::whole;
    std::string_view length = head.find("content-length");
    off_t expected = ngx_atoof((u_char *)length.data(), length.size());
    if (expected > 0 && expected <= kMaxExpected) {
        whole_.reserve(size_t(expected) + json::kPadding);
    }
    return true;
}

bool Answer::on_body(std::string_view bytes) {
    if (inflate_ == nullptr) {
        return take(bytes);
    }
    inflate_->feed(bytes);
    for (;;) {
        Result<std::string_view> piece = inflate_->next();
        if (!piece) {
            fail(ErrorClass::upstream_protocol, piece.error().what);
            return false;
        }
        if (piece->empty()) {
            return true;
        }
        if (!take(*piece)) {
            return false;
        }
    }
}

bool Answer::take(std::string_view bytes) {
    switch (mode_) {
        case Mode::stream:
            if (invoke_ != nullptr) {
                unwrapped_.clear();
                invoke_->feed(bytes, unwrapped_);
                bytes = unwrapped_.view();
            }
            if (std::string_view tier = find_service_tier(bytes); !tier.empty()) {
                request_.ledger.service_tier = service_tier(tier);
            }
            relay_->feed(bytes);
            return true;
        case Mode::raw:
            unread_usage_->feed(bytes);
            raw_events_.feed(bytes);
            raw_.append(bytes);
            return true;
        case Mode::error:
            whole_.append(bytes.substr(0, kMaxErrorBody - whole_.size()));
            if (whole_.size() == kMaxErrorBody) {
                end_error();
                return false;
            }
            return true;
        case Mode::whole:
            if (bytes.size() > request_.loc.max_body - whole_.size()) {
                fail(ErrorClass::upstream_protocol, "the provider's answer is too large");
                return false;
            }
            whole_.append(bytes);
            return true;
        case Mode::head:
            break;
    }
    return true;
}

bool Answer::on_pause() {
    if (mode_ == Mode::stream) {
        return deliver();
    }
    return mode_ != Mode::raw || request_.downstream.write(raw_, false);
}

// The first content, the end, or a failure may have come.
bool Answer::deliver() {
    if (const ApiError *failure = relay_->failure()) {
        fail(*failure);
        return false;
    }
    if (!is_committed_) {
        if (!relay_->has_content() && !relay_->is_complete()) {
            if (relay_->out().size() > kMaxHeld) {
                fail(ErrorClass::upstream_protocol, "the provider sends no content");
                return false;
            }
            return true;
        }
        if (!commit()) {
            return false;
        }
    }
    if (is_waiting_ && recoverable_->is_alive()) {
        is_waiting_ = false;
        request_.attempt->on_first_content();
    }
    bool is_last = relay_->is_complete();
    if (is_last) {
        request_.attempt->finish();
        record();
        note_served(request_, true);
    } else if (!request_.limits.may_go_on(relay_->content_bytes())) {
        // The provider has done nothing wrong, and none is asked to go on.
        end_broken(plain_error(ErrorClass::rate_limit, "a limit has run out"));
        return false;
    }
    return request_.downstream.write(relay_->out(), is_last) && !is_last;
}

bool Answer::commit() {
    win_race(request_);
    is_committed_ = true;
    keep_deadline(request_);
    request_.ledger.first_content = ngx_current_msec;
    note_served(request_, false);
    if (!request_.downstream.begin_stream()) {
        return false;
    }
    if (recoverable_ == nullptr) {
        // No other attempt will need the request any more.
        request_.body.release();
        request_.ir.reset();
    }
    request_.attempt->on_first_content();
    return true;
}

void Answer::on_event(const ir::StreamEvent &event) {
    if (mode_ == Mode::head) {
        start_relay();
    }
    relay_->event(event);
}

bool Answer::wants_more() const {
    return !request_.downstream.is_blocked();
}

void Answer::on_end() {
    is_ended_ = true;
    switch (mode_) {
        case Mode::stream:
            relay_->finish();
            (void)deliver();
            return;
        case Mode::raw:
            record();
            request_.attempt->finish();
            (void)request_.downstream.write(raw_, true);
            return;
        case Mode::error:
            request_.attempt->finish();  // read to its end: the connection is good
            end_error();
            return;
        case Mode::whole:
            end_whole();
            return;
        case Mode::head:
            fail(ErrorClass::upstream, "the provider closed the connection without an answer");
            return;
    }
}

void Answer::on_broken(Broken why) {
    is_ended_ = true;
    if (mode_ == Mode::error) {
        end_error();  // its status says enough
        return;
    }
    if (mode_ == Mode::stream && (why == Broken::closed || why == Broken::cut)) {
        relay_->finish();  // all that matters may have come before
        (void)deliver();
        return;
    }
    fail(why);
}

void Answer::on_stale() {
    reset();
    retry_on_new_connection(request_);
}

void Answer::on_deadline() {
    fail(Broken::call_timeout);
}

void Answer::fail(Broken why) {
    fail(plain_error(class_of(why), describe(why)), failure_of(why));
}

void Answer::fail(ErrorClass error_class, std::string_view what, uint16_t status) {
    ApiError error = plain_error(error_class, what);
    error.status = status;
    fail(error);
}

// Before the commit point: another attempt, or the error as a reply. After it: an error event is
// the last thing that the client sees.
void Answer::fail(const ApiError &error, std::optional<Failure> known) {
    request_.ledger.error = spelling(error.error_class).name;
    Failure failure = known.value_or(failure_of(error.error_class));
    if (!is_committed_) {
        try_next(request_, error, failure);
        return;
    }
    if (!recover(error, failure)) {
        note_broken(request_, failure);
        end_broken(is_broken_ ? break_ : error);
    }
}

void Answer::end_broken(const ApiError &error) {
    record();
    request_.ledger.error = spelling(error.error_class).name;
    request_.ledger.outcome =
        error.error_class == ErrorClass::timeout ? Outcome::timeout : Outcome::cut;
    end_attempt(request_);
    if (mode_ == Mode::raw) {
        request_.downstream.cut();  // for the client as it was cut for us
        return;
    }
    ngx_log_error(NGX_LOG_ERR, request_.r->connection->log, 0, "llm: stream of %s broke, %*s",
                  request_.candidate().deployment->id.c_str(), request_.ledger.error.size(),
                  request_.ledger.error.data());
    relay_->append_error(error);
    (void)request_.downstream.write(relay_->out(), true);
}

// The client learns nothing but that something is missing.
void Answer::cut() {
    record();
    if (!is_complete()) {
        request_.ledger.error = spelling(ErrorClass::stream_truncated).name;
        request_.ledger.outcome = Outcome::cut;
    }
    end_attempt(request_);
    request_.downstream.cut();
}

void Answer::end_at_shutdown() {
    bool is_raw = mode_ == Mode::raw;
    if (is_complete() || request_.downstream.is_blocked() ||
        (is_raw && !raw_events_.can_be_ended())) {
        cut();
        return;
    }
    ApiError error =
        is_broken_ ? break_
                   : plain_error(ErrorClass::stream_truncated, "the gateway is shutting down");
    if (!is_raw) {
        end_broken(error);
        return;
    }
    record();
    request_.ledger.error = spelling(error.error_class).name;
    request_.ledger.outcome = Outcome::cut;
    end_attempt(request_);
    request_.client->render_error_frame(error, raw_);
    (void)request_.downstream.write(raw_, true);
}

// True: another attempt is under way, or the request has ended.
bool Answer::recover(const ApiError &error, Failure failure) {
    if (recoverable_ == nullptr) {
        return false;
    }
    if (is_continued_ && !recoverable_->is_alive() &&
        (failure == Failure::bad_request || failure == Failure::unsupported)) {
        is_refused_ = true;  // the same deployment, from the start
        repeat_attempt(request_);
        return true;
    }
    if (!recoverable_->can_recover() || !rule_of(failure).elsewhere) {
        return false;
    }
    if (!is_broken_) {
        is_broken_ = true;
        break_ = error;
        break_text_ = error.message.bytes;
        break_code_ = error.code.bytes;
        break_.message.bytes = break_text_;
        break_.code.bytes = break_code_;
        break_.param = {};
    }
    if (!is_counted_) {
        record();
        count_earlier(request_);
        is_counted_ = true;
    }
    if (!request_.downstream.write(relay_->out(), false)) {
        return true;
    }
    is_waiting_ = true;
    is_refused_ = false;
    try_next(request_, break_, failure);
    return true;
}

void Answer::give_up() {
    end_broken(break_);
}

std::string_view Answer::prefill(const Dialect &dialect, const ModelTraits &traits) {
    // Of a few words the beginning of another answer could not be told from their continuation.
    constexpr size_t kLeast = 16;
    is_continued_ = is_broken_ && !is_refused_ && recoverable_->sent().size() >= kLeast &&
                    request_.recover_mode() == kRecoverContinue && traits.prefill &&
                    dialect.id == DialectId::anthropic;
    return is_continued_ ? recoverable_->sent() : std::string_view();
}

void Answer::on_drained(bool has_ended) {
    if (mode_ == Mode::raw) {
        if (!request_.downstream.write(raw_, has_ended)) {
            return;
        }
    } else if (!request_.downstream.write(relay_->out(), has_ended)) {
        return;
    }
    if (request_.attempt != nullptr && wants_more()) {
        request_.attempt->resume();
    }
}

void Answer::send_ping() {
    // While another answer is looked for, that of the relay has failed.
    if (relay_ == nullptr || relay_->is_complete() ||
        (relay_->failure() != nullptr && !is_waiting_)) {
        return;
    }
    relay_->append_ping();
    (void)request_.downstream.write(relay_->out(), false);
}

void Answer::record_lost() {
    if (mode_ == Mode::error) {
        return;
    }
    Ledger &ledger = request_.ledger;
    Usage usage = ledger.usage;
    std::string model = std::move(ledger.upstream_model);
    bool has_events = relay_ != nullptr;
    ledger.usage = has_events ? relay_->usage() : Usage();
    ledger.upstream_model = has_events ? relay_->upstream_model() : "";
    estimate_usage(request_, has_events ? relay_->content_bytes() : 0, false);
    add_usage(ledger.usage, ledger.earlier);
    count_earlier(request_);
    ledger.usage = usage;
    ledger.upstream_model = std::move(model);
}

void Answer::record() {
    Ledger &ledger = request_.ledger;
    if (is_counted_) {
        ledger.usage = ledger.earlier;
    } else if (relay_ != nullptr) {
        ledger.usage = relay_->usage();
        ledger.upstream_model = relay_->upstream_model();
        ledger.finish_reason = relay_->finish_reason();
        if (relay_->is_complete()) {
            ledger.outcome = Outcome::ok;
        }
        if (relay_->is_complete() ? !ledger.usage.known : relay_->has_content()) {
            estimate_usage(request_, relay_->content_bytes(), relay_->is_usage_current());
        }
        add_usage(ledger.usage, ledger.earlier);
    } else if (mode_ == Mode::raw) {
        ledger.usage = unread_usage_->usage();
        ledger.upstream_model = unread_usage_->model();
        if (!ledger.usage.known && status_ < NGX_HTTP_SPECIAL_RESPONSE &&
            has_countable_text(request_)) {
            estimate_usage(request_, 0, true);
        }
        if (is_ended_ && ledger.outcome == Outcome::none) {
            ledger.outcome = status_ < 400 ? Outcome::ok : Outcome::upstream_error;
        }
        if (status_ >= 400) {
            ledger.error = spelling(class_of_status(status_)).name;
        }
    }
}

}  // namespace llm
