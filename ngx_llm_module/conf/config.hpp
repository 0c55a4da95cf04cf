// What the configuration says, as objects: providers, models and their deployments, and the
// settings of a location. Filled by directives.cpp and the blocks, completed and cross-checked by
// check.cpp, and not changed afterwards: what moves at run time (addresses, idle connections)
// lives in upstream/, indexed by Endpoint::index.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ngx_llm_module/base/ngx_cxx.hpp"
#include "ngx_llm_module/base/resolve.hpp"
#include "ngx_llm_module/conf/records.hpp"
#include "ngx_llm_module/conf/routing.hpp"
#include "ngx_llm_module/conf/time_zone.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/pricing/cost.hpp"
#include "translators/pricing/price_table.hpp"
#include "translators/provider/address.hpp"
#include "translators/provider/providers.hpp"
#include "translators/provider/service_account.hpp"

extern "C" ngx_module_t ngx_http_llm_module;
extern "C" ngx_module_t ngx_http_llm_filter_module;

namespace llm {

// Where in the configuration something was said, for messages of checks that run later.
struct ConfPlace {
    std::string file;
    ngx_uint_t line = 0;

    static ConfPlace here(const ngx_conf_t *cf) {
        if (cf->conf_file == nullptr) {
            return {};
        }
        return {std::string(view(cf->conf_file->file.name)), cf->conf_file->line};
    }
};

// A secret or header value: fixed text, or text with nginx variables.
struct Value {
    std::string fixed;
    ngx_http_complex_value_t *variable = nullptr;

    // Empty on failure or when the variable is empty.
    std::string_view get(ngx_http_request_t *r) const;
};

// The four clocks of a call. kUnset in a model or deployment means: as the level above says.
struct Timeouts {
    ngx_msec_t connect = NGX_CONF_UNSET_MSEC;
    ngx_msec_t first_token = NGX_CONF_UNSET_MSEC;
    ngx_msec_t idle = NGX_CONF_UNSET_MSEC;
    ngx_msec_t total = NGX_CONF_UNSET_MSEC;

    Timeouts over(const Timeouts &base) const {
        auto pick = [](ngx_msec_t own, ngx_msec_t other) {
            return own == NGX_CONF_UNSET_MSEC ? other : own;
        };
        return {pick(connect, base.connect), pick(first_token, base.first_token),
                pick(idle, base.idle), pick(total, base.total)};
    }
};

// A word of the configuration and where it stands.
struct Placed {
    std::string text;
    ConfPlace place;
};

struct Provider;

// One base URL of a provider.
struct Endpoint : Host {
    const Provider *provider = nullptr;
    uint32_t index = 0;  // into the worker's table of connections and addresses
    bool tls = false;
    std::string host_header;  // with the port where it is not the default one
    std::string path;         // prefix of every request path, no slash at the end
    std::string ssl_name;     // SNI and the name in the certificate
};

struct ProviderHeader {
    std::string name;
    Value value;
};

struct ProviderParam {
    std::string name;
    std::string json;
};

// A {name} of the preset's addresses.
struct ProviderVariable {
    std::string name;
    std::string value;
    ConfPlace place;
};

// What requests are signed with; empty values where nothing was given.
struct AwsAccount {
    Value id;
    Value secret;
    Value token;

    bool is_given() const { return is_set(id) && is_set(secret); }
    static bool is_set(const Value &value) {
        return value.variable != nullptr || !value.fixed.empty();
    }
};

// One way of speaking with a provider. Paths may hold {model} (fill_model).
struct Speech {
    const Dialect *dialect = nullptr;
    std::span<const Endpoint> endpoints;
    std::string chat_path;
    std::string stream_path;  // empty: chat_path
    std::string count_path;   // empty: there is no such call
    Carrier carrier = Carrier::direct;

    // Where the provider lists its models; empty: not known.
    std::string list_path() const;
};

struct Provider {
    std::string name;
    ConfPlace place;
    const ProviderPreset *preset = nullptr;
    const Dialect *dialect = nullptr;  // the main one, or the only one when `dialect` names it
    bool is_dialect_given = false;
    std::vector<Placed> base_urls;
    std::vector<Endpoint> endpoints;  // of all speeches, and token_endpoint
    std::vector<Speech> speeches;     // the main one first
    Auth auth;
    std::vector<Value> api_keys;
    AwsAccount aws;
    std::optional<ServiceAccount> service_account;
    const Endpoint *token_endpoint = nullptr;  // where its access tokens come from
    std::vector<ProviderVariable> variables;
    std::vector<ProviderHeader> headers;
    std::vector<ProviderParam> params;
    Timeouts timeouts;
    Placed ssl_trusted_certificate;
    std::string ssl_name;
    bool ssl_verify = true;
    ngx_ssl_t *ssl = nullptr;
    ngx_uint_t keepalive = 64;
    int64_t cost_factor = kOneFactor;  // on all its prices

    bool is_mock() const;
    // What is known of a model of this provider, spoken with in `dialect`.
    ModelTraits traits_of(DialectId dialect, std::string_view model) const;

    // The client's own dialect where the provider speaks it, else the provider's main one.
    const Speech &speech_for(const Dialect &client) const;
    // Empty when it was not given.
    std::string_view variable(std::string_view name) const;
    // Whoever wants to ask it needs a client's request: its credentials are made of variables.
    bool needs_client() const;
};

// What the mock preset plays, per deployment.
struct MockScript {
    std::string reply;
    ngx_uint_t chunks = 0;  // 0: one for each word
    ngx_msec_t interval = 0;
    ngx_msec_t delay = 0;
    ngx_uint_t status = 200;
    ngx_int_t cut_after = -1;  // -1: never
};

struct Deployment {
    const Provider *provider = nullptr;
    std::string provider_name;  // as written, until check.cpp finds it
    std::string model;          // the provider's own name; may end in *
    std::string id;             // shown in logs and headers; unique
    ConfPlace place;
    ngx_uint_t order = 1;
    ngx_uint_t weight = 1;
    bool is_weight_given = false;
    std::vector<std::string> tags;
    ngx_msec_t cooldown_time = NGX_CONF_UNSET_MSEC;  // unset: as the model says
    Timeouts timeouts;
    uint32_t slot = 0;                 // row of the shared in-flight table
    LimitSet limits;                   // rpm=, tpm=, max_parallel_requests=
    std::vector<PriceItem> own_price;  // input_cost=, output_cost=; empty: as the table says
    Price price;                       // of `model`; may be unknown, as for a wildcard
    MockScript mock;
    std::vector<ModelTraits> traits;  // for each of the provider's speeches; wildcards: none

    bool is_wildcard() const { return !model.empty() && model.back() == '*'; }
};

// `probe`: the deployments of a model are asked now and then without a request.
struct ProbeRule {
    ngx_msec_t interval = 0;     // 0: they are not
    ngx_msec_t timeout = 10000;  // of one probe
    bool wants_list = false;     // of the provider's models, in place of an answer
    ConfPlace place;
};

struct Model {
    std::string name;
    ConfPlace place;
    std::vector<Deployment> deployments;
    std::vector<Placed> aliases;
    Timeouts timeouts;
    ngx_flag_t drop_params = NGX_CONF_UNSET;
    Routing routing;
    ProbeRule probe;

    bool is_wildcard() const { return !name.empty() && name.back() == '*'; }
    std::string_view prefix() const { return std::string_view(name).substr(0, name.size() - 1); }
};

// llm_key and llm_team as they were read; check_identities makes records of them.
struct KeyBlock {
    KeyRecord record;
    ConfPlace place;
    std::vector<Placed> models;  // wherever the block names one
    Placed team;
    std::vector<std::pair<std::string, std::string>> metadata;
};

struct TeamBlock {
    TeamRecord record;
    ConfPlace place;
    std::vector<Placed> models;
    std::vector<std::pair<std::string, std::string>> metadata;
};

struct RedisConfig;

// llm_limit: counted for each value of its variable.
struct LimitRule {
    std::string name;  // of its counters: the text of KEY, numbered when it comes again
    Value key;
    LimitSet limits;
};
using LimitRules = std::vector<LimitRule>;

struct Config {
    std::vector<std::unique_ptr<Provider>> providers;
    std::vector<std::unique_ptr<Model>> models;  // in the order of the file
    std::vector<std::unique_ptr<Model>> direct;  // PROVIDER/MODEL, one per provider
    std::unordered_map<std::string_view, const Model *> by_name;  // names and aliases
    std::vector<const Model *> wildcards;                         // longest prefix first
    std::vector<Placed> default_fallbacks;
    uint32_t endpoint_count = 0;

    std::vector<Placed> price_files;  // in the order of the file
    PriceBook prices;                 // what they say

    std::vector<std::unique_ptr<KeyBlock>> key_blocks;
    std::vector<std::unique_ptr<TeamBlock>> team_blocks;
    std::vector<std::string> master_hashes;  // of llm_master_key: SHA-256 in hex
    std::unordered_map<std::string, std::shared_ptr<const KeyRecord>> keys;  // by hash
    std::unordered_map<std::string, std::shared_ptr<const TeamRecord>> teams;

    std::shared_ptr<const RedisConfig> redis;  // llm_redis; none: the zone alone counts

    TimeZone time_zone;  // of calendar budgets
    bool has_time_zone = false;
    std::vector<std::unique_ptr<LimitRules>> limit_rules;  // of all levels

    size_t zone_size = 0;  // 0: no llm_zone directive
    ConfPlace zone_place;
    bool deny_when_full = false;  // on_full=
    std::string state_path;       // llm_zone state=; empty: nothing survives a restart
    ngx_shm_zone_t *zone = nullptr;
    ngx_resolver_t *resolver = nullptr;  // ours, from resolv.conf
    bool in_use = false;                 // some location has llm_pass

    // As the level http says: what holds where no location is asked, for probes.
    Timeouts http_timeouts;
    ngx_msec_t http_cooldown_time = 0;
    ngx_uint_t http_allowed_fails = 0;

    Provider *find_provider(std::string_view name) const;
    // Somebody has a key: others are refused unless llm_auth says something else.
    bool has_keys() const { return !keys.empty() || !master_hashes.empty(); }
};

enum class PassKind : ngx_uint_t { unset, models, provider, variable };

// llm_unknown_price
constexpr ngx_uint_t kCountUnknownPrice = 0;
constexpr ngx_uint_t kRefuseUnknownPrice = 1;

// llm_auth. By default: required as soon as there is a key.
constexpr ngx_uint_t kAuthByKeys = 0;
constexpr ngx_uint_t kAuthRequired = 1;
constexpr ngx_uint_t kAuthOptional = 2;
constexpr ngx_uint_t kAuthOff = 3;
// llm_on_limit
constexpr ngx_uint_t kFinishOnLimit = 0;
constexpr ngx_uint_t kCutOnLimit = 1;

// Of `model` at the deployment's provider, or what the deployment says itself.
Price find_price(const Config &config, const Deployment &deployment, std::string_view model);

}  // namespace llm

// Plain C structs, as nginx wants them.

typedef struct {
    llm::Config *config;
} ngx_http_llm_main_conf_t;

typedef struct {
    llm::PassKind pass;
    llm::Provider *provider;  // PassKind::provider
    ngx_str_t provider_name;
    ngx_http_complex_value_t *pass_value;  // PassKind::variable
    ngx_str_t location;                    // the location's own prefix, stripped from the path
    ngx_http_handler_pt handler;           // of llm_pass, for `if` blocks that inherit it
    const char *place_file;                // where llm_pass stands
    ngx_uint_t place_line;

    ngx_msec_t connect_timeout;
    ngx_msec_t first_token_timeout;
    ngx_msec_t idle_timeout;
    ngx_msec_t timeout;
    ngx_msec_t ping;
    ngx_flag_t stream_usage;
    ngx_flag_t drop_params;
    ngx_uint_t unknown_price;
    ngx_uint_t auth;
    llm::LimitRules *limits;  // llm_limit; none: null
    ngx_uint_t on_limit;
    ngx_int_t reserve_tokens;
    ngx_flag_t limit_free_models;
    ngx_flag_t scope_headers;
    ngx_uint_t num_retries;
    ngx_uint_t max_fallbacks;
    ngx_uint_t allowed_fails;
    ngx_msec_t cooldown_time;
    ngx_uint_t recover;
    ngx_flag_t try_cooled;
    bool is_admin;   // llm_admin
    bool is_page;    // llm_metrics, llm_health
    bool has_own;    // of a server: it has locations of ours,
    bool has_other;  // and others
    size_t max_body;
    ngx_open_file_t *content_log;  // llm_log_content; null: off
    size_t content_log_max;        // bytes of a request, and of an answer
} ngx_http_llm_loc_conf_t;

namespace llm {

inline Config &config(ngx_http_request_t *r) {
    auto *main = static_cast<ngx_http_llm_main_conf_t *>(
        ngx_http_get_module_main_conf(r, ngx_http_llm_module));
    return *main->config;
}

inline const ngx_http_llm_loc_conf_t &loc_conf(ngx_http_request_t *r) {
    return *static_cast<ngx_http_llm_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_llm_module));
}

// nginx has refused the request before it looked for a location, or has found none.
inline bool is_without_location(ngx_http_request_t *r) {
    auto *server = static_cast<ngx_http_core_srv_conf_t *>(
        ngx_http_get_module_srv_conf(r, ngx_http_core_module));
    return r->loc_conf == server->ctx->loc_conf;
}

}  // namespace llm
