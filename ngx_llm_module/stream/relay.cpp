// The two relays of streamed answers. Nothing here allocates per event: decoder, encoder and the
// output buffer keep their memory.
#include "ngx_llm_module/stream/relay.hpp"

#include "ngx_llm_module/stream/translating_relay.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/pricing/delivered.hpp"
#include "translators/wire/json_array.hpp"

namespace llm {

void Relay::fail(const ApiError &error) {
    if (has_failed_ || is_complete_) {
        return;
    }
    has_failed_ = true;
    failure_ = error;
    failure_text_ = error.message.bytes;
    failure_code_ = error.code.bytes;
    failure_.message.bytes = failure_text_;
    failure_.code.bytes = failure_code_;
    failure_.param = {};
}

void Relay::fail(ErrorClass error_class, std::string_view plain) {
    ApiError error;
    error.error_class = error_class;
    error.message.bytes = plain;
    fail(error);
}

void TranslatingRelay::finish() {
    if (decoder_ != nullptr && !is_complete() && failure() == nullptr) {
        decoder_->finish(*this);
    }
    if (!is_complete()) {
        fail(ErrorClass::stream_truncated, "the provider's stream ended early");
    }
}

void TranslatingRelay::on_event(const ir::StreamEvent &event) {
    if (!is_complete() && failure() == nullptr) {
        pass(event);
    }
}

void TranslatingRelay::pass(const ir::StreamEvent &event) {
    tap(event);
    if (event.kind == ir::EventKind::error) {
        ApiError error;
        error.error_class = event.error_class;
        error.message = event.text;
        error.code = event.name;
        fail(error);
        return;
    }
    encoder_->event(event, out_);
}

void TranslatingRelay::use_decoder(std::unique_ptr<Decoder> decoder) {
    decoder_ = std::move(decoder);
    usage_ = Usage();
    content_bytes_ = 0;
    first_output_ = 0;
    forget_failure();
}

void TranslatingRelay::tap(const ir::StreamEvent &event) {
    bool had_content = has_content_;
    switch (event.kind) {
        case ir::EventKind::start:
            model_ = event.name.bytes;
            break;
        case ir::EventKind::delta:
        case ir::EventKind::signature:
            has_content_ = has_content_ || !event.text.empty();
            if (event.kind == ir::EventKind::delta) {
                content_bytes_ += event.text.bytes.size();
            }
            break;
        case ir::EventKind::open:
            has_content_ = has_content_ || event.block_kind == ir::BlockKind::tool ||
                           event.block_kind == ir::BlockKind::image ||
                           event.block_kind == ir::BlockKind::opaque;
            break;
        case ir::EventKind::redacted:
            has_content_ = true;
            break;
        case ir::EventKind::finish:
            finish_reason_ = event.native.bytes;
            break;
        case ir::EventKind::end:
            is_complete_ = true;
            break;
        case ir::EventKind::usage:
        case ir::EventKind::cite:
        case ir::EventKind::close:
        case ir::EventKind::logprobs:
        case ir::EventKind::error:
        case ir::EventKind::ping:
            break;
    }
    if (event.usage != nullptr) {
        usage_ = *event.usage;
    }
    if (!had_content) {
        first_output_ = usage_.output;
    }
}

namespace {

class PassRelay final : public Relay, private wire::SseHandler {
  public:
    PassRelay(const Dialect &dialect, std::unique_ptr<Observer> observer, AnswerNames *names,
              bool is_array)
        : dialect_(dialect), observer_(std::move(observer)), names_(names), is_array_(is_array) {}

    void feed(std::string_view bytes) override {
        if (is_complete() || failure() != nullptr) {
            return;
        }
        if (!splitter_.feed(bytes, *this)) {
            fail(ErrorClass::upstream_protocol, "an event of the provider is too large");
        }
    }

    void finish() override {
        if (is_complete() || failure() != nullptr) {
            return;
        }
        is_at_end_ = true;
        (void)splitter_.finish(*this);
        if (is_complete() || failure() != nullptr) {
            return;
        }
        if (observer_->finish(out_)) {
            complete();
        } else {
            fail(ErrorClass::stream_truncated, "the provider's stream ended early");
        }
    }

    void append_error(const ApiError &error) override {
        // The provider's own error event went out as it came.
        if (is_array_) {
            if (!has_sent_error_) {
                ByteBuffer object;
                json::Writer writer(object);
                (void)dialect_.render_error(error, {}, writer);
                array_.element(object.view(), out_);
            }
            array_.finish(out_);
        } else if (!has_sent_error_) {
            append_error_frame(error);
        }
    }

    void append_ping() override {
        if (is_array_) {
            array_.ping(out_);
        } else {
            out_.append(dialect_.ping_frame);
        }
    }
    const Usage &usage() const override { return observer_->usage(); }
    std::string_view upstream_model() const override { return observer_->model(); }
    std::string_view finish_reason() const override { return observer_->finish_reason(); }
    uint64_t content_bytes() const override { return delivered_.bytes(); }

  private:
    void append_error_frame(const ApiError &error) {
        if (dialect_.render_error_behind != nullptr) {
            dialect_.render_error_behind(error, events_, out_);
        } else {
            dialect_.render_error_frame(error, out_);
        }
    }

    Status on_sse(const wire::SseEvent &event) override {
        if (is_complete() || failure() != nullptr) {
            return {};
        }
        if (is_at_end_ && !is_whole(event)) {
            return {};
        }
        Observation seen = observer_->on_frame(event);
        events_ += event.has_data ? 1 : 0;
        if (seen.is_error) {
            if (has_content_) {
                append(event, seen);
                has_sent_error_ = true;
            }
            fail(observer_->error());
            return {};
        }
        if (!has_content_) {
            first_output_ = observer_->usage().output;
            has_content_ = seen.is_content;
        }
        if (has_content_) {
            delivered_.add(event.data);
        }
        if (!seen.hide) {
            append(event, seen);
        }
        if (seen.is_end) {
            complete();
        }
        return {};
    }

    // The event's own bytes; what it holds, where the client reads an array.
    void append(const wire::SseEvent &event, const Observation &seen) {
        if (names_ != nullptr && (!seen.id.empty() || !seen.previous_id.empty())) {
            append_renamed(event, seen);
            return;
        }
        if (is_array_) {
            if (event.has_data) {
                array_.element(event.data, out_);
            }
            return;
        }
        out_.append(event.raw);
        if (is_at_end_ && !event.raw.ends_with("\r\r")) {
            out_.append("\n\n");
        }
    }

    // Data in several lines was put together elsewhere: such an event is written anew.
    void append_renamed(const wire::SseEvent &event, const Observation &seen) {
        std::string_view inner = seen.id.empty() ? seen.previous_id : seen.id;
        bool is_in_raw = std::less_equal<>()(event.raw.data(), inner.data()) &&
                         std::less<>()(inner.data(), event.raw.data() + event.raw.size());
        if (is_in_raw) {
            names_->append_renamed(event.raw, seen.id, seen.previous_id, out_);
        } else {
            if (!event.name.empty()) {
                out_.append("event: ");
                out_.append(event.name);
                out_.append("\n");
            }
            ByteBuffer renamed;
            names_->append_renamed(event.data, seen.id, seen.previous_id, renamed);
            for (std::string_view data = renamed.view(); !data.empty();) {
                std::string_view line = data.substr(0, data.find('\n'));
                data.remove_prefix(line.size() == data.size() ? line.size() : line.size() + 1);
                out_.append("data: ");
                out_.append(line);
                out_.append("\n");
            }
            out_.append("\n");
        }
        if (is_at_end_ && is_in_raw) {
            out_.append("\n\n");
        }
    }

    void complete() {
        is_complete_ = true;
        if (is_array_) {
            array_.finish(out_);
        }
    }

    // The last event has no blank line behind it: half an event, or only a careless server?
    static bool is_whole(const wire::SseEvent &event) {
        return event.has_data &&
               (event.data.starts_with("[DONE]") || worker().parse_unpadded(event.data));
    }

    const Dialect &dialect_;
    std::unique_ptr<Observer> observer_;
    AnswerNames *const names_;
    DeliveredText delivered_;
    wire::SseSplitter splitter_;
    wire::JsonArrayFraming array_;
    const bool is_array_;
    int64_t events_ = 0;
    bool is_at_end_ = false;
    bool has_sent_error_ = false;
};

}  // namespace

std::unique_ptr<Relay> make_translating_relay(const Dialect *provider, const Dialect &client,
                                              const ClientView &view) {
    return std::make_unique<TranslatingRelay>(
        provider != nullptr ? provider->make_decoder() : nullptr, client.make_encoder(view));
}

std::unique_ptr<Relay> make_pass_relay(const Dialect &dialect, const ClientView &view,
                                       AnswerNames *names) {
    ObserverOptions options{.hide_usage = !view.usage_wanted, .ids = names != nullptr};
    return std::make_unique<PassRelay>(dialect, dialect.make_observer(options), names,
                                       view.json_array);
}

}  // namespace llm
