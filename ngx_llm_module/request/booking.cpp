// The ledger's way into the metrics. Every number on the page that speaks of requests, tokens or
// cost is added here and nowhere else.
#include "ngx_llm_module/request/booking.hpp"

#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/state/metrics.hpp"

namespace llm {
namespace {

static_assert(size_t(Outcome::timeout) + 1 == kOutcomes);

constexpr size_t kShownHash = 8;

int64_t micros(ngx_msec_t ms) {
    return int64_t(ms) * 1000;
}

void book_times(const LlmRequest &request, RouteNumbers &numbers) {
    const Ledger &ledger = request.ledger;
    auto note = [&](TimeKind kind, int64_t time) {
        observe(numbers.times[size_t(kind)], kind, time);
    };
    note(TimeKind::duration, micros(ledger.ended - ledger.began));
    note(TimeKind::overhead, int64_t(overhead_ms(request)) * 1000);
    if (ledger.attempts > 0) {
        note(TimeKind::upstream, micros(ledger.upstream_time));
    }
    if (ledger.first_content == 0) {
        return;
    }
    note(TimeKind::first_content, micros(ledger.first_content - ledger.began));
    if (request.is_stream() && ledger.usage.output > 1) {
        note(TimeKind::per_token,
             micros(ledger.ended - ledger.first_content) / (ledger.usage.output - 1));
    }
}

void book_route(const LlmRequest &request) {
    const Ledger &ledger = request.ledger;
    std::string_view model, provider, deployment;
    // A name that leads nowhere is any text that a client thought of.
    if (!request.candidates.empty()) {
        model = request.model;
    }
    if (request.next_candidate > 0) {
        provider = request.candidate().deployment->provider->name;
        deployment = request.candidate().deployment->id;
    }
    RouteRow *row = route_row(model, provider, deployment);
    if (row == nullptr) {
        return;
    }
    RouteNumbers &to = row->numbers;
    add(to.requests[size_t(ledger.outcome)], 1);
    add(to.input, ledger.usage.input);
    add(to.output, ledger.usage.output);
    add(to.cache_read, ledger.usage.cache_read);
    add(to.cache_write, ledger.usage.cache_write);
    add(to.reasoning, ledger.usage.reasoning);
    add(to.cost, ledger.cost);
    add(to.unpriced, ledger.is_unpriced);
    add(to.estimated, ledger.usage.estimated);
    add(to.fallbacks, ledger.fallbacks > 0);
    add(to.attempts, int64_t(ledger.attempts));
    book_times(request, to);
}

void book_key(const LlmRequest &request) {
    const Ledger &ledger = request.ledger;
    const Identity &identity = request.identity;
    std::string_view key, team;
    if (identity.key != nullptr) {
        key = identity.key->alias;
        if (key.empty()) {
            key = std::string_view(identity.key->hash).substr(0, kShownHash);
        }
        team = identity.key->team;
    } else if (identity.is_master) {
        key = "master";
    }
    if (KeyRow *row = key_row(key, team)) {
        KeyNumbers &to = row->numbers;
        add(to.requests[size_t(ledger.outcome)], 1);
        add(to.input, ledger.usage.input);
        add(to.output, ledger.usage.output);
        add(to.cost, ledger.cost);
    }
}

}  // namespace

void book_metrics(const LlmRequest &request) {
    book_route(request);
    book_key(request);
}

void book_refused() {
    if (RouteRow *row = route_row({}, {}, {})) {
        add(row->numbers.requests[size_t(Outcome::refused)], 1);
    }
    if (KeyRow *row = key_row({}, {})) {
        add(row->numbers.requests[size_t(Outcome::refused)], 1);
    }
}

}  // namespace llm
