// The ledger's way into the metrics. Every number on the page that speaks of requests, tokens or
// cost is added here and nowhere else.
#include "ngx_llm_module/request/booking.hpp"

#include <array>

#include "ngx_llm_module/policy/model_access.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/state/spend.hpp"
#include "translators/core/errors.hpp"

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
    add(to.estimated, ledger.is_estimated());
    add(to.fallbacks, ledger.fallbacks > 0);
    add(to.attempts, int64_t(ledger.unbooked_attempts));
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

constexpr size_t kMaxTags = 8;

// Is the name of the model the administrator's, also as an alias of the key's own?
bool is_configured(const LlmRequest &request) {
    return request.config.by_name.contains(request.model) ||
           own_alias(request.identity, request.model) != request.model;
}

// Whom and what a request is booked under.
class SpendNames {
  public:
    explicit SpendNames(const LlmRequest &request) {
        const Identity &identity = request.identity;
        if (identity.key != nullptr) {
            add(SpendOf::key, identity.key->counted_as());
            add(SpendOf::team, identity.key->team);
            add(SpendOf::user, identity.key->user);
            for (const std::string &tag : identity.key->tags) {
                add_tag(tag);
            }
        } else if (identity.is_master) {
            add(SpendOf::key, "master");
        }
        add(SpendOf::customer, identity.customer_id);
        add(is_configured(request) ? SpendOf::model : SpendOf::free_model, request.model);
        if (request.next_candidate > 0) {
            add(SpendOf::provider, request.candidate().deployment->provider->name);
        }
        bool may_tag = identity.key == nullptr || identity.key->may_tag;
        std::string_view tags = may_tag ? client_header(request.r, "x-litellm-tags") : "";
        while (!tags.empty()) {
            size_t comma = std::min(tags.find(','), tags.size());
            std::string_view tag = tags.substr(0, comma);
            while (tag.starts_with(' ')) {
                tag.remove_prefix(1);
            }
            add_tag(tag);
            tags.remove_prefix(std::min(comma + 1, tags.size()));
        }
    }

    std::span<const SpendName> list() const { return {names_.data(), size_}; }

  private:
    void add(SpendOf of, std::string_view name) {
        if (!name.empty() && size_ < names_.size()) {
            names_[size_++] = {of, name};
        }
    }
    // A tag that is there twice counts once.
    void add_tag(std::string_view tag) {
        for (const SpendName &known : list()) {
            if (known.of == SpendOf::tag && known.name == tag) {
                return;
            }
        }
        if (tags_++ < kMaxTags) {
            add(SpendOf::tag, tag);
        }
    }

    std::array<SpendName, 8 + kMaxTags> names_ = {};
    size_t size_ = 0;
    size_t tags_ = 0;
};

RecentRequest recent_of(const LlmRequest &request, const SpendNumbers &numbers) {
    const Ledger &ledger = request.ledger;
    const Identity &identity = request.identity;
    RecentRequest recent;
    ngx_time_t *now = ngx_timeofday();
    recent.ended = int64_t(now->sec) * 1000 + int64_t(now->msec);
    recent.duration = uint32_t(ledger.ended - ledger.began);
    if (ledger.first_content != 0) {
        recent.first_content = uint32_t(ledger.first_content - ledger.began);
    }
    recent.overhead = uint32_t(overhead_ms(request));
    recent.attempts = uint16_t(ledger.attempts);
    recent.fallbacks = uint16_t(ledger.fallbacks);
    recent.outcome = uint8_t(ledger.outcome);
    recent.is_stream = request.is_stream();
    recent.numbers = numbers;
    set_text(recent.id, request.id);
    if (identity.key != nullptr) {
        const std::string &counted = identity.key->counted_as();
        ngx_memcpy(recent.key, counted.data(), std::min(counted.size(), sizeof(recent.key)));
        set_text(recent.alias, identity.key->alias);
        set_text(recent.team, identity.key->team);
        set_text(recent.user, identity.key->user);
    } else if (identity.is_master) {
        set_text(recent.alias, "master");
    }
    set_text(recent.model, request.model);
    set_text(recent.upstream_model, ledger.upstream_model);
    if (request.next_candidate > 0) {
        set_text(recent.provider, request.candidate().deployment->provider->name);
        set_text(recent.deployment, request.candidate().deployment->id);
    }
    set_text(recent.error, ledger.error);
    return recent;
}

}  // namespace

// Requests that no provider was asked for cost nothing and are no activity: a name of a model that
// does not exist must not take a row.
void book_spent(const LlmRequest &request) {
    const Ledger &ledger = request.ledger;
    if (request.next_candidate == 0 || request.loc.pass == PassKind::unset) {
        return;
    }
    SpendNumbers numbers;
    numbers.requests = 1;
    numbers.failed = ledger.outcome != Outcome::ok;
    numbers.input = ledger.usage.input;
    numbers.output = ledger.usage.output;
    numbers.cache_read = ledger.usage.cache_read;
    numbers.cache_write = ledger.usage.cache_write;
    numbers.cost = ledger.cost;
    book_spend(SpendNames(request).list(), numbers, recent_of(request, numbers));
}

void book_metrics(const LlmRequest &request) {
    if (request.loc.pass == PassKind::unset) {
        return;  // health in a location of its own, the admin API
    }
    book_route(request);
    book_key(request);
}

void book_attempts(LlmRequest &request) {
    const Deployment &deployment = *request.candidate().deployment;
    if (RouteRow *row = route_row(request.model, deployment.provider->name, deployment.id)) {
        add(row->numbers.attempts, int64_t(request.ledger.unbooked_attempts));
    }
    request.ledger.unbooked_attempts = 0;
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
