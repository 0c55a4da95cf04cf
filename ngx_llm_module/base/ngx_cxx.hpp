// The one place where nginx's C headers enter C++, and where differences between nginx versions
// are evened out. Nothing else in this project includes an nginx header.
#pragma once

extern "C" {
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_connect.h>
#include <ngx_http.h>
}

#include <string_view>

namespace llm {

// nginx 1.23 turned the multi-value headers from arrays into linked lists: every element then
// has a `next` that must be set.
inline ngx_table_elt_t *push_header(ngx_list_t *headers) {
    auto *header = static_cast<ngx_table_elt_t *>(ngx_list_push(headers));
    if (header != nullptr) {
        ngx_memzero(header, sizeof(*header));
    }
    return header;
}

// NGX_CONF_ERROR is a `void *` in nginx; directive handlers return `char *`.
inline char *conf_error() {
    return static_cast<char *>(NGX_CONF_ERROR);
}
inline char *conf_ok() {
    return NGX_CONF_OK;
}

inline std::string_view view(const ngx_str_t &text) {
    return {reinterpret_cast<const char *>(text.data), text.len};
}

// For %V and friends; the bytes are not copied.
inline ngx_str_t str(std::string_view text) {
    return {text.size(), reinterpret_cast<u_char *>(const_cast<char *>(text.data()))};
}

inline ngx_str_t copy_str(ngx_pool_t *pool, std::string_view text) {
    ngx_str_t result = {0, static_cast<u_char *>(ngx_pnalloc(pool, text.size() + 1))};
    if (result.data != nullptr) {
        if (!text.empty()) {
            ngx_memcpy(result.data, text.data(), text.size());
        }
        result.data[text.size()] = '\0';
        result.len = text.size();
    }
    return result;
}

}  // namespace llm
