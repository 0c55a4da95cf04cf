// Completes and cross-checks the configuration (entry: complete_config, called once after the
// whole file was read). Every complaint names the file and line of the directive at fault.
#include "ngx_llm_module/conf/check.hpp"

#include <algorithm>

#include "ngx_llm_module/conf/accounts.hpp"
#include "ngx_llm_module/conf/addresses.hpp"
#include "ngx_llm_module/conf/complain.hpp"
#include "ngx_llm_module/conf/identities.hpp"
#include "ngx_llm_module/conf/prices.hpp"
#include "ngx_llm_module/conf/probes.hpp"
#include "ngx_llm_module/conf/routing_words.hpp"

namespace llm {
namespace {

bool needs_dns(const Config &config) {
    if (config.redis != nullptr) {
        return true;  // nodes of a cluster and masters may be named
    }
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
    if (!deployment.is_wildcard()) {
        for (const Speech &speech : deployment.provider->speeches) {
            deployment.traits.push_back(
                deployment.provider->traits_of(speech.dialect->id, deployment.model));
        }
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

bool complete_config(ngx_conf_t *cf, Config &config) {
    for (auto &provider : config.providers) {
        if (!complete_provider(cf, config, *provider)) {
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
    if (!check_ids(cf, config) || !index_models(cf, config) || !check_fallbacks(cf, config) ||
        !check_probes(cf, config)) {
        return false;
    }
    if (!check_identities(cf, config) || !read_prices(cf, config)) {
        return false;
    }
    price_deployments(config);
    if (needs_dns(config)) {
        config.resolver = make_resolver(cf);
    }
    return true;
}

}  // namespace llm
