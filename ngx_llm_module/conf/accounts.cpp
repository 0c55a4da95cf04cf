// Completes a provider: what its block says goes before the preset, and the preset before the
// dialect. Every variable of an address and every credential that is missing is an error here.
#include "ngx_llm_module/conf/accounts.hpp"

#include <algorithm>

#include "ngx_llm_module/conf/addresses.hpp"
#include "ngx_llm_module/conf/complain.hpp"
#include "ngx_llm_module/conf/tls.hpp"
#include "ngx_llm_module/conf/value.hpp"
#include "translators/provider/google_token.hpp"
#include "translators/provider/model_traits.hpp"
#include "translators/wire/http1.hpp"

namespace llm {
namespace {

constexpr std::string_view kRegion = "region";

// Names of `complain` arguments that are views: nginx prints them with %*s.
#define LLM_VIEW(text) (text).size(), (text).data()

bool speaks(const ProviderPreset &preset, DialectId dialect) {
    bool is_spoken = preset.dialect == dialect;
    for (const Spoken &spoken : preset.also) {
        is_spoken = is_spoken || spoken.dialect == dialect;
    }
    return is_spoken;
}

bool find_preset(ngx_conf_t *cf, Provider &provider) {
    if (provider.preset == nullptr) {
        const ProviderPreset *named = find_provider_preset(provider.name);
        // Something else that happens to have the name of a preset.
        bool is_other = named != nullptr && provider.dialect != nullptr &&
                        !provider.base_urls.empty() && !speaks(*named, provider.dialect->id);
        provider.preset = is_other ? nullptr : named;
    }
    if (provider.preset != nullptr ||
        (provider.dialect != nullptr && !provider.base_urls.empty())) {
        return true;
    }
    if (const RefusedPreset *refused = find_refused_preset(provider.name)) {
        return complain(cf, provider.place, "provider \"%s\" is no preset: %*s",
                        provider.name.c_str(), LLM_VIEW(refused->reason));
    }
    return complain(cf, provider.place,
                    "provider \"%s\" is no preset: it needs \"preset\", or \"dialect\" and "
                    "\"base_url\"",
                    provider.name.c_str());
}

bool find_main_dialect(ngx_conf_t *cf, Provider &provider) {
    if (provider.dialect != nullptr) {
        return true;
    }
    provider.dialect = find_registered(provider.preset->dialect);
    if (provider.dialect == nullptr) {
        return complain(cf, provider.place,
                        "provider \"%s\" speaks the dialect \"%*s\", which this build of the "
                        "module does not have",
                        provider.name.c_str(), LLM_VIEW(dialect_name(provider.preset->dialect)));
    }
    return true;
}

// --- variables and addresses -----------------------------------------------------------------

// Names that the provider has a use for.
bool check_variable_names(ngx_conf_t *cf, const Provider &provider) {
    std::vector<std::string_view> known;
    for (const auto &[url, place] : provider.base_urls) {
        add_variables(url, known);
    }
    if (provider.preset != nullptr) {
        const ProviderPreset &preset = *provider.preset;
        if (preset.auth.kind == AuthKind::sigv4) {
            known.push_back(kRegion);
        }
        for (std::string_view text : {preset.base_url, preset.chat_path, preset.stream_path}) {
            add_variables(text, known);
        }
        for (const Spoken &spoken : preset.also) {
            add_variables(spoken.base_url, known);
        }
    }
    for (const ProviderVariable &variable : provider.variables) {
        if (std::find(known.begin(), known.end(), variable.name) == known.end()) {
            return complain(cf, variable.place, "provider \"%s\" has no use for \"%s\"",
                            provider.name.c_str(), variable.name.c_str());
        }
    }
    return true;
}

bool complain_of_variable(ngx_conf_t *cf, const Provider &provider, const ConfPlace &place,
                          std::string_view name) {
    bool has_directive =
        name == kRegion || name == "project" || name == "resource" || name == "api_version";
    return complain(cf, place, "provider \"%s\" needs \"%s%*s\"", provider.name.c_str(),
                    has_directive ? "" : "var ", LLM_VIEW(name));
}

std::vector<UrlVariable> variables_of(const Provider &provider) {
    std::vector<UrlVariable> variables;
    for (const ProviderVariable &variable : provider.variables) {
        variables.push_back({variable.name, variable.value});
    }
    return variables;
}

bool add_endpoint(ngx_conf_t *cf, Config &config, Provider &provider, std::string_view url,
                  const ConfPlace &place) {
    Endpoint &endpoint = provider.endpoints.emplace_back();
    endpoint.provider = &provider;
    endpoint.index = config.endpoint_count++;
    if (const char *wrong = parse_base_url(url, endpoint)) {
        return complain(cf, place, "base_url \"%*s\": %s", LLM_VIEW(url), wrong);
    }
    if (!provider.ssl_name.empty()) {
        endpoint.ssl_name = provider.ssl_name;
    }
    find_fixed_addresses(cf, endpoint);
    return true;
}

// The addresses under which the provider is spoken with, the main one first.
bool find_addresses(ngx_conf_t *cf, const Provider &provider, std::vector<Address> &addresses) {
    std::vector<UrlVariable> variables = variables_of(provider);
    bool has_own_url = !provider.base_urls.empty();
    if (provider.preset == nullptr) {
        addresses.push_back(plain_address(*provider.dialect));
        return true;
    }
    ProviderPreset preset = *provider.preset;
    if (has_own_url) {
        preset.base_url = {};
    }
    std::string_view missing;
    if (provider.dialect->id == preset.dialect) {
        missing = main_address(preset, *provider.dialect, variables, addresses.emplace_back());
    }
    for (const Spoken &spoken : preset.also) {
        const Dialect *further = find_registered(spoken.dialect);
        bool is_wanted = provider.is_dialect_given ? further == provider.dialect
                                                   : further != nullptr && can_pass(*further);
        // An operator's own address is a stand-in for the provider's, not for others.
        bool is_there = !has_own_url || spoken.base_url.empty() || spoken.base_url[0] == '/';
        if (is_wanted && is_there && missing.empty()) {
            missing = further_address(spoken, *further, variables, addresses.emplace_back());
        }
    }
    if (addresses.empty()) {
        addresses.push_back(plain_address(*provider.dialect));
    }
    // Below, an empty base URL is that of the preset.
    if (missing.empty() && addresses[0].base_url.empty() && !has_own_url) {
        missing = expand_variables(preset.base_url, variables, addresses[0].base_url);
    }
    return missing.empty() || complain_of_variable(cf, provider, provider.place, missing);
}

// A base URL that ends in the version with which the path begins ("https://host/v2", "/v2/chat"):
// both ways of writing it are good.
void strip_version(std::string_view chat_path, Endpoint &endpoint) {
    size_t last = endpoint.path.rfind('/');
    if (last != std::string::npos) {
        std::string segment = endpoint.path.substr(last) + "/";
        if (segment.size() > 3 && segment[1] == 'v' && segment[2] >= '0' && segment[2] <= '9' &&
            chat_path.starts_with(segment)) {
            endpoint.path.resize(last);
        }
    }
}

bool make_speeches(ngx_conf_t *cf, Config &config, Provider &provider) {
    std::vector<Address> addresses;
    if (!find_addresses(cf, provider, addresses)) {
        return false;
    }
    std::vector<UrlVariable> variables = variables_of(provider);
    for (const auto &[url, place] : provider.base_urls) {
        std::string expanded;
        std::string_view missing = expand_variables(url, variables, expanded);
        if (!missing.empty()) {
            return complain_of_variable(cf, provider, place, missing);
        }
        if (!add_endpoint(cf, config, provider, expanded, place)) {
            return false;
        }
    }
    if (provider.endpoints.empty()) {
        if (addresses[0].base_url.empty()) {
            return complain(cf, provider.place, "provider \"%s\" needs a \"base_url\"",
                            provider.name.c_str());
        }
        if (!add_endpoint(cf, config, provider, addresses[0].base_url, provider.place)) {
            return false;
        }
    }
    size_t shared = provider.endpoints.size();
    if (addresses.size() == 1) {
        for (Endpoint &endpoint : provider.endpoints) {
            strip_version(addresses[0].chat_path, endpoint);
        }
    }
    for (size_t i = 1; i < addresses.size(); i++) {
        if (!addresses[i].base_url.empty() &&
            !add_endpoint(cf, config, provider, addresses[i].base_url, provider.place)) {
            return false;
        }
    }
    bool has_tokens = provider.auth.kind == AuthKind::google_oauth;
    if (has_tokens &&
        !add_endpoint(cf, config, provider, provider.service_account->token_uri, provider.place)) {
        return false;
    }
    // All endpoints are where they stay.
    provider.token_endpoint = has_tokens ? &provider.endpoints.back() : nullptr;
    std::span<const Endpoint> all(provider.endpoints);
    size_t next = shared;
    for (size_t i = 0; i < addresses.size(); i++) {
        Address &address = addresses[i];
        bool is_elsewhere = i > 0 && !address.base_url.empty();
        provider.speeches.push_back({address.dialect,
                                     is_elsewhere ? all.subspan(next, 1) : all.first(shared),
                                     std::move(address.chat_path), std::move(address.stream_path),
                                     std::move(address.count_path), address.carrier});
        next += is_elsewhere ? 1 : 0;
    }
    return true;
}

bool set_up_tls(ngx_conf_t *cf, Provider &provider) {
    bool needs_tls = std::any_of(provider.endpoints.begin(), provider.endpoints.end(),
                                 [](const Endpoint &endpoint) { return endpoint.tls; });
    if (!needs_tls) {
        return true;
    }
    std::string wrong;
    provider.ssl = tls_context(cf, provider, wrong);
    if (provider.ssl == nullptr) {
        const ConfPlace &own = provider.ssl_trusted_certificate.place;
        return complain(cf, own.line != 0 ? own : provider.place, "provider \"%s\": %s",
                        provider.name.c_str(), wrong.c_str());
    }
    return true;
}

// --- credentials -----------------------------------------------------------------------------

bool has_header(const Provider &provider, std::string_view name) {
    return std::any_of(
        provider.headers.begin(), provider.headers.end(),
        [&](const ProviderHeader &header) { return wire::same_name(header.name, name); });
}

bool has_credentials(const Provider &provider) {
    return !provider.api_keys.empty() || provider.aws.is_given() || provider.service_account;
}

bool check_aws(ngx_conf_t *cf, const Provider &provider) {
    const AwsAccount &aws = provider.aws;
    if (AwsAccount::is_set(aws.id) != AwsAccount::is_set(aws.secret) ||
        (AwsAccount::is_set(aws.token) && !aws.is_given())) {
        return complain(cf, provider.place,
                        "provider \"%s\" needs \"aws_access_key_id\" and "
                        "\"aws_secret_access_key\" together",
                        provider.name.c_str());
    }
    if (aws.is_given() && provider.auth.kind != AuthKind::sigv4) {
        return complain(cf, provider.place, "provider \"%s\" has no use for keys of AWS",
                        provider.name.c_str());
    }
    return true;
}

// What the environment holds where the block says nothing.
bool add_usual_credentials(ngx_conf_t *cf, Provider &provider) {
    if (provider.preset != nullptr) {
        std::string key;
        if (!read_environment(cf, provider.preset->key_env, key)) {
            return false;
        }
        if (!key.empty()) {
            provider.api_keys.emplace_back().fixed = key;
            return true;
        }
    }
    AwsAccount &aws = provider.aws;
    if (provider.auth.kind == AuthKind::sigv4) {
        return read_environment(cf, "AWS_ACCESS_KEY_ID", aws.id.fixed) &&
               read_environment(cf, "AWS_SECRET_ACCESS_KEY", aws.secret.fixed) &&
               read_environment(cf, "AWS_SESSION_TOKEN", aws.token.fixed);
    }
    if (provider.auth.kind == AuthKind::google_oauth) {
        std::string path;
        return read_environment(cf, "GOOGLE_APPLICATION_CREDENTIALS", path) &&
               (path.empty() || read_account_file(cf, path, provider.service_account));
    }
    return true;
}

bool complete_credentials(ngx_conf_t *cf, Provider &provider) {
    provider.auth =
        provider.preset != nullptr ? provider.preset->auth : usual_auth(provider.dialect->id);
    bool has_own = has_header(provider, "authorization");
    if (!has_credentials(provider) && !has_own && !AwsAccount::is_set(provider.aws.id) &&
        !AwsAccount::is_set(provider.aws.secret) && !add_usual_credentials(cf, provider)) {
        return false;
    }
    if (!check_aws(cf, provider)) {
        return false;
    }
    if (provider.service_account && provider.auth.kind != AuthKind::google_oauth) {
        return complain(cf, provider.place, "provider \"%s\" has no use for a service_account",
                        provider.name.c_str());
    }
    if (!provider.api_keys.empty() && (provider.aws.is_given() || provider.service_account)) {
        return complain(cf, provider.place,
                        "provider \"%s\" takes either \"api_key\" or other credentials, not both",
                        provider.name.c_str());
    }
    AuthKind kind = provider.auth.kind;
    if (kind == AuthKind::query) {
        return complain(cf, provider.place,
                        "provider \"%s\" takes keys in addresses, where logs show them",
                        provider.name.c_str());
    }
    if (kind == AuthKind::sigv4 && !provider.aws.is_given()) {
        if (provider.api_keys.empty() && !has_own) {
            return complain(cf, provider.place,
                            "provider \"%s\" needs \"aws_access_key_id\" and "
                            "\"aws_secret_access_key\", or \"api_key\"",
                            provider.name.c_str());
        }
        provider.auth = {};
    } else if (kind == AuthKind::sigv4 && provider.variable(kRegion).empty()) {
        return complain_of_variable(cf, provider, provider.place, kRegion);
    }
    if (kind == AuthKind::google_oauth && !provider.service_account) {
        if (provider.api_keys.empty() && !has_own) {
            return complain(cf, provider.place,
                            "provider \"%s\" needs a \"service_account\", or \"api_key\"",
                            provider.name.c_str());
        }
        provider.auth = key_header("x-goog-api-key");
    }
    return true;
}

// The region of an account at Amazon is usually where its other tools have it.
bool add_usual_region(ngx_conf_t *cf, Provider &provider) {
    if (provider.preset == nullptr || provider.preset->auth.kind != AuthKind::sigv4 ||
        !provider.variable(kRegion).empty()) {
        return true;
    }
    std::string region;
    if (!read_environment(cf, "AWS_REGION AWS_REGION_NAME AWS_DEFAULT_REGION", region)) {
        return false;
    }
    if (!region.empty()) {
        provider.variables.push_back({std::string(kRegion), region, provider.place});
    }
    return true;
}

#undef LLM_VIEW

}  // namespace

bool Provider::is_mock() const {
    return preset != nullptr && preset->name == "mock";
}

ModelTraits Provider::traits_of(DialectId spoken, std::string_view model) const {
    return preset != nullptr ? preset_traits(*preset, spoken, model)
                             : model_traits(spoken, model, false);
}

const Speech &Provider::speech_for(const Dialect &client) const {
    for (const Speech &speech : speeches) {
        if (speech.dialect == &client) {
            return speech;
        }
    }
    return speeches.front();
}

std::string_view Provider::variable(std::string_view wanted) const {
    for (const ProviderVariable &known : variables) {
        if (known.name == wanted) {
            return known.value;
        }
    }
    return {};
}

bool complete_provider(ngx_conf_t *cf, Config &config, Provider &provider) {
    if (!find_preset(cf, provider)) {
        return false;
    }
    if (provider.is_mock()) {
        provider.dialect = &dialect(DialectId::openai);
        provider.auth = kNoAuth;
        provider.speeches.push_back({provider.dialect, {}, {}, {}, {}, Carrier::direct});
        return true;
    }
    return find_main_dialect(cf, provider) && check_variable_names(cf, provider) &&
           add_usual_region(cf, provider) && complete_credentials(cf, provider) &&
           make_speeches(cf, config, provider) && set_up_tls(cf, provider);
}

bool read_account_file(ngx_conf_t *cf, std::string_view path,
                       std::optional<ServiceAccount> &account) {
    std::string text;
    if (!read_secret_file(cf, path, text)) {
        return false;
    }
    Status parsed = parse_service_account(text, account.emplace());
    if (!parsed || !has_usable_key(*account)) {
        ngx_str_t name = str(path);
        ngx_str_t reason = str(parsed ? "its \"private_key\" cannot be used" : parsed.error().what);
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: \"%V\" is not the key file of a service account: %V", &name,
                           &reason);
        return false;
    }
    return true;
}

}  // namespace llm
