// Completes and cross-checks the configuration (entry: complete_config, called once after the
// whole file was read). Every complaint names the file and line of the directive at fault.
#include "ngx_llm_module/conf/check.hpp"

#include <algorithm>
#include <cstdlib>

#include "ngx_llm_module/conf/addresses.hpp"
#include "ngx_llm_module/conf/tls.hpp"

namespace llm {
namespace {

template <class... Args>
bool complain(ngx_conf_t *cf, const ConfPlace &place, const char *format, Args... args) {
    u_char text[NGX_MAX_ERROR_STR];
    u_char *end = ngx_snprintf(text, sizeof(text) - 1, format, args...);
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "llm: %*s in %s:%ui", size_t(end - text), text,
                  place.file.c_str(), place.line);
    return false;
}

bool complete_provider(ngx_conf_t *cf, Provider &provider) {
    if (provider.preset == nullptr) {
        provider.preset = find_provider_preset(provider.name);
    }
    if (provider.preset == nullptr && (provider.dialect == nullptr || provider.base_urls.empty())) {
        return complain(cf, provider.place,
                        "provider \"%s\" is no preset: it needs \"preset\", or \"dialect\" and "
                        "\"base_url\"",
                        provider.name.c_str());
    }
    if (provider.is_mock()) {
        provider.dialect = &dialect(DialectId::openai);
        return true;
    }
    if (provider.dialect == nullptr) {
        provider.dialect = &dialect(provider.preset->dialect);
    }
    if (provider.base_urls.empty()) {
        if (provider.preset->base_url.empty()) {
            return complain(cf, provider.place, "provider \"%s\" needs a \"base_url\"",
                            provider.name.c_str());
        }
        provider.base_urls.push_back({std::string(provider.preset->base_url), provider.place});
    }
    if (provider.api_keys.empty() && provider.preset != nullptr &&
        !provider.preset->key_env.empty()) {
        const char *key = std::getenv(std::string(provider.preset->key_env).c_str());
        if (key != nullptr && *key != '\0') {
            provider.api_keys.emplace_back().fixed = key;
        }
    }
    return true;
}

bool make_endpoints(ngx_conf_t *cf, Config &config, Provider &provider) {
    for (const auto &[url, place] : provider.base_urls) {
        Endpoint &endpoint = provider.endpoints.emplace_back();
        endpoint.provider = &provider;
        endpoint.index = config.endpoint_count++;
        if (const char *wrong = parse_base_url(url, endpoint)) {
            return complain(cf, place, "base_url \"%s\": %s", url.c_str(), wrong);
        }
        if (!provider.ssl_name.empty()) {
            endpoint.ssl_name = provider.ssl_name;
        }
        find_fixed_addresses(cf, endpoint);
    }
    bool needs_tls = std::any_of(provider.endpoints.begin(), provider.endpoints.end(),
                                 [](const Endpoint &endpoint) { return endpoint.tls; });
    if (needs_tls) {
        std::string wrong;
        provider.ssl = tls_context(cf, provider, wrong);
        if (provider.ssl == nullptr) {
            const ConfPlace &own = provider.ssl_trusted_certificate.place;
            return complain(cf, own.line != 0 ? own : provider.place, "provider \"%s\": %s",
                            provider.name.c_str(), wrong.c_str());
        }
    }
    return true;
}

bool needs_dns(const Config &config) {
    for (const auto &provider : config.providers) {
        for (const Endpoint &endpoint : provider->endpoints) {
            if (endpoint.fixed_addresses.empty()) {
                return true;
            }
        }
    }
    return false;
}

// PROVIDER/MODEL may be asked for without an llm_model; also what `llm_pass PROVIDER` uses.
void add_direct_model(Config &config, const Provider &provider) {
    Model &model = *config.direct.emplace_back(std::make_unique<Model>());
    model.name = provider.name + "/*";
    model.place = provider.place;
    Deployment &deployment = model.deployments.emplace_back();
    deployment.provider = &provider;
    deployment.provider_name = provider.name;
    deployment.model = "*";
    deployment.id = model.name;
    deployment.place = provider.place;
}

bool complete_deployment(ngx_conf_t *cf, const Config &config, Deployment &deployment) {
    deployment.provider = config.find_provider(deployment.provider_name);
    if (deployment.provider == nullptr) {
        return complain(cf, deployment.place, "deployment \"%s/%s\": unknown provider \"%s\"",
                        deployment.provider_name.c_str(), deployment.model.c_str(),
                        deployment.provider_name.c_str());
    }
    if (!deployment.provider->is_mock()) {
        const MockScript none;
        const MockScript &mock = deployment.mock;
        if (!mock.reply.empty() || mock.chunks != none.chunks || mock.interval != none.interval ||
            mock.delay != none.delay || mock.status != none.status ||
            mock.cut_after != none.cut_after) {
            return complain(cf, deployment.place,
                            "deployment \"%s/%s\": reply, chunks, interval, status, cut_after and "
                            "delay are for the preset mock",
                            deployment.provider_name.c_str(), deployment.model.c_str());
        }
    }
    return true;
}

// An id stands in logs, headers and the shared table, so it must be one of a kind: the second
// deployment of the same model at the same provider gets a number.
void give_ids(Config &config) {
    std::unordered_map<std::string, int> seen;
    for (auto &model : config.models) {
        for (Deployment &deployment : model->deployments) {
            if (deployment.id.empty()) {
                std::string base = deployment.provider_name + "/" + deployment.model;
                int number = ++seen[base];
                deployment.id = number == 1 ? base : base + "#" + std::to_string(number);
            }
        }
    }
}

bool check_ids(ngx_conf_t *cf, const Config &config) {
    std::unordered_map<std::string_view, const Deployment *> seen;
    for (const auto &model : config.models) {
        for (const Deployment &deployment : model->deployments) {
            if (!seen.emplace(deployment.id, &deployment).second) {
                return complain(cf, deployment.place, "duplicate deployment id \"%s\"",
                                deployment.id.c_str());
            }
        }
    }
    return true;
}

bool add_model_name(ngx_conf_t *cf, Config &config, const Model &model, std::string_view name,
                    const ConfPlace &place) {
    if (!config.by_name.emplace(name, &model).second) {
        return complain(cf, place, "duplicate model name \"%s\"", std::string(name).c_str());
    }
    return true;
}

bool index_models(ngx_conf_t *cf, Config &config) {
    for (const auto &model : config.models) {
        if (model->is_wildcard()) {
            for (const Model *other : config.wildcards) {
                if (other->name == model->name) {
                    return complain(cf, model->place, "duplicate model name \"%s\"",
                                    model->name.c_str());
                }
            }
            config.wildcards.push_back(model.get());
        } else if (!add_model_name(cf, config, *model, model->name, model->place)) {
            return false;
        }
        for (const auto &[alias, place] : model->aliases) {
            if (!add_model_name(cf, config, *model, alias, place)) {
                return false;
            }
        }
    }
    std::stable_sort(
        config.wildcards.begin(), config.wildcards.end(),
        [](const Model *a, const Model *b) { return a->name.size() > b->name.size(); });
    return true;
}

}  // namespace

Provider *Config::find_provider(std::string_view name) const {
    for (const auto &provider : providers) {
        if (provider->name == name) {
            return provider.get();
        }
    }
    return nullptr;
}

bool Provider::is_mock() const {
    return preset != nullptr && preset->name == "mock";
}

bool complete_config(ngx_conf_t *cf, Config &config) {
    for (auto &provider : config.providers) {
        if (!complete_provider(cf, *provider) || !make_endpoints(cf, config, *provider)) {
            return false;
        }
        add_direct_model(config, *provider);
    }
    for (auto &model : config.models) {
        for (Deployment &deployment : model->deployments) {
            if (!complete_deployment(cf, config, deployment)) {
                return false;
            }
        }
    }
    give_ids(config);
    if (!check_ids(cf, config) || !index_models(cf, config)) {
        return false;
    }
    if (needs_dns(config)) {
        config.resolver = make_resolver(cf);
    }
    return true;
}

}  // namespace llm
