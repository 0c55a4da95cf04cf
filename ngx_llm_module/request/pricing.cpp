// Cost of a request. Entry points: book_cost (settle, and the headers of whole answers),
// drop_unpriced (planning), estimate_usage (answers that were cut).
#include "ngx_llm_module/request/pricing.hpp"

#include <algorithm>

#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

constexpr size_t kMostShown = 128;  // of a name, in the log

enum class Unpriced : uint8_t { counted, refused };

void warn_unpriced(const LlmRequest &request, const Candidate &candidate, Unpriced what) {
    const std::string &provider = candidate.deployment->provider->name;
    bool is_refused = what == Unpriced::refused;
    if (!worker().is_first_unpriced((is_refused ? "refused " : "") + provider + "/" +
                                    candidate.upstream_model)) {
        return;
    }
    // Of a deployment with a wildcard the client says what the model is called.
    ByteBuffer model;
    json::append_escaped(std::string_view(candidate.upstream_model).substr(0, kMostShown), model);
    ngx_str_t shown = str(model.view());
    if (is_refused) {
        ngx_log_error(NGX_LOG_WARN, request.r->connection->log, 0,
                      "llm: the price of %s/%V is not known, it is not asked", provider.c_str(),
                      &shown);
        return;
    }
    bool is_length = request.ledger.units.audio_ms == kUnknownLength;
    ngx_log_error(NGX_LOG_WARN, request.r->connection->log, 0,
                  "llm: the %s of %s/%V is not known, its requests count as 0%s",
                  is_length ? "length of a recording" : "price", provider.c_str(), &shown,
                  is_length ? "" : " (llm_prices, input_cost=)");
}

}  // namespace

Price price_of(const LlmRequest &request, const Candidate &candidate) {
    const Deployment &deployment = *candidate.deployment;
    if (!deployment.is_wildcard()) {
        return deployment.price;  // found when the configuration was read
    }
    return worker().price(request.config, deployment, candidate.upstream_model);
}

namespace {

constexpr int64_t Usage::*kCounts[] = {
    &Usage::input,          &Usage::cache_read,     &Usage::cache_write,
    &Usage::cache_write_5m, &Usage::cache_write_1h, &Usage::output,
    &Usage::reasoning,      &Usage::audio_in,       &Usage::audio_out};

// At the price of the current deployment.
int64_t cost_of_attempt(LlmRequest &request) {
    Ledger &ledger = request.ledger;
    const Candidate &candidate = request.candidate();
    Price price = price_of(request, candidate);
    if (!price.is_known() && !ledger.upstream_model.empty()) {
        // A name of the operator's own, such as a deployment at Azure: the answer tells the model.
        price = worker().price(request.config, *candidate.deployment, ledger.upstream_model);
    }
    if (!price.is_known()) {
        ledger.is_unpriced = true;
        warn_unpriced(request, candidate, Unpriced::counted);
        return 0;
    }
    Usage own = ledger.usage;
    for (int64_t Usage::*count : kCounts) {
        own.*count -= ledger.earlier.*count;
    }
    return cost_of(own, price, ledger.service_tier) +
           cost_of_units(price, PriceKind::query, ledger.units.queries);
}

int64_t adjusted(const LlmRequest &request, int64_t cost) {
    return adjusted_cost(cost, request.candidate().deployment->provider->cost_factor);
}

// Images, speech and rankings of which the answer told no tokens. Prices of images may depend on
// what was asked for: "hd/1024-x-1024/dall-e-3".
int64_t cost_of_request_units(LlmRequest &request) {
    const Units &units = request.ledger.units;
    const Candidate &candidate = request.candidate();
    std::string name(candidate.upstream_model);
    Price plain = price_of(request, candidate);
    if (units.images > 0) {
        for (const std::string &kind : {units.quality + "/" + units.image_size, units.image_size}) {
            Price price = worker().price(request.config, *candidate.deployment, kind + "/" + name);
            if (price.items.data() != plain.items.data() && cost_of(units, price) >= 0) {
                return cost_of(units, price);
            }
        }
    }
    return cost_of(units, plain);
}

// Of an answer that told no tokens: by what else was asked for, or by an estimate of the text.
// Nothing: a file, a list, which has no price.
int64_t cost_of_untold(LlmRequest &request) {
    Ledger &ledger = request.ledger;
    if (ledger.status >= NGX_HTTP_SPECIAL_RESPONSE) {
        return 0;
    }
    int64_t cost = ledger.units.any() ? cost_of_request_units(request) : -1;
    if (cost >= 0) {
        ledger.units.are_booked = true;
        return cost;
    }
    if (ledger.usage.estimated) {
        return cost_of_attempt(request);
    }
    if (ledger.units.any()) {
        ledger.is_unpriced = true;
        warn_unpriced(request, request.candidate(), Unpriced::counted);
    }
    return 0;
}

}  // namespace

void book_cost(LlmRequest &request) {
    Ledger &ledger = request.ledger;
    if (ledger.is_booked || request.next_candidate == 0 || request.is_count() ||
        request.is_kept()) {
        return;
    }
    ledger.is_booked = true;
    if (!request.answer.is_committed() || request.answer.is_counted()) {
        ledger.list_cost = ledger.earlier_list_cost;
        ledger.cost = ledger.earlier_cost;
        ledger.usage = ledger.earlier;
        return;  // by the present attempt nothing was delivered, or it has been counted
    }
    bool is_untold = (request.is_raw || request.is_other()) && !ledger.usage.known;
    int64_t cost = is_untold ? cost_of_untold(request) : cost_of_attempt(request);
    ledger.list_cost = ledger.earlier_list_cost + cost;
    ledger.cost = ledger.earlier_cost + adjusted(request, cost);
}

void count_earlier(LlmRequest &request) {
    Ledger &ledger = request.ledger;
    int64_t cost = cost_of_attempt(request);
    ledger.earlier_list_cost += cost;
    ledger.earlier_cost += adjusted(request, cost);
    request.limits.add_used(request.next_candidate - 1,
                            {ledger.usage.input - ledger.earlier.input,
                             ledger.usage.output - ledger.earlier.output, adjusted(request, cost)});
    ledger.earlier = ledger.usage;
}

void add_usage(Usage &to, const Usage &more) {
    for (int64_t Usage::*count : kCounts) {
        to.*count += more.*count;
    }
    to.known = to.known || more.known;
    to.estimated = to.estimated || more.estimated;
}

void drop_unpriced(const LlmRequest &request, std::vector<Candidate> &candidates) {
    bool is_nameless = request.is_raw && request.model.empty();  // a file, a list
    if (request.loc.unknown_price != kRefuseUnknownPrice || is_nameless || request.is_count() ||
        request.is_kept()) {
        return;
    }
    std::erase_if(candidates, [&](const Candidate &candidate) {
        bool is_known = price_of(request, candidate).is_known();
        if (!is_known) {
            warn_unpriced(request, candidate, Unpriced::refused);
        }
        return !is_known;
    });
}

bool has_countable_text(const LlmRequest &request) {
    if (request.is_count() || request.is_kept()) {
        return false;
    }
    if (request.endpoint.operation == Operation::other) {
        return request.endpoint.other->takes_text && !request.model.empty();
    }
    return !request.is_raw || (!request.model.empty() && request.body.view().starts_with('{'));
}

void estimate_usage(LlmRequest &request, uint64_t content_bytes, bool is_current) {
    Usage &usage = request.ledger.usage;
    usage.estimated = usage.estimated || !usage.known;
    if (usage.input == 0) {
        usage.input = estimate_tokens(request.ledger.request_bytes);
        usage.estimated = true;
    }
    int64_t output = estimate_tokens(content_bytes);
    if (!is_current && output > usage.output) {
        usage.output = output;
        usage.estimated = true;
    }
}

}  // namespace llm
