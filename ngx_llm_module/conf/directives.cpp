// The command table, made from directives.def, and the setters that are not nginx's own. Blocks
// (llm_provider, llm_model) are read in files of their own; what can only be checked when
// everything was read is in check.cpp.
#include "ngx_llm_module/conf/directives.hpp"

#include "ngx_llm_module/admin/admin.hpp"
#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/conf/blocks.hpp"
#include "ngx_llm_module/conf/redis_conf.hpp"
#include "ngx_llm_module/conf/routing_words.hpp"
#include "ngx_llm_module/conf/state_path.hpp"
#include "ngx_llm_module/observe/metrics_handler.hpp"
#include "ngx_llm_module/request/handler.hpp"
#include "ngx_llm_module/state/state_keeper.hpp"
#include "ngx_llm_module/state/zone.hpp"

namespace llm {
namespace {

Config &main_config(ngx_conf_t *cf) {
    auto *main = static_cast<ngx_http_llm_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_llm_module));
    return *main->config;
}

bool set_state_path(ngx_conf_t *cf, std::string_view file) {
    Config &config = main_config(cf);
    if (file.empty() || !config.state_path.empty()) {
        ngx_conf_log_error(
            NGX_LOG_EMERG, cf, 0,
            file.empty() ? "llm: state= names no file" : "llm: one state=FILE may be given");
        return false;
    }
    ngx_str_t path = copy_str(cf->pool, file);
    if (path.data == nullptr || ngx_conf_full_name(cf->cycle, &path, 0) != NGX_OK ||
        !add_state_threads(cf)) {
        return false;
    }
    config.state_path = view(path);
    return check_state_path(cf, config.state_path);
}

char *set_zone(ngx_conf_t *cf, ngx_command_t *, void *) {
    Config &config = main_config(cf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (config.zone_size != 0) {
        return const_cast<char *>("is duplicate");
    }
    for (ngx_uint_t i = 2; i < cf->args->nelts; i++) {
        if (view(args[i]).starts_with("state=")) {
            if (!set_state_path(cf, view(args[i]).substr(6))) {
                return conf_error();
            }
            continue;
        }
        if (view(args[i]) != "on_full=allow" && view(args[i]) != "on_full=deny") {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid parameter \"%V\" of llm_zone",
                               &args[i]);
            return conf_error();
        }
        config.deny_when_full = view(args[i]) == "on_full=deny";
    }
    ssize_t size = ngx_parse_size(&args[1]);
    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid zone size \"%V\"", &args[1]);
        return conf_error();
    }
    if (size_t least = least_zone_size(size_t(size)); least > size_t(size)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: zone size \"%V\" is too small, the minimum is %uzk", &args[1],
                           least / 1024);
        return conf_error();
    }
    config.zone_size = size_t(size);
    config.zone_place = ConfPlace::here(cf);
    return conf_ok();
}

ngx_http_core_loc_conf_t *own_location(ngx_conf_t *cf) {
    return static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
}

// Does the path of a request say what follows the location's own prefix?
void keep_prefix(const ngx_http_core_loc_conf_t &core, ngx_http_llm_loc_conf_t &loc) {
    if (!core.exact_match
#if (NGX_PCRE)
        && core.regex == nullptr
#endif
    ) {
        loc.location = core.name;
    }
}

char *set_pass(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (loc->pass != PassKind::unset) {
        return const_cast<char *>("is duplicate");
    }

    if (view(args[1]) == "models") {
        loc->pass = PassKind::models;
    } else if (ngx_http_script_variables_count(&args[1]) > 0) {
        loc->pass = PassKind::variable;
        loc->pass_value = static_cast<ngx_http_complex_value_t *>(
            ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t)));
        ngx_http_compile_complex_value_t compile;
        ngx_memzero(&compile, sizeof(compile));
        compile.cf = cf;
        compile.value = &args[1];
        compile.complex_value = loc->pass_value;
        if (loc->pass_value == nullptr || ngx_http_compile_complex_value(&compile) != NGX_OK) {
            return conf_error();
        }
    } else {
        // The provider may be declared further down: it is looked up when the location is merged.
        loc->pass = PassKind::provider;
        loc->provider_name = args[1];
    }

    ngx_http_core_loc_conf_t *core = own_location(cf);
    core->handler = guard<handle_request, NGX_HTTP_INTERNAL_SERVER_ERROR>;
    loc->handler = core->handler;
    loc->place_file = reinterpret_cast<const char *>(cf->conf_file->file.name.data);
    loc->place_line = cf->conf_file->line;
    keep_prefix(*core, *loc);
    main_config(cf).in_use = true;
    return conf_ok();
}

char *set_admin(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    if (loc->is_admin) {
        return const_cast<char *>("is duplicate");
    }
    loc->is_admin = true;
    ngx_http_core_loc_conf_t *core = own_location(cf);
    core->handler = guard<handle_admin, NGX_HTTP_INTERNAL_SERVER_ERROR>;
    loc->handler = core->handler;
    keep_prefix(*core, *loc);
    main_config(cf).in_use = true;
    return conf_ok();
}

char *set_prices(ngx_conf_t *cf, ngx_command_t *, void *) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    ngx_str_t name = args[1];
    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return conf_error();
    }
    main_config(cf).price_files.push_back({std::string(view(name)), ConfPlace::here(cf)});
    return conf_ok();
}

char *set_unknown_price(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (loc->unknown_price != NGX_CONF_UNSET_UINT) {
        return const_cast<char *>("is duplicate");
    }
    if (view(args[1]) != "count" && view(args[1]) != "refuse") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid value \"%V\", expected count or refuse", &args[1]);
        return conf_error();
    }
    loc->unknown_price = view(args[1]) == "count" ? kCountUnknownPrice : kRefuseUnknownPrice;
    return conf_ok();
}

char *set_limit(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    return read_limit_rule(cf, main_config(cf), loc->limits);
}

char *set_on_limit(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (loc->on_limit != NGX_CONF_UNSET_UINT) {
        return const_cast<char *>("is duplicate");
    }
    if (view(args[1]) != "finish" && view(args[1]) != "cut") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid value \"%V\", expected finish or cut", &args[1]);
        return conf_error();
    }
    loc->on_limit = view(args[1]) == "cut" ? kCutOnLimit : kFinishOnLimit;
    return conf_ok();
}

char *set_time_zone(ngx_conf_t *cf, ngx_command_t *, void *) {
    return read_time_zone(cf, main_config(cf));
}

char *set_recover(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (loc->recover != NGX_CONF_UNSET_UINT) {
        return const_cast<char *>("is duplicate");
    }
    return read_recover_word(cf, args[1], loc->recover) ? conf_ok() : conf_error();
}

char *set_all_cooled(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (loc->try_cooled != NGX_CONF_UNSET) {
        return const_cast<char *>("is duplicate");
    }
    if (view(args[1]) != "refuse" && view(args[1]) != "try") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid value \"%V\", expected refuse or try", &args[1]);
        return conf_error();
    }
    loc->try_cooled = view(args[1]) == "try";
    return conf_ok();
}

char *set_default_fallbacks(ngx_conf_t *cf, ngx_command_t *, void *) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    std::vector<Placed> &names = main_config(cf).default_fallbacks;
    if (!names.empty()) {
        return const_cast<char *>("is duplicate");
    }
    return read_names(cf, args + 1, cf->args->nelts - 1, names) ? conf_ok() : conf_error();
}

char *set_log_content(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (loc->content_log != NGX_CONF_UNSET_PTR) {
        return const_cast<char *>("is duplicate");
    }
    if (view(args[1]) == "off" && cf->args->nelts == 2) {
        loc->content_log = nullptr;
        return conf_ok();
    }
    if (cf->args->nelts == 3) {
        ngx_str_t size = str(view(args[2]).substr(std::min(size_t(4), args[2].len)));
        ssize_t most = view(args[2]).starts_with("max=") ? ngx_parse_size(&size) : NGX_ERROR;
        if (most <= 0 || view(args[1]) == "off") {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid parameter \"%V\"", &args[2]);
            return conf_error();
        }
        loc->content_log_max = size_t(most);
    }
    loc->content_log = ngx_conf_open_file(cf->cycle, &args[1]);
    return loc->content_log != nullptr ? conf_ok() : conf_error();
}

ngx_http_core_loc_conf_t *own_page(ngx_conf_t *cf, ngx_http_llm_loc_conf_t &loc) {
    loc.is_page = true;
    main_config(cf).in_use = true;
    return own_location(cf);
}

char *set_health(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    ngx_http_core_loc_conf_t *core = own_page(cf, *loc);
    core->handler = guard<handle_health_location, NGX_HTTP_INTERNAL_SERVER_ERROR>;
    loc->handler = core->handler;
    return conf_ok();
}

char *set_metrics(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    ngx_http_core_loc_conf_t *core = own_page(cf, *loc);
    core->handler = guard<handle_metrics, NGX_HTTP_INTERNAL_SERVER_ERROR>;
    loc->handler = core->handler;
    return conf_ok();
}

char *set_redis(ngx_conf_t *cf, ngx_command_t *, void *) {
    return read_redis_line(cf, main_config(cf));
}

char *set_provider(ngx_conf_t *cf, ngx_command_t *, void *) {
    return read_provider_block(cf, main_config(cf));
}

char *set_key(ngx_conf_t *cf, ngx_command_t *, void *) {
    return read_key_block(cf, main_config(cf));
}

char *set_team(ngx_conf_t *cf, ngx_command_t *, void *) {
    return read_team_block(cf, main_config(cf));
}

char *set_master_key(ngx_conf_t *cf, ngx_command_t *, void *) {
    return read_master_key(cf, main_config(cf));
}

char *set_auth(ngx_conf_t *cf, ngx_command_t *, void *conf) {
    auto *loc = static_cast<ngx_http_llm_loc_conf_t *>(conf);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (loc->auth != NGX_CONF_UNSET_UINT) {
        return const_cast<char *>("is duplicate");
    }
    if (view(args[1]) == "required") {
        loc->auth = kAuthRequired;
    } else if (view(args[1]) == "optional") {
        loc->auth = kAuthOptional;
    } else if (view(args[1]) == "off") {
        loc->auth = kAuthOff;
    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid value \"%V\", expected required, optional or off",
                           &args[1]);
        return conf_error();
    }
    return conf_ok();
}

char *set_model(ngx_conf_t *cf, ngx_command_t *, void *) {
    return read_model_block(cf, main_config(cf));
}

constexpr ngx_uint_t kAnyLevel = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

}  // namespace

#define LLM_DIRECTIVE(name, flags, setter, offset, ...) \
    {ngx_string(name), (flags), guard_conf<setter>, NGX_HTTP_LOC_CONF_OFFSET, (offset), nullptr},

ngx_command_t directives[] = {
#include "ngx_llm_module/conf/directives.def"
    ngx_null_command};

#undef LLM_DIRECTIVE

}  // namespace llm
