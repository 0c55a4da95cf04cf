// A body that came whole, or an error's: what it becomes for the client (entries: end_error,
// end_whole, on_response). Part of Answer, see answer.hpp.
#include "ngx_llm_module/request/kept_answers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/stream/answer.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/pricing/delivered.hpp"

namespace llm {

void Answer::end_error() {
    Arena arena;
    size_t size = whole_.size();
    whole_.pad(json::kPadding);
    std::string_view body = whole_.view().substr(0, size);
    Result<json::Value> root = worker().parse(body);
    ApiError error = read_error(status_, root ? *root : json::Value(), body, arena);
    fail(error);
}

void Answer::end_whole() {
    size_t size = whole_.size();
    whole_.pad(json::kPadding);
    std::string_view body = whole_.view().substr(0, size);
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<json::Value> root = worker().parse(body, limits);
    if (!root || !root->is_object()) {
        fail(ErrorClass::upstream_protocol, "the provider's answer is not JSON");
        return;
    }
    if (request_.is_count()) {
        end_count(*root, size);
        return;
    }
    if (request_.is_kept() || request_.is_other()) {
        request_.is_kept() ? end_kept(*root, size) : end_other(*root, size);
        return;
    }
    for (json::Value holder : {*root, (*root)["usage"]}) {  // of OpenAI, of Anthropic
        if (json::Value tier = holder["service_tier"]; tier.is_string()) {
            request_.ledger.service_tier = service_tier(tier.text().bytes);
        }
    }
    Arena arena;
    const Dialect &from = request_.provider_dialect();
    bool is_same = &from == request_.client;
    Usage usage;
    JsonText model, finish;
    if (is_same && !from.observe_response(*root, usage, model, finish)) {
        fail_unread(*root, body);
        return;
    }
    if (is_same && !request_.is_stream()) {
        request_.ledger.usage = usage;
        request_.ledger.upstream_model = model.bytes;
        request_.ledger.finish_reason = finish.bytes;
        if (renames_answer(request_)) {
            end_kept(*root, size);
            return;
        }
        whole_.truncate(size);
        reply(std::move(whole_));
        return;
    }
    if (from.parse_response == nullptr) {
        fail(ErrorClass::upstream_protocol,
             "the provider sent one body where a stream was asked for");
        return;
    }
    ir::Response response;
    if (Status parsed = from.parse_response(*root, arena, response); !parsed) {
        fail_unread(*root, body);
        return;
    }
    on_response(response);
}

// A body that is no answer of the provider's dialect: an error in the clothes of a success?
void Answer::fail_unread(json::Value root, std::string_view body) {
    if (!root.find("error").is_unset()) {
        Arena arena;
        fail(read_error(0, root, body, arena));
        return;
    }
    fail(ErrorClass::upstream_protocol, "the provider's answer is not understood");
}

// An answer that the provider keeps, or what became of one: its names are the client's from here.
void Answer::end_kept(json::Value root, size_t size) {
    ByteBuffer out;
    out.reserve(size + 128);
    llm::append_renamed(request_, whole_.view().substr(0, size), root["id"].text().bytes,
                        root["previous_response_id"].text().bytes, out);
    reply(std::move(out));
}

// An answer of an endpoint that is not translated.
void Answer::end_other(json::Value root, size_t size) {
    if (root["error"].size() > 0 && !root["error"].is_array()) {
        fail_unread(root, whole_.view().substr(0, size));
        return;
    }
    (void)read_other_usage(root, request_.ledger.usage);
    count_given(root, request_.ledger.units);
    request_.ledger.upstream_model = root["model"].text().bytes;
    whole_.truncate(size);
    reply(std::move(whole_));
}

// The provider's own count of a request's tokens.
void Answer::end_count(json::Value root, size_t size) {
    const Dialect &from = request_.provider_dialect();
    std::optional<int64_t> tokens = from.parse_count(root);
    if (!tokens) {
        fail(ErrorClass::upstream_protocol, "the provider's count is not understood");
        return;
    }
    if (&from == request_.client && request_.speech().carrier != Carrier::bedrock) {
        whole_.truncate(size);
        reply(std::move(whole_));
        return;
    }
    ByteBuffer out;
    json::Writer writer(out);
    request_.client->render_counted(*tokens, writer);
    reply(std::move(out));
}

// A whole answer in the IR: from a provider of another dialect, or made here.
void Answer::on_response(const ir::Response &response) {
    if (request_.is_stream()) {
        replay_as_stream(response);
        return;
    }
    Ledger &ledger = request_.ledger;
    ledger.usage = response.usage;
    ledger.upstream_model = response.model.bytes;
    ledger.finish_reason = response.choices[0].native_finish.bytes;
    Arena arena;
    ByteBuffer out;
    out.reserve(whole_.size() + 512);  // about what the other dialect will need
    json::Writer writer(out);
    request_.client->render_response(response, client_view(request_), arena, writer);
    reply(std::move(out));
}

void Answer::reply(ByteBuffer body) {
    win_race(request_);
    request_.ledger.first_content = ngx_current_msec;
    request_.ledger.outcome = Outcome::ok;
    is_committed_ = true;
    if (!request_.ledger.usage.known && has_countable_text(request_)) {
        bool is_output_told = request_.ledger.usage.output > 0;
        estimate_usage(request_, request_.is_other() ? 0 : content_length(body.view()),
                       is_output_told);
    }
    add_usage(request_.ledger.usage, request_.ledger.earlier);
    request_.attempt->finish();
    note_served(request_, false);
    note_served(request_, true);
    request_.downstream.send_whole(NGX_HTTP_OK, "application/json", std::move(body));
}

// The client asked for a stream and the provider gave one body.
void Answer::replay_as_stream(const ir::Response &response) {
    struct Events final : ir::EventSink {
        explicit Events(Relay &to) : relay(to) {}
        void on_event(const ir::StreamEvent &event) override { relay.event(event); }
        Relay &relay;
    };
    mode_ = Mode::stream;
    if (recoverable_ != nullptr) {
        recoverable_->begin_again(nullptr, is_continued_);
        is_counted_ = false;
    } else {
        relay_ = make_translating_relay(nullptr, *request_.client, client_view(request_));
    }
    Events events(*relay_);
    ir::replay(response, events);
    relay_->finish();
    (void)deliver();
}

}  // namespace llm
