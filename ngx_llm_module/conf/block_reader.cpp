// Words that stand in every kind of block.
#include "ngx_llm_module/conf/block_reader.hpp"

namespace llm {

// Names stand in URLs, headers and logs.
bool has_bad_character(std::string_view name, bool star_at_end) {
    for (size_t i = 0; i < name.size(); i++) {
        unsigned char c = static_cast<unsigned char>(name[i]);
        if (c <= 0x20 || c == 0x7f || c == '"' || c == '\\' ||
            (c == '*' && !(star_at_end && i + 1 == name.size()))) {
            return true;
        }
    }
    return name.empty();
}

bool read_time(ngx_conf_t *cf, ngx_str_t text, ngx_msec_t &time) {
    ngx_int_t parsed = ngx_parse_time(&text, 0);
    if (parsed == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid time \"%V\"", &text);
        return false;
    }
    time = ngx_msec_t(parsed);
    return true;
}

bool read_number(ngx_conf_t *cf, ngx_str_t text, ngx_int_t least, ngx_uint_t &number) {
    ngx_int_t parsed = ngx_atoi(text.data, text.len);
    if (parsed == NGX_ERROR || parsed < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid number \"%V\", expected %i or more",
                           &text, least);
        return false;
    }
    number = ngx_uint_t(parsed);
    return true;
}

bool read_flag(ngx_conf_t *cf, ngx_str_t text, bool &flag) {
    if (view(text) == "on" || view(text) == "off") {
        flag = view(text) == "on";
        return true;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid value \"%V\", expected on or off",
                       &text);
    return false;
}

bool refuse_duplicate(ngx_conf_t *cf, std::string_view what) {
    ngx_str_t shown = str(what);
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: \"%V\" is duplicate", &shown);
    return false;
}

bool read_limit(ngx_conf_t *cf, std::string_view what, ngx_str_t text, int64_t &limit) {
    ngx_uint_t number = 0;
    if (limit != kNoLimit) {
        return refuse_duplicate(cf, what);
    }
    if (!read_number(cf, text, 0, number)) {
        return false;
    }
    limit = int64_t(number);
    return true;
}

bool read_dollars(ngx_conf_t *cf, ngx_str_t text, int64_t &nanos) {
    nanos = parse_dollars(view(text));
    if (nanos < 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid amount \"%V\", expected dollars such as 12.50", &text);
        return false;
    }
    return true;
}

bool read_budget(ngx_conf_t *cf, ngx_str_t text, std::vector<Budget> &budgets) {
    std::string_view amount = view(text);
    size_t slash = amount.find('/');
    Budget budget;
    if (!read_dollars(cf, str(amount.substr(0, slash)), budget.nanos)) {
        return false;
    }
    if (slash != std::string_view::npos && !parse_period(amount.substr(slash + 1), budget.period)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid period in \"%V\", expected AMOUNT/PERIOD such as 50/30d, "
                           "5/1d or 2/12h",
                           &text);
        return false;
    }
    for (const Budget &other : budgets) {
        if (other.period == budget.period) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: second budget for the period of \"%V\"",
                               &text);
            return false;
        }
    }
    budgets.push_back(budget);
    return true;
}

bool read_on_outage(ngx_conf_t *cf, ngx_str_t text, OnOutage &on_outage) {
    if (parse_on_outage(view(text), on_outage)) {
        return true;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "llm: invalid on_outage \"%V\", expected local, allow or deny", &text);
    return false;
}

int64_t *limit_by_name(std::string_view name, LimitSet &limits) {
    return name == "rpm"                     ? &limits.rpm
           : name == "tpm"                   ? &limits.tpm
           : name == "max_parallel_requests" ? &limits.max_parallel_requests
                                             : nullptr;
}

ngx_msec_t *timeout_by_name(std::string_view name, Timeouts &timeouts) {
    if (name.starts_with("llm_")) {
        name.remove_prefix(4);
    }
    return name == "connect_timeout"       ? &timeouts.connect
           : name == "first_token_timeout" ? &timeouts.first_token
           : name == "idle_timeout"        ? &timeouts.idle
           : name == "timeout"             ? &timeouts.total
                                           : nullptr;
}

}  // namespace llm
