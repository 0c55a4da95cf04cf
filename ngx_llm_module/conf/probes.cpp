// See probes.hpp.
#include "ngx_llm_module/conf/probes.hpp"

#include <algorithm>

#include "ngx_llm_module/conf/complain.hpp"
#include "ngx_llm_module/conf/locations.hpp"
#include "translators/wire/http1.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kShortestInterval = 1000;

// A credential in the form of a header.
bool is_credential(const Provider &provider, std::string_view name) {
    for (std::string_view known :
         {std::string_view("authorization"), std::string_view("x-api-key"), provider.auth.name}) {
        if (wire::same_name(name, known)) {
            return true;
        }
    }
    return false;
}

// What the level http says, with the defaults: its own settings are inherited by a location that
// nobody asks.
bool read_http_level(ngx_conf_t *cf, Config &config) {
    auto *own = static_cast<ngx_http_llm_loc_conf_t *>(create_location(cf));
    if (own == nullptr) {
        return false;
    }
    void *http = ngx_http_conf_get_module_loc_conf(cf, ngx_http_llm_module);
    if (merge_location(cf, http, own) != conf_ok()) {
        return false;
    }
    config.http_timeouts = {own->connect_timeout, own->first_token_timeout, own->idle_timeout,
                            own->timeout};
    config.http_cooldown_time = own->cooldown_time;
    config.http_allowed_fails = own->allowed_fails;
    return true;
}

bool check_deployment(ngx_conf_t *cf, const ProbeRule &probe, const Deployment &deployment) {
    const Provider &provider = *deployment.provider;
    if (provider.needs_client()) {
        return complain(cf, probe.place,
                        "deployment \"%s\" cannot be probed: a credential of provider \"%s\" is a "
                        "variable of the client's request",
                        deployment.id.c_str(), provider.name.c_str());
    }
    if (provider.is_mock()) {
        return true;
    }
    const Speech &speech = provider.speeches.front();
    if (probe.wants_list) {
        return !speech.list_path().empty() ||
               complain(cf, probe.place,
                        "deployment \"%s\" cannot be probed by \"models\": where provider \"%s\" "
                        "lists its models is not known",
                        deployment.id.c_str(), provider.name.c_str());
    }
    if (deployment.is_wildcard()) {
        return complain(cf, probe.place,
                        "deployment \"%s\" cannot be probed: it is a pattern, and which model to "
                        "ask is not known; \"probe TIME models\" asks for the list",
                        deployment.id.c_str());
    }
    return speech.dialect->is_provider() ||
           complain(cf, probe.place,
                    "deployment \"%s\" cannot be probed: provider \"%s\" speaks only what clients "
                    "pass through",
                    deployment.id.c_str(), provider.name.c_str());
}

}  // namespace

bool Provider::needs_client() const {
    auto is_variable = [](const Value &value) { return value.variable != nullptr; };
    return std::any_of(api_keys.begin(), api_keys.end(), is_variable) || is_variable(aws.id) ||
           is_variable(aws.secret) || is_variable(aws.token) ||
           std::any_of(headers.begin(), headers.end(), [&](const ProviderHeader &header) {
               return is_variable(header.value) && is_credential(*this, header.name);
           });
}

std::string Speech::list_path() const {
    constexpr std::string_view kModels = "/models/";
    if (carrier == Carrier::vertex || carrier == Carrier::bedrock) {
        return {};
    }
    std::string_view path = chat_path;
    switch (dialect->id) {
        case DialectId::gemini:
            return path.starts_with(kModels) ? "/models" : "";
        case DialectId::ollama:
            return path == dialect->chat_path ? "/api/tags" : "";
        case DialectId::openai:
        case DialectId::anthropic:
        case DialectId::responses:
            break;
        case DialectId::bedrock:
        case DialectId::cohere:
        case DialectId::completions:
            return {};
    }
    if (!path.ends_with(dialect->chat_path)) {
        return {};  // with a query, or a path of the provider's own
    }
    path.remove_suffix(dialect->chat_path.size());
    return path.find('{') == std::string_view::npos ? std::string(path) + "/models" : "";
}

bool read_probe(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    constexpr std::string_view kTimeout = "timeout=";
    ProbeRule &probe = model.probe;
    probe.place = ConfPlace::here(cf);
    ngx_int_t interval = ngx_parse_time(&args[0], 0);
    if (interval < ngx_int_t(kShortestInterval)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid time \"%V\" of probe, at least 1s is expected", &args[0]);
        return false;
    }
    probe.interval = ngx_msec_t(interval);
    for (ngx_uint_t i = 1; i < count; i++) {
        std::string_view text = view(args[i]);
        bool is_good = text == "models";
        if (is_good) {
            probe.wants_list = true;
        } else if (text.starts_with(kTimeout)) {
            ngx_str_t value = str(text.substr(kTimeout.size()));
            ngx_int_t time = ngx_parse_time(&value, 0);
            is_good = time > 0;
            probe.timeout = ngx_msec_t(time);
        }
        if (!is_good) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid parameter \"%V\" of probe",
                               &args[i]);
            return false;
        }
    }
    return true;
}

bool check_probes(ngx_conf_t *cf, Config &config) {
    for (const auto &model : config.models) {
        if (model->probe.interval == 0) {
            continue;
        }
        for (const Deployment &deployment : model->deployments) {
            if (!check_deployment(cf, model->probe, deployment)) {
                return false;
            }
        }
    }
    return read_http_level(cf, config);
}

}  // namespace llm
