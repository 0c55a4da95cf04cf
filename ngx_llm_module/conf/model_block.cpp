// llm_model NAME { }
#include <set>

#include "ngx_llm_module/conf/block_reader.hpp"
#include "ngx_llm_module/conf/blocks.hpp"
#include "ngx_llm_module/conf/prices.hpp"
#include "ngx_llm_module/conf/probes.hpp"
#include "ngx_llm_module/conf/routing_words.hpp"

namespace llm {
namespace {

bool read_mock_option(ngx_conf_t *cf, std::string_view name, ngx_str_t value, MockScript &mock,
                      bool &known) {
    known = true;
    ngx_uint_t number = 0;
    if (name == "reply") {
        mock.reply = view(value);
        return true;
    }
    if (name == "chunks") {
        return read_number(cf, value, 1, mock.chunks);
    }
    if (name == "interval") {
        return read_time(cf, value, mock.interval);
    }
    if (name == "delay") {
        return read_time(cf, value, mock.delay);
    }
    if (name == "status") {
        if (!read_number(cf, value, 200, mock.status)) {
            return false;
        }
        if (mock.status > 599) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid status \"%V\"", &value);
            return false;
        }
        return true;
    }
    if (name == "cut_after") {
        if (!read_number(cf, value, 0, number)) {
            return false;
        }
        mock.cut_after = ngx_int_t(number);
        return true;
    }
    known = false;
    return true;
}

bool read_deployment_option(ngx_conf_t *cf, ngx_str_t option, Deployment &deployment) {
    std::string_view text = view(option);
    size_t equals = text.find('=');
    std::string_view name = text.substr(0, equals);
    if (equals == std::string_view::npos) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid parameter \"%V\" of deployment",
                           &option);
        return false;
    }
    ngx_str_t value = str(text.substr(equals + 1));
    if (name == "weight") {
        deployment.is_weight_given = true;
        return read_number(cf, value, 0, deployment.weight);
    }
    if (name == "tags") {
        return read_tags(cf, value, deployment.tags);
    }
    if (name == "cooldown_time") {
        return read_time(cf, value, deployment.cooldown_time);
    }
    if (name == "order") {
        return read_number(cf, value, 0, deployment.order);
    }
    if (name == "id") {
        deployment.id = view(value);
        if (has_bad_character(deployment.id, false)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid deployment id \"%V\"", &value);
            return false;
        }
        return true;
    }
    if (name == "input_cost" || name == "output_cost") {
        return read_token_cost(cf, value, name == "input_cost" ? PriceKind::in : PriceKind::out,
                               deployment);
    }
    if (int64_t *limit = limit_by_name(name, deployment.limits)) {
        return read_limit(cf, name, value, *limit);
    }
    if (name == "max_budget") {
        return read_budget(cf, value, deployment.limits.budgets);
    }
    if (name == "on_outage") {
        return read_on_outage(cf, value, deployment.limits.on_outage.emplace());
    }
    if (ngx_msec_t *timeout = timeout_by_name(name, deployment.timeouts)) {
        return read_time(cf, value, *timeout);
    }
    bool known = false;
    if (!read_mock_option(cf, name, value, deployment.mock, known)) {
        return false;
    }
    if (!known) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown parameter \"%V\" of deployment",
                           &option);
    }
    return known;
}

bool read_deployment(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    std::string_view target = view(args[0]);
    size_t slash = target.find('/');
    if (slash == 0 || slash == std::string_view::npos || slash + 1 == target.size()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: deployment \"%V\" must have the form PROVIDER/MODEL", &args[0]);
        return false;
    }
    Deployment &deployment = model.deployments.emplace_back();
    deployment.place = ConfPlace::here(cf);
    deployment.provider_name = target.substr(0, slash);
    deployment.model = target.substr(slash + 1);
    if (deployment.is_wildcard() && !model.is_wildcard()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: deployment \"%V\" has a wildcard, its model \"%s\" has none",
                           &args[0], model.name.c_str());
        return false;
    }
    std::set<std::string_view> seen;
    for (ngx_uint_t i = 1; i < count; i++) {
        std::string_view name = view(args[i]).substr(0, view(args[i]).find('='));
        // Several budgets hold at once.
        if (!seen.insert(name).second && name != "max_budget") {
            return refuse_duplicate(cf, name);
        }
        if (!read_deployment_option(cf, args[i], deployment)) {
            return false;
        }
    }
    return true;
}

bool read_alias(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    for (ngx_uint_t i = 0; i < count; i++) {
        if (has_bad_character(view(args[i]), false)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid alias \"%V\"", &args[i]);
            return false;
        }
        model.aliases.push_back({std::string(view(args[i])), ConfPlace::here(cf)});
    }
    return true;
}

bool read_drop_params(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Model &model) {
    bool flag = false;
    if (!read_flag(cf, args[0], flag)) {
        return false;
    }
    model.drop_params = flag;
    return true;
}

constexpr Line<Model> kModelLines[] = {
    {"deployment", 1, 32, read_deployment, Occurs::often},
    {"alias", 1, 64, read_alias, Occurs::often},
    {"drop_params", 1, 1, read_drop_params},
    {"llm_drop_params", 1, 1, read_drop_params},
    {"strategy", 1, 2, read_strategy},
    {"affinity", 1, 1, read_affinity},
    {"hedge", 1, 2, read_hedge},
    {"probe", 1, 3, read_probe},
    {"fallbacks", 1, 64, read_fallbacks<&Routing::fallbacks>, Occurs::often},
    {"context_window_fallbacks", 1, 64, read_fallbacks<&Routing::context_fallbacks>},
    {"content_policy_fallbacks", 1, 64, read_fallbacks<&Routing::content_fallbacks>},
    {"num_retries", 1, 1, read_count<&Routing::num_retries>},
    {"llm_num_retries", 1, 1, read_count<&Routing::num_retries>},
    {"allowed_fails", 1, 1, read_count<&Routing::allowed_fails>},
    {"llm_allowed_fails", 1, 1, read_count<&Routing::allowed_fails>},
    {"cooldown_time", 1, 1, read_cooldown_time},
    {"llm_cooldown_time", 1, 1, read_cooldown_time},
    {"recover", 1, 1, read_recover},
    {"llm_recover", 1, 1, read_recover},
    LLM_TIMEOUT_LINES(Model),
};

}  // namespace

char *read_model_block(ngx_conf_t *cf, Config &config) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (has_bad_character(view(args[1]), true)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid model name \"%V\" (a \"*\" may stand at the end only)",
                           &args[1]);
        return conf_error();
    }
    Model &model = *config.models.emplace_back(std::make_unique<Model>());
    model.name = view(args[1]);
    model.place = ConfPlace::here(cf);
    char *result = read_block(cf, kModelLines, model, "llm_model");
    if (result == conf_ok() && model.deployments.empty()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: model \"%s\" has no deployment",
                           model.name.c_str());
        return conf_error();
    }
    return result;
}

}  // namespace llm
