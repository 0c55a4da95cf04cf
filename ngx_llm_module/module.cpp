// The two modules in this file are tables: they point to what lives elsewhere.
//   ngx_http_llm_module         directives, content handlers, shared memory, workers
//   ngx_http_llm_filter_module  error pages in the caller's dialect, the request body filter
#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/conf/check.hpp"
#include "ngx_llm_module/conf/directives.hpp"
#include "ngx_llm_module/conf/locations.hpp"
#include "ngx_llm_module/conf/prices.hpp"
#include "ngx_llm_module/filter/error_pages.hpp"
#include "ngx_llm_module/observe/budgets.hpp"
#include "ngx_llm_module/observe/metrics_handler.hpp"
#include "ngx_llm_module/observe/variables.hpp"
#include "ngx_llm_module/policy/budget_floors.hpp"
#include "ngx_llm_module/policy/expired_keys.hpp"
#include "ngx_llm_module/policy/limit_store.hpp"
#include "ngx_llm_module/policy/record_cache.hpp"
#include "ngx_llm_module/policy/redis_floors.hpp"
#include "ngx_llm_module/policy/shared_cooldowns.hpp"
#include "ngx_llm_module/policy/shared_records.hpp"
#include "ngx_llm_module/policy/shared_spend.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/request/access.hpp"
#include "ngx_llm_module/request/body.hpp"
#include "ngx_llm_module/request/shutdown.hpp"
#include "ngx_llm_module/state/inflight.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/state/saved_budgets.hpp"
#include "ngx_llm_module/state/spend.hpp"
#include "ngx_llm_module/state/state_file.hpp"
#include "ngx_llm_module/state/state_keeper.hpp"
#include "ngx_llm_module/upstream/prober.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {

// Counters that are saved beside the records: name, generation, save, load.
static constexpr StateSection kStateSections[] = {
    {"spend", spend_generation, save_spend, load_spend},
    {"budgets", budgets_generation, save_budgets, load_budgets},
};
const std::span<const StateSection> state_sections = kStateSections;

namespace {

ngx_int_t before_configuration(ngx_conf_t *cf) {
    return add_variables(cf) ? NGX_OK : NGX_ERROR;
}

ngx_int_t after_configuration(ngx_conf_t *cf) {
    auto *main = static_cast<ngx_http_llm_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_llm_module));
    if (main->config->in_use &&
        (!add_zone(cf, *main->config) || !install_access(cf) || !install_log_handler(cf))) {
        return NGX_ERROR;
    }
    return NGX_OK;
}

void *create_main(ngx_conf_t *cf) {
    auto *main = static_cast<ngx_http_llm_main_conf_t *>(
        ngx_pcalloc(cf->pool, sizeof(ngx_http_llm_main_conf_t)));
    if (main == nullptr) {
        return nullptr;
    }
    main->config = pool_new<Config>(cf->pool);
    return main->config != nullptr ? main : nullptr;
}

Config *config_of(ngx_cycle_t *cycle) {
    auto *main = static_cast<ngx_http_llm_main_conf_t *>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_llm_module));
    return main != nullptr && main->config->in_use ? main->config : nullptr;
}

// A reload that fails because of its prices changes nothing: the metric tells of it.
void count_bad_prices() {
    auto *running = const_cast<ngx_cycle_t *>(ngx_cycle);
    if (running != nullptr && running->conf_ctx != nullptr) {
        if (Config *config = config_of(running)) {
            open_metrics(*config);
            count(Metric::price_file_errors);
        }
    }
}

// Runs when the whole http block was read and before locations are merged.
char *init_main(ngx_conf_t *cf, void *conf) {
    auto *main = static_cast<ngx_http_llm_main_conf_t *>(conf);
    if (complete_config(cf, *main->config)) {
        return conf_ok();
    }
    if (are_prices_bad()) {
        count_bad_prices();
    }
    return conf_error();
}

ngx_int_t init_process(ngx_cycle_t *cycle) {
    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        return NGX_OK;  // cache managers serve no requests
    }
    if (Config *config = config_of(cycle)) {
        watch_shutdown(cycle);
        claim_row(*config);
        if (!has_row()) {
            ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                          "llm: no free row in the zone, requests of this worker are not counted");
        }
        start_redis(*config);
        start_limits(*config);
        open_metrics(*config);
        open_spend(*config);
        start_state_keeper(*config, cycle);
        start_sharing(*config);
        start_expiry(*config);
        start_shared_spend(*config);
        start_raising(*config);
        start_shared_cooldowns(*config);
        if (!start_worker(*config)) {
            return NGX_ERROR;
        }
        start_probes(*config);
    }
    return NGX_OK;
}

// The configuration that was read is the one in use from here on.
ngx_int_t init_module(ngx_cycle_t *cycle) {
    Config *config = config_of(cycle);
    keep_zone(config);
    if (config != nullptr && ngx_test_config == 0) {
        raise_configured(*config);
    }
    return NGX_OK;
}

// When the last worker is gone, however it went.
void exit_master(ngx_cycle_t *cycle) {
    if (Config *config = config_of(cycle)) {
        save_last_state(*config);
        tell_owed_spend(*config);
    }
}

void exit_process(ngx_cycle_t *cycle) {
    end_at_shutdown(cycle);
    stop_raising();
    if (Config *config = config_of(cycle)) {
        release_row(*config);
        stop_shared_spend(*config);
    }
    stop_budgets();
    stop_limits();
    stop_probes();
    stop_worker();
    stop_shared_cooldowns();
    stop_expiry();
    stop_sharing();
    stop_redis();
    stop_state_keeper();
    clear_record_cache();
}

ngx_int_t install_filters(ngx_conf_t *) {
    install_error_pages();
    install_body_filter();
    return NGX_OK;
}

}  // namespace
}  // namespace llm

static ngx_http_module_t llm_module_context = {
    llm::guard<llm::before_configuration, NGX_ERROR>,
    llm::guard<llm::after_configuration, NGX_ERROR>,
    llm::guard<llm::create_main>,
    llm::guard<llm::init_main>,
    nullptr,
    nullptr,
    llm::guard<llm::create_location>,
    llm::guard<llm::merge_location>,
};

ngx_module_t ngx_http_llm_module = {
    NGX_MODULE_V1,
    &llm_module_context,
    llm::directives,
    NGX_HTTP_MODULE,
    nullptr,
    llm::guard<llm::init_module, NGX_ERROR>,
    llm::guard<llm::init_process, NGX_ERROR>,
    nullptr,
    nullptr,
    llm::guard<llm::exit_process>,
    llm::guard<llm::exit_master>,
    NGX_MODULE_V1_PADDING,
};

static ngx_http_module_t llm_filter_module_context = {
    nullptr, llm::guard<llm::install_filters, NGX_ERROR>,
    nullptr, nullptr,
    nullptr, nullptr,
    nullptr, nullptr,
};

ngx_module_t ngx_http_llm_filter_module = {
    NGX_MODULE_V1, &llm_filter_module_context,
    nullptr,       NGX_HTTP_MODULE,
    nullptr,       nullptr,
    nullptr,       nullptr,
    nullptr,       nullptr,
    nullptr,       NGX_MODULE_V1_PADDING,
};
