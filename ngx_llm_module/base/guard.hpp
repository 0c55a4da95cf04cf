// No exception may cross a C frame: an uncaught one ends the worker and every stream in it. Every
// function that is handed to nginx or OpenSSL is wrapped:
//
//     ev->handler = guard<on_read>;                        // void: the exception is logged
//     clcf->handler = guard<handle, NGX_ERROR>;            // else: that value is returned
#pragma once

#include <exception>
#include <type_traits>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

inline void log_caught(const char *what) noexcept {
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: caught an exception: %s", what);
}

template <auto Function, auto... OnError>
struct Guard;

template <class Return, class... Args, Return (*Function)(Args...), auto... OnError>
struct Guard<Function, OnError...> {
    static Return call(Args... args) noexcept {
        try {
            return Function(args...);
        } catch (const std::exception &caught) {
            log_caught(caught.what());
        } catch (...) {
            log_caught("unknown");
        }
        if constexpr (std::is_same_v<Return, char *>) {
            return conf_error();
        } else if constexpr (std::is_pointer_v<Return>) {
            return nullptr;
        } else if constexpr (!std::is_void_v<Return>) {
            return static_cast<Return>((OnError, ...));
        }
    }
};

// A directive handler answers with NGX_CONF_ERROR, which is no constant expression.
template <char *(*Function)(ngx_conf_t *, ngx_command_t *, void *)>
char *guard_conf(ngx_conf_t *cf, ngx_command_t *command, void *conf) noexcept {
    try {
        return Function(cf, command, conf);
    } catch (const std::exception &caught) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: %s", caught.what());
    } catch (...) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown exception");
    }
    return conf_error();
}

template <auto Function, auto... OnError>
constexpr auto guard = Guard<Function, OnError...>::call;

}  // namespace llm
