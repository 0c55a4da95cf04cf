// Settings of a location: defaults, inheritance, and what llm_pass needs of nginx's own settings.
#include "ngx_llm_module/conf/locations.hpp"

namespace llm {
namespace {

constexpr off_t kNginxDefaultBody = 1024 * 1024;

// What the body is received through on its way into the gateway's own buffer; given back as soon
// as it is whole. nginx's default of two pages means a system call for every 8 KB.
constexpr size_t kBodyBuffer = 64 * 1024;

// An `if` inside the location is a location of its own; it inherits the gateway with its handler.
void inherit_pass(ngx_conf_t *cf, const ngx_http_llm_loc_conf_t &parent,
                  ngx_http_llm_loc_conf_t &own) {
    auto *core = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    if (own.pass == PassKind::unset && core->noname && parent.pass != PassKind::unset) {
        own.pass = parent.pass;
        own.provider = parent.provider;
        own.provider_name = parent.provider_name;
        own.pass_value = parent.pass_value;
        own.location = parent.location;
        own.handler = parent.handler;
        core->handler = parent.handler;
    }
    if (own.pass == PassKind::unset && core->noname && (parent.is_admin || parent.is_page)) {
        own.is_admin = parent.is_admin;
        own.is_page = parent.is_page;
        own.location = parent.location;
        own.handler = parent.handler;
        core->handler = parent.handler;
    }
    // nginx's limit of 1m is made for forms; ours is llm_max_body, and the admin API has its own.
    // Another value was meant.
    if ((own.pass != PassKind::unset || own.is_admin) &&
        core->client_max_body_size == kNginxDefaultBody) {
        core->client_max_body_size = 0;
    }
    if (own.pass != PassKind::unset && core->client_body_buffer_size == 2 * ngx_pagesize) {
        core->client_body_buffer_size = kBodyBuffer;
    }
}

// Before a request has a location its server answers for it.
void note_location(ngx_conf_t *cf, const ngx_http_llm_loc_conf_t &own,
                   ngx_http_llm_loc_conf_t &parent) {
    auto *core = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    if (!core->noname) {
        bool is_own = own.pass != PassKind::unset || own.is_admin || own.is_page;
        (is_own ? parent.has_own : parent.has_other) = true;
    }
}

}  // namespace

void *create_location(ngx_conf_t *cf) {
    auto *conf = static_cast<ngx_http_llm_loc_conf_t *>(
        ngx_pcalloc(cf->pool, sizeof(ngx_http_llm_loc_conf_t)));
    if (conf == nullptr) {
        return nullptr;
    }
    conf->connect_timeout = NGX_CONF_UNSET_MSEC;
    conf->first_token_timeout = NGX_CONF_UNSET_MSEC;
    conf->idle_timeout = NGX_CONF_UNSET_MSEC;
    conf->timeout = NGX_CONF_UNSET_MSEC;
    conf->ping = NGX_CONF_UNSET_MSEC;
    conf->stream_usage = NGX_CONF_UNSET;
    conf->drop_params = NGX_CONF_UNSET;
    conf->unknown_price = NGX_CONF_UNSET_UINT;
    conf->auth = NGX_CONF_UNSET_UINT;
    conf->num_retries = NGX_CONF_UNSET_UINT;
    conf->max_fallbacks = NGX_CONF_UNSET_UINT;
    conf->allowed_fails = NGX_CONF_UNSET_UINT;
    conf->cooldown_time = NGX_CONF_UNSET_MSEC;
    conf->recover = NGX_CONF_UNSET_UINT;
    conf->try_cooled = NGX_CONF_UNSET;
    conf->max_body = NGX_CONF_UNSET_SIZE;
    conf->on_limit = NGX_CONF_UNSET_UINT;
    conf->reserve_tokens = NGX_CONF_UNSET;
    conf->limit_free_models = NGX_CONF_UNSET;
    conf->scope_headers = NGX_CONF_UNSET;
    conf->content_log = static_cast<ngx_open_file_t *>(NGX_CONF_UNSET_PTR);
    conf->content_log_max = NGX_CONF_UNSET_SIZE;
    return conf;
}

char *merge_location(ngx_conf_t *cf, void *parent, void *child) {
    auto *prev = static_cast<ngx_http_llm_loc_conf_t *>(parent);
    auto *conf = static_cast<ngx_http_llm_loc_conf_t *>(child);
    ngx_conf_merge_msec_value(conf->connect_timeout, prev->connect_timeout, 10000);
    ngx_conf_merge_msec_value(conf->first_token_timeout, prev->first_token_timeout, 600000);
    ngx_conf_merge_msec_value(conf->idle_timeout, prev->idle_timeout, 300000);
    ngx_conf_merge_msec_value(conf->timeout, prev->timeout, 1800000);
    ngx_conf_merge_msec_value(conf->ping, prev->ping, 15000);
    ngx_conf_merge_value(conf->stream_usage, prev->stream_usage, 0);
    ngx_conf_merge_value(conf->drop_params, prev->drop_params, 0);
    ngx_conf_merge_uint_value(conf->unknown_price, prev->unknown_price, kCountUnknownPrice);
    ngx_conf_merge_uint_value(conf->auth, prev->auth, kAuthByKeys);
    ngx_conf_merge_uint_value(conf->num_retries, prev->num_retries, 0);
    ngx_conf_merge_uint_value(conf->max_fallbacks, prev->max_fallbacks, 5);
    ngx_conf_merge_uint_value(conf->allowed_fails, prev->allowed_fails, kFailsByRate);
    ngx_conf_merge_msec_value(conf->cooldown_time, prev->cooldown_time, 5000);
    ngx_conf_merge_uint_value(conf->recover, prev->recover, kRecoverOff);
    ngx_conf_merge_value(conf->try_cooled, prev->try_cooled, 0);
    if (conf->content_log == NGX_CONF_UNSET_PTR) {
        conf->content_log = prev->content_log == NGX_CONF_UNSET_PTR ? nullptr : prev->content_log;
    }
    ngx_conf_merge_size_value(conf->content_log_max, prev->content_log_max, 64 * 1024);
    ngx_conf_merge_size_value(conf->max_body, prev->max_body, 32 * 1024 * 1024);
    ngx_conf_merge_uint_value(conf->on_limit, prev->on_limit, kFinishOnLimit);
    ngx_conf_merge_value(conf->reserve_tokens, prev->reserve_tokens, 1000);
    ngx_conf_merge_value(conf->limit_free_models, prev->limit_free_models, 0);
    ngx_conf_merge_value(conf->scope_headers, prev->scope_headers, 0);
    if (conf->limits == nullptr) {
        conf->limits = prev->limits;
    }

    if (conf->pass == PassKind::provider && conf->provider == nullptr) {
        auto *main = static_cast<ngx_http_llm_main_conf_t *>(
            ngx_http_conf_get_module_main_conf(cf, ngx_http_llm_module));
        conf->provider = main->config->find_provider(view(conf->provider_name));
        if (conf->provider == nullptr) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "llm: unknown provider \"%V\" in llm_pass in %s:%ui",
                          &conf->provider_name, conf->place_file, conf->place_line);
            return conf_error();
        }
    }
    inherit_pass(cf, *prev, *conf);
    note_location(cf, *conf, *prev);
    return conf_ok();
}

}  // namespace llm
