// Getters of the variables: they read the ledger, nothing is counted here.
#include "ngx_llm_module/observe/variables.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/filter/error_pages.hpp"
#include "ngx_llm_module/request/access.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/state/inflight.hpp"

namespace llm {
namespace {

using Text = std::string;
using Getter = Text (*)(LlmRequest &request);

Text seconds(uint64_t ms) {
    char text[32];
    int size = snprintf(text, sizeof(text), "%llu.%03u", (unsigned long long)(ms / 1000),
                        unsigned(ms % 1000));
    return Text(text, size_t(size));
}

const Deployment *deployment_of(const LlmRequest &request) {
    return request.next_candidate > 0 ? request.candidate().deployment : nullptr;
}

Text get_model(LlmRequest &request) {
    return request.model;
}

Text get_upstream_model(LlmRequest &request) {
    if (!request.ledger.upstream_model.empty()) {
        return request.ledger.upstream_model;
    }
    return request.next_candidate > 0 ? request.candidate().upstream_model : Text();
}

Text get_provider(LlmRequest &request) {
    const Deployment *deployment = deployment_of(request);
    return deployment != nullptr ? deployment->provider->name : Text();
}

Text get_deployment(LlmRequest &request) {
    const Deployment *deployment = deployment_of(request);
    return deployment != nullptr ? deployment->id : Text();
}

Text get_dialect(LlmRequest &request) {
    return Text(request.client->name);
}
Text get_stream(LlmRequest &request) {
    return request.is_stream() ? "1" : "0";
}

Text key_alias(const Identity &identity) {
    return identity.is_master ? "master" : identity.key != nullptr ? identity.key->alias : Text();
}
Text key_hash(const Identity &identity) {
    return identity.key != nullptr ? identity.key->hash : Text();
}
Text team_of(const Identity &identity) {
    return identity.key != nullptr ? identity.key->team : Text();
}
// The customer that the request names, or the user whose key it is.
Text user_of(const Identity &identity) {
    if (!identity.customer_id.empty()) {
        return identity.customer_id;
    }
    return identity.key != nullptr ? identity.key->user : Text();
}

template <Text (*Part)(const Identity &)>
Text get_identity(LlmRequest &request) {
    return Part(request.identity);
}
constexpr Getter get_key_alias = get_identity<key_alias>;
constexpr Getter get_key_hash = get_identity<key_hash>;
constexpr Getter get_team = get_identity<team_of>;
constexpr Getter get_user = get_identity<user_of>;

Text get_customer(LlmRequest &request) {
    return request.identity.customer_id;
}

Text get_input_tokens(LlmRequest &request) {
    return std::to_string(request.ledger.usage.input);
}
Text get_output_tokens(LlmRequest &request) {
    return std::to_string(request.ledger.usage.output);
}

Text get_cached_tokens(LlmRequest &request) {
    return std::to_string(request.ledger.usage.cache_read);
}

Text get_cache_write_tokens(LlmRequest &request) {
    return std::to_string(request.ledger.usage.cache_write);
}

Text get_reasoning_tokens(LlmRequest &request) {
    return std::to_string(request.ledger.usage.reasoning);
}

Text get_cost(LlmRequest &request) {
    return dollars(request.ledger.cost);
}

Text get_list_cost(LlmRequest &request) {
    return dollars(request.ledger.list_cost);
}

Text get_cost_status(LlmRequest &request) {
    const Ledger &ledger = request.ledger;
    if (ledger.is_unpriced) {
        return "unpriced";
    }
    if (ledger.is_estimated()) {
        return "estimated";
    }
    return ledger.is_booked && (ledger.usage.known || ledger.units.are_booked) ? "known" : "";
}

Text get_first_token_time(LlmRequest &request) {
    const Ledger &ledger = request.ledger;
    return seconds(ledger.first_content != 0 ? ledger.first_content - ledger.began : 0);
}

Text get_upstream_time(LlmRequest &request) {
    return seconds(request.ledger.upstream_time);
}
Text get_overhead_time(LlmRequest &request) {
    return seconds(overhead_ms(request));
}
Text get_hedge(LlmRequest &request) {
    return Text(request.ledger.hedge);
}
Text get_attempts(LlmRequest &request) {
    return std::to_string(request.ledger.attempts);
}
Text get_finish_reason(LlmRequest &request) {
    return request.ledger.finish_reason;
}
Text get_outcome(LlmRequest &request) {
    return Text(name(request.ledger.outcome));
}
Text get_error(LlmRequest &request) {
    return Text(request.ledger.error);
}
Text get_request_id(LlmRequest &request) {
    return request.id;
}

Text get_dropped_params(LlmRequest &request) {
    Text names;
    for (std::string_view dropped : request.notes.dropped) {
        names.append(names.empty() ? "" : ",").append(dropped);
    }
    return names;
}

Text get_fallbacks(LlmRequest &request) {
    return std::to_string(request.ledger.fallbacks);
}

Text get_limit_status(LlmRequest &request) {
    return Text(request.ledger.limit_status);
}

Text get_in_flight(LlmRequest &request) {
    return std::to_string(count_in_flight(request.config).total);
}

struct Row {
    std::string_view name;
    Getter getter;
};

#define LLM_VARIABLE(name, getter, ...) {name, getter},
constexpr Row kVariables[] = {
#include "ngx_llm_module/observe/variables.def"
};
#undef LLM_VARIABLE

struct IdentityPart {
    Getter getter;
    Text (*part)(const Identity &identity);
};

constexpr IdentityPart kIdentityParts[] = {
    {get_key_alias, key_alias}, {get_key_hash, key_hash}, {get_team, team_of}, {get_user, user_of}};

// For a request that is not one of ours yet, or never became one.
Text without_request(ngx_http_request_t *r, const Row &row) {
    if (row.getter == get_request_id) {
        return Text(refused_id(r));
    }
    if (row.name == "llm_in_flight") {
        return std::to_string(count_in_flight(config(r)).total);
    }
    for (auto [getter, part] : kIdentityParts) {
        if (getter == row.getter) {
            const Identity *identity = find_identity(r);
            return identity != nullptr ? part(*identity) : Text();
        }
    }
    if (row.name.ends_with("_tokens") || row.name == "llm_attempts" ||
        row.name == "llm_fallbacks" || row.name == "llm_stream" || row.name == "llm_cost" ||
        row.name == "llm_list_cost") {
        return "0";
    }
    if (row.name == "llm_outcome" && loc_conf(r).pass != PassKind::unset) {
        return "refused";
    }
    return row.name.ends_with("_time") ? "0.000" : Text();
}

ngx_int_t get_variable(ngx_http_request_t *r, ngx_http_variable_value_t *value, uintptr_t data) {
    const Row &row = kVariables[data];
    LlmRequest *request = find_latest_request(r->main);
    Text text = request != nullptr ? row.getter(*request) : without_request(r, row);
    ngx_str_t copy = copy_str(r->pool, text);
    if (copy.data == nullptr) {
        return NGX_ERROR;
    }
    value->len = unsigned(copy.len);
    value->data = copy.data;
    value->valid = 1;
    value->no_cacheable = 0;
    value->not_found = 0;
    return NGX_OK;
}

}  // namespace

bool add_variables(ngx_conf_t *cf) {
    for (size_t i = 0; i < std::size(kVariables); i++) {
        ngx_str_t name = str(kVariables[i].name);
        ngx_http_variable_t *variable = ngx_http_add_variable(cf, &name, NGX_HTTP_VAR_NOCACHEABLE);
        if (variable == nullptr) {
            return false;
        }
        variable->get_handler = guard<get_variable, NGX_ERROR>;
        variable->data = i;
    }
    return true;
}

}  // namespace llm
