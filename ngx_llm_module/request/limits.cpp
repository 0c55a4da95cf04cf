// Admission and its refusals. The estimate of a request is a quarter of its bytes as input, and
// what it says it takes at most, or llm_reserve_tokens, as output.
#include "ngx_llm_module/request/limits.hpp"

#include <algorithm>
#include <utility>

#include "ngx_llm_module/conf/model_names.hpp"
#include "ngx_llm_module/policy/demand_name.hpp"
#include "ngx_llm_module/policy/demand_text.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

// More than any answer has: sums of estimates and their prices stay numbers.
constexpr int64_t kMostTokens = 1000 * 1000 * 1000;
constexpr int64_t kMostAnswers = 1000;
// Nobody knows when another request ends: when a refused client may ask again.
constexpr int64_t kSoonMs = 1000;

Estimate estimate_usage_of(const LlmRequest &request) {
    Estimate estimate;
    if (request.is_count()) {
        return estimate;
    }
    estimate.input_tokens = estimate_tokens(request.ledger.request_bytes);
    if (!request.is_raw) {
        int64_t said = request.envelope.max_tokens;
        int64_t most = said > 0 ? said : int64_t(request.loc.reserve_tokens);
        estimate.output_tokens =
            std::min(most, kMostTokens) * std::min(request.envelope.answers, kMostAnswers);
    }
    return estimate;
}

int64_t cost_at(const Price &price, int64_t input, int64_t output) {
    Usage usage;
    usage.input = input;
    usage.output = output;
    return cost_of(usage, price);
}

// The dearest candidate decides; budgets do not ask for what costs nothing.
void estimate_cost(const LlmRequest &request, Estimate &estimate) {
    bool is_free = !request.candidates.empty() && !(request.is_raw && request.model.empty());
    for (const Candidate &candidate : request.candidates) {
        Price price = price_of(request, candidate);
        if (!price.is_known()) {
            is_free = false;
            continue;
        }
        int64_t output = estimate.output_tokens;
        if (price.max_output > 0) {
            output = std::min<int64_t>(output, price.max_output);
        }
        int64_t cost = cost_at(price, estimate.input_tokens, output);
        estimate.cost = std::max(estimate.cost, cost);
        is_free = is_free && cost_at(price, 1000000, 1000000) == 0;
    }
    estimate.ignores_budgets = is_free && !request.loc.limit_free_models;
}

std::string timestamp(int64_t in_ms) {
    CivilDay day = civil_from_days((int64_t(ngx_time()) + in_ms / 1000) / 86400);
    int64_t second = (int64_t(ngx_time()) + in_ms / 1000) % 86400;
    char text[64];
    u_char *end =
        ngx_sprintf(reinterpret_cast<u_char *>(text), "%04L-%02d-%02dT%02L:%02L:%02LZ", day.year,
                    day.month, day.day, second / 3600, second / 60 % 60, second % 60);
    return std::string(text, size_t(reinterpret_cast<char *>(end) - text));
}

// LiteLLM's words; empty: it has none.
std::string_view litellm_scope(Scope scope) {
    switch (scope) {
        case Scope::key:
            return "api_key";
        case Scope::team:
            return "team";
        case Scope::user:
            return "user";
        case Scope::customer:
            return "end_user";
        case Scope::limit:
        case Scope::deployment:
            break;
    }
    return {};
}

std::string_view litellm_quantity(Quantity quantity) {
    switch (quantity) {
        case Quantity::requests:
            return "requests";
        case Quantity::tokens:
            return "tokens";
        case Quantity::parallel:
            return "max_parallel_requests";
        case Quantity::cost:
            break;
    }
    return {};
}

}  // namespace

void Limits::collect() {
    demands_ = Demands();
    make_estimate();
    std::vector<LimitValue> values = limit_values();
    add_demands(source(values), demands_);
    add_model_demands(source(values), demands_);
    for (const Candidate &candidate : request_.candidates) {
        add_alternative(estimate_, *candidate.deployment, demands_);
    }
}

void Limits::make_estimate() {
    estimate_ = estimate_usage_of(request_);
    estimate_cost(request_, estimate_);
}

std::vector<LimitValue> Limits::limit_values() const {
    std::vector<LimitValue> values;
    if (request_.loc.limits != nullptr) {
        for (const LimitRule &rule : *request_.loc.limits) {
            if (std::string_view value = rule.key.get(request_.r); !value.empty()) {
                values.push_back({&rule, value});
            }
        }
    }
    return values;
}

DemandSource Limits::source(std::span<const LimitValue> values) const {
    std::string_view asked = without_alias(request_.config, request_.target_model);
    return {request_.config, request_.identity, asked, current_model(), values, estimate_};
}

std::string_view Limits::current_model() const {
    bool is_asked = request_.plan.fallbacks == 0;
    return without_alias(request_.config, is_asked ? request_.target_model : request_.plan.current);
}

Admission Limits::admit() {
    collect();
    state_ = State::admitting;
    lease_ = limit_store().open(demands_, *this);
    Verdict verdict = lease_->take();
    return verdict.admission == Admission::waiting ? Admission::waiting : take(verdict);
}

Admission Limits::move_to(size_t index) {
    bool is_other_model = current_model() != held_model_;
    if (state_ == State::held && index == candidate_ && !is_other_model) {
        return Admission::granted;  // the one it was admitted with, or the same once more
    }
    if (second_ != nullptr && index == second_->candidate) {
        return Admission::granted;
    }
    leave();
    if (is_other_model) {
        held_model_.clear();
        demands_.list.resize(demands_.lasting);
        make_estimate();
        add_model_demands(source(limit_values()), demands_);
    }
    demands_.list.resize(demands_.common);
    demands_.alternatives.clear();
    add_alternative(estimate_, *request_.candidates[index].deployment, demands_);
    wanted_ = index;
    state_ = State::moving;
    Verdict verdict = is_other_model ? lease_->change_model() : lease_->move(0);
    return verdict.admission == Admission::waiting ? Admission::waiting : take(verdict);
}

Admission Limits::take(const Verdict &verdict) {
    verdict_ = verdict;
    if (verdict.admission != Admission::granted) {
        state_ = State::left;
        if (verdict.refused_by != nullptr) {
            request_.ledger.limit_status = status_name(*verdict.refused_by);
        }
        return verdict.admission;
    }
    candidate_ = state_ == State::moving ? wanted_ : verdict.alternative;
    state_ = State::held;
    held_model_ = current_model();
    if (!demands_.list.empty()) {
        request_.ledger.limit_status = "passed";
    }
    warn();
    return verdict.admission;
}

// Soft budgets are spoken of, and that is all.
void Limits::warn() {
    for (const Demand &demand : demands_.list) {
        if (!demand.is_over_soft() || is_over_soft_) {
            continue;
        }
        is_over_soft_ = true;
        request_.ledger.limit_status = "soft budget";
        std::string_view scope = scope_name(demand);
        ngx_log_error(NGX_LOG_WARN, request_.r->connection->log, 0,
                      "llm: soft budget of %*s \"%*s\" is used up", scope.size(), scope.data(),
                      demand.shown.size(), demand.shown.data());
    }
}

bool Limits::is_model_full() const {
    if (verdict_.admission != Admission::refused || verdict_.refused_by == nullptr) {
        return false;
    }
    auto by = size_t(verdict_.refused_by - demands_.list.data());
    return by >= (request_.plan.fallbacks == 0 ? demands_.common : demands_.lasting);
}

Admission Limits::take_second(size_t index, Waiter &waiter) {
    second_ = std::make_unique<Second>();
    second_->candidate = index;
    add_alternative(estimate_, *request_.candidates[index].deployment, second_->demands);
    second_->lease = limit_store().open(second_->demands, waiter);
    return second_->lease->take().admission;
}

void Limits::adopt_second() {
    if (state_ == State::held) {
        (void)lease_->move(demands_.alternatives.size());
    }
    second_->is_adopted = true;
    candidate_ = second_->candidate;
    state_ = State::held;
}

void Limits::drop_second() {
    second_.reset();
}

void Limits::add_used(size_t index, const Used &used) {
    if (second_ != nullptr && index == second_->candidate) {
        second_->lease->add_to_deployment(used);
    } else if (lease_ != nullptr) {
        lease_->add_to_deployment(used);
    }
}

void Limits::leave() {
    if (second_ != nullptr && second_->is_adopted) {
        second_.reset();
        state_ = State::left;
    }
    if (state_ == State::held && lease_ != nullptr) {
        (void)lease_->move(demands_.alternatives.size());
        state_ = State::left;
    }
}

void Limits::on_verdict(const Verdict &verdict) {
    State was = state_;
    ngx_connection_t *c = request_.r->connection;
    ngx_http_set_log_request(c->log, request_.r);
    Admission admission = take(verdict);
    if (was == State::moving) {
        resume_attempt(request_, admission);
    } else {
        resume_admission(request_, admission);
    }
    ngx_http_run_posted_requests(c);
}

void Limits::reply() {
    Ledger &ledger = request_.ledger;
    if (verdict_.admission == Admission::failed || verdict_.refused_by == nullptr) {
        ledger.retry_after = "1";
        reply_error(request_, ErrorClass::overloaded, "the limits cannot be checked now",
                    "limits_unavailable");
        return;
    }
    const Demand &demand = *verdict_.refused_by;
    int64_t wait = verdict_.wait_ms == 0 ? kSoonMs : verdict_.wait_ms;
    ngx_http_request_t *r = request_.r;
    if (wait > 0) {
        ledger.retry_after = std::to_string((wait + 999) / 1000);
    } else {
        ledger.retry_after.clear();
        add_header(r, "x-should-retry", "false");  // SDKs know it
    }
    count(Metric::limit_refusals, {scope_name(demand), limit_word(demand)}, 1);
    bool is_budget = demand.quantity == Quantity::cost;
    std::string_view scope = scope_name(demand);
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "llm: refused, limit of %*s: %s",
                  scope.size(), scope.data(), describe(demand).c_str());
    ApiError error;
    error.error_class = ErrorClass::rate_limit;
    error.message = json::escape(refusal_of(demand, verdict_.wait_ms), request_.arena);
    error.own = is_budget ? "budget_exceeded" : "";
    reply_error(request_, error);
}

bool Limits::may_go_on(uint64_t content_bytes) {
    if (request_.loc.on_limit != kCutOnLimit || lease_ == nullptr) {
        return true;
    }
    Used own;
    own.input_tokens = estimate_tokens(request_.ledger.request_bytes);
    own.output_tokens = estimate_tokens(content_bytes);
    Price price = price_of(request_, request_.candidate());
    own.cost = price.is_known() ? cost_at(price, own.input_tokens, own.output_tokens) : 0;
    const Ledger &ledger = request_.ledger;
    Used used = {ledger.earlier.input, ledger.earlier.output, ledger.earlier_cost};
    used += own;
    bool has_second = second_ != nullptr && second_->is_adopted;
    if (lease_->grow(used, own) && (!has_second || second_->lease->grow(used, own))) {
        return true;
    }
    request_.ledger.limit_status = "cut";
    return false;
}

void Limits::end() {
    if (lease_ == nullptr || state_ == State::over) {
        return;
    }
    is_refused_ = state_ == State::left && verdict_.admission == Admission::refused;
    bool is_at_second = second_ != nullptr && second_->is_adopted;
    bool is_at_deployment = state_ == State::held;
    state_ = State::over;
    Used used, own;
    const Ledger &ledger = request_.ledger;
    if (!request_.is_count()) {
        book_cost(request_);  // without an answer as well: an attempt that lost may have cost
        used = {ledger.usage.input, ledger.usage.output, ledger.cost};
        own = {used.input_tokens - ledger.earlier.input, used.output_tokens - ledger.earlier.output,
               used.cost - ledger.earlier_cost};
    }
    if (is_at_deployment) {
        add_used(is_at_second ? second_->candidate : candidate_, own);
    }
    lease_->release(used);
    correct(used, own);
    second_.reset();
}

// What the headers of an answer tell when it is known what it used.
void Limits::correct(const Used &used, const Used &of_deployment) {
    for (size_t i = 0; i < demands_.list.size(); i++) {
        Demand &demand = demands_.list[i];
        bool is_reserved = demand.quantity == Quantity::tokens || demand.quantity == Quantity::cost;
        if (!is_reserved) {
            continue;
        }
        int64_t counted = (i < demands_.common ? used : of_deployment).of(demand);
        demand.used += counted - std::exchange(demand.held, 0);
        if (counted > 0 && demand.period.kind == PeriodKind::sliding) {
            demand.reset_ms = int64_t(demand.period.seconds) * 1000;
        }
    }
}

void Limits::add_headers() {
    add_rate_headers(Quantity::requests, "requests");
    add_rate_headers(Quantity::tokens, "tokens");
    if (request_.loc.scope_headers) {
        add_scope_headers();
    }
    if (is_over_soft_) {
        add_header(request_.r, "x-llm-soft-budget", "exceeded");
    }
}

void Limits::add_scope_headers() {
    ngx_http_request_t *r = request_.r;
    for (size_t i = 0; i < demands_.common; i++) {
        const Demand &demand = demands_.list[i];
        std::string_view scope = litellm_scope(demand.scope);
        std::string_view what = litellm_quantity(demand.quantity);
        if (scope.empty() || what.empty() || demand.limit == kUnlimited) {
            continue;
        }
        std::string left = std::to_string(demand.remaining());
        if (demand.detail.empty()) {
            std::string name = std::string("x-ratelimit-").append(scope);
            add_header(r, view(copy_str(r->pool, name + "-limit-" + std::string(what))),
                       std::to_string(demand.limit));
            add_header(r, view(copy_str(r->pool, name + "-remaining-" + std::string(what))), left);
        } else if (demand.scope == Scope::key) {
            std::string name("x-litellm-key-remaining-");
            name.append(what).append("-");
            for (char c : demand.detail) {
                bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '*';
                name.push_back(is_plain ? c : '-');  // a slash cannot stand in a header's name
            }
            add_header(r, view(copy_str(r->pool, name)), left);
        }
    }
}

void Limits::add_rate_headers(Quantity quantity, std::string_view what) {
    const Demand *least = nullptr;
    for (size_t i = 0; i < demands_.common; i++) {
        const Demand &demand = demands_.list[i];
        if (demand.quantity == quantity &&
            (least == nullptr || demand.remaining() < least->remaining())) {
            least = &demand;
        }
    }
    // A deployment's own limit is told only where it is what the client runs into.
    if (const Demand *by = is_refused_ ? verdict_.refused_by : nullptr;
        by != nullptr && by->quantity == quantity) {
        least = by;
    }
    if (least == nullptr) {
        return;
    }
    int64_t reset = std::max<int64_t>(least->reset_ms, 0);
    if (verdict_.admission == Admission::granted && quantity == Quantity::requests) {
        reset = int64_t(least->period.seconds) * 1000;  // this one is the last to leave
    }
    std::string limit = std::to_string(least->limit), left = std::to_string(least->remaining());
    ngx_http_request_t *r = request_.r;
    auto add = [&](std::string_view prefix, std::string_view suffix, std::string_view value) {
        ngx_str_t name = copy_str(r->pool, std::string(prefix).append(what).append(suffix));
        add_header(r, view(name), value);
    };
    add("x-ratelimit-limit-", "", limit);
    add("x-ratelimit-remaining-", "", left);
    add("x-ratelimit-reset-", "", render_wait(reset));
    if (request_.client->id == DialectId::anthropic) {
        add("anthropic-ratelimit-", "-limit", limit);
        add("anthropic-ratelimit-", "-remaining", left);
        add("anthropic-ratelimit-", "-reset", timestamp(reset));
    }
}

}  // namespace llm
