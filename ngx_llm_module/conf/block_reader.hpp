// How a block of the configuration (llm_provider NAME { }) is read: each line of it is a row in a
// table of names and readers; two names with one reader are one setting. Errors are logged with
// file and line where they stand; what needs the whole configuration (does that provider exist?) is
// left to check.cpp.
#pragma once

#include <algorithm>
#include <vector>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/conf/config.hpp"

namespace llm {

enum class Occurs : uint8_t { once, often };

template <class Object>
struct Line {
    using Read = bool (*)(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Object &object);

    std::string_view name;
    ngx_uint_t min_args, max_args;
    Read read;
    Occurs occurs = Occurs::once;
};

template <class Object>
struct Block {
    const Line<Object> *lines;
    size_t count;
    Object *object;
    const char *directive;
    std::vector<typename Line<Object>::Read> seen;  // of what occurs once
};

bool refuse_duplicate(ngx_conf_t *cf, std::string_view what);

template <class Object>
char *read_line(ngx_conf_t *cf, ngx_command_t *, void *data) {
    auto &block = *static_cast<Block<Object> *>(data);
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    ngx_uint_t count = cf->args->nelts - 1;
    for (size_t i = 0; i < block.count; i++) {
        const Line<Object> &line = block.lines[i];
        if (line.name != view(args[0])) {
            continue;
        }
        if (count < line.min_args || count > line.max_args) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "llm: invalid number of arguments in \"%V\" of %s", &args[0],
                               block.directive);
            return conf_error();
        }
        if (line.occurs == Occurs::once) {
            if (std::find(block.seen.begin(), block.seen.end(), line.read) != block.seen.end()) {
                (void)refuse_duplicate(cf, line.name);
                return conf_error();
            }
            block.seen.push_back(line.read);
        }
        return line.read(cf, args + 1, count, *block.object) ? conf_ok() : conf_error();
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown directive \"%V\" in %s", &args[0],
                       block.directive);
    return conf_error();
}

template <class Object, size_t N>
char *read_block(ngx_conf_t *cf, const Line<Object> (&lines)[N], Object &object,
                 const char *directive) {
    Block<Object> block{lines, N, &object, directive, {}};
    ngx_conf_t saved = *cf;
    cf->handler = guard_conf<read_line<Object>>;
    cf->handler_conf = &block;
    char *result = ngx_conf_parse(cf, nullptr);
    *cf = saved;
    return result;
}

// Names stand in URLs, headers and logs.
bool has_bad_character(std::string_view name, bool star_at_end);

// Each logs what is wrong and says false.
bool read_time(ngx_conf_t *cf, ngx_str_t text, ngx_msec_t &time);
bool read_number(ngx_conf_t *cf, ngx_str_t text, ngx_int_t least, ngx_uint_t &number);
bool read_flag(ngx_conf_t *cf, ngx_str_t text, bool &flag);

// One that has a value already is duplicate.
bool read_limit(ngx_conf_t *cf, std::string_view what, ngx_str_t text, int64_t &limit);
bool read_dollars(ngx_conf_t *cf, ngx_str_t text, int64_t &nanos);
bool read_budget(ngx_conf_t *cf, ngx_str_t text, std::vector<Budget> &budgets);  // one more
bool read_on_outage(ngx_conf_t *cf, ngx_str_t text, OnOutage &on_outage);

// None: it is not the name of a limit: rpm, tpm, max_parallel_requests.
int64_t *limit_by_name(std::string_view name, LimitSet &limits);

// None: it is not the name of a time-out.
ngx_msec_t *timeout_by_name(std::string_view name, Timeouts &timeouts);

template <class Object, ngx_msec_t Timeouts::*Which>
bool read_timeout(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Object &object) {
    return read_time(cf, args[0], object.timeouts.*Which);
}

// Both spellings: the ones of the enclosing levels, and without their prefix.
#define LLM_TIMEOUT_LINES(Object)                                                        \
    {"connect_timeout", 1, 1, read_timeout<Object, &Timeouts::connect>},                 \
        {"first_token_timeout", 1, 1, read_timeout<Object, &Timeouts::first_token>},     \
        {"idle_timeout", 1, 1, read_timeout<Object, &Timeouts::idle>},                   \
        {"timeout", 1, 1, read_timeout<Object, &Timeouts::total>},                       \
        {"llm_connect_timeout", 1, 1, read_timeout<Object, &Timeouts::connect>},         \
        {"llm_first_token_timeout", 1, 1, read_timeout<Object, &Timeouts::first_token>}, \
        {"llm_idle_timeout", 1, 1, read_timeout<Object, &Timeouts::idle>}, {             \
        "llm_timeout", 1, 1, read_timeout<Object, &Timeouts::total>                      \
    }

}  // namespace llm
