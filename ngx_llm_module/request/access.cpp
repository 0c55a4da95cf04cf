#include "ngx_llm_module/request/access.hpp"

#include <algorithm>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/policy/identify.hpp"
#include "ngx_llm_module/request/handler.hpp"
#include "ngx_llm_module/request/headers.hpp"

namespace llm {
namespace {

constexpr size_t kMaxKey = 4096;
constexpr std::string_view kKeyHeaders[] = {"x-api-key", "api-key", "x-goog-api-key"};

std::string_view trim(std::string_view text) {
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    while (!text.empty() && text.back() == ' ') {
        text.remove_suffix(1);
    }
    return text;
}

std::string_view bearer(ngx_http_request_t *r) {
    constexpr std::string_view kBearer = "bearer ";
    std::string_view value = client_header(r, "authorization");
    if (value.size() < kBearer.size() ||
        !wire::same_name(value.substr(0, kBearer.size()), kBearer)) {
        return {};
    }
    return trim(value.substr(kBearer.size()));
}

// Visits each parameter of a query.
template <class Visit>
void for_each_parameter(std::string_view query, Visit visit) {
    while (!query.empty()) {
        std::string_view one = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), one.size() + 1));
        size_t end = one.find('=');
        if (end != std::string_view::npos) {
            visit(one.substr(0, end), one.substr(end + 1));
        }
    }
}

std::string key_of_query(ngx_http_request_t *r) {
    std::string key;
    for_each_parameter(view(r->args), [&](std::string_view name, std::string_view value) {
        if (name == "key" && key.empty() && value.size() <= kMaxKey) {
            key.resize(value.size());
            auto *to = reinterpret_cast<u_char *>(key.data());
            auto *from = reinterpret_cast<u_char *>(const_cast<char *>(value.data()));
            ngx_unescape_uri(&to, &from, value.size(), 0);
            key.resize(size_t(to - reinterpret_cast<u_char *>(key.data())));
        }
    });
    return key;
}

void mask_parameters(std::string_view query, bool is_admin) {
    for_each_parameter(query, [&](std::string_view name, std::string_view value) {
        // Of the admin API: a key that a call is about, wherever it stands.
        bool is_asked = is_admin && (name == "api_key" || value.starts_with("sk-"));
        if (name == "key" || is_asked) {
            std::fill_n(const_cast<char *>(value.data()), value.size(), '*');
        }
    });
}

void mask_query_of(std::string_view line, bool is_admin) {
    size_t question = line.find('?');
    if (question == std::string_view::npos) {
        return;
    }
    line.remove_prefix(question + 1);
    mask_parameters(line.substr(0, line.find(' ')), is_admin);
}

bool looks_for_keys(ngx_http_request_t *r) {
    const ngx_http_llm_loc_conf_t &loc = loc_conf(r);
    if (loc.pass == PassKind::unset || loc.auth == kAuthOff) {
        return false;
    }
    return loc.auth != kAuthByKeys || config(r).has_keys();
}

ngx_int_t refuse(ngx_http_request_t *r, Access &access, std::string_view word,
                 std::string_view message, std::string_view challenge) {
    access.is_refused = true;
    access.word = word;
    access.message = message;
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "llm: refused, %*s", message.size(),
                  message.data());
    ngx_table_elt_t *header = push_header(&r->headers_out.headers);
    if (header == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    header->hash = 1;
    ngx_str_set(&header->key, "WWW-Authenticate");
    header->value = str(challenge);
    r->headers_out.www_authenticate = header;
    return NGX_HTTP_UNAUTHORIZED;
}

// Runs again whenever the phases do: nothing of an earlier run is left over.
ngx_int_t check_access(ngx_http_request_t *r) {
    Access *access = find_access(r);
    if (access != nullptr) {
        *access = Access();
    }
    if (!looks_for_keys(r)) {
        return NGX_DECLINED;
    }
    if (access == nullptr && (access = pool_new<Access>(r->pool)) == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    access->is_checked = true;
    std::string key = client_key(r);
    mask_client_key(r);
    if (key.empty()) {
        if (loc_conf(r).auth == kAuthOptional || is_open(r)) {
            return NGX_DECLINED;
        }
        return refuse(r, *access, "", "an API key is required: send Authorization: Bearer KEY",
                      "Bearer");
    }
    Identified found = identify(config(r), key, int64_t(ngx_time()));
    access->identity = std::move(found.identity);
    if (found.state == KeyState::good) {
        return NGX_OK;
    }
    if (is_open(r)) {
        access->identity = Identity();
        return NGX_DECLINED;
    }
    auto [word, message] = refusal_of(found.state);
    return refuse(r, *access, word, message, "Bearer error=\"invalid_token\"");
}

// Requests that were refused before the access phase are logged, too.
ngx_int_t before_log(ngx_http_request_t *r) {
    if (looks_for_keys(r) || loc_conf(r).is_admin) {
        mask_client_key(r);
    }
    return NGX_OK;
}

}  // namespace

Access *find_access(ngx_http_request_t *r) {
    return pool_find<Access>(r->pool);
}

const Identity *find_identity(ngx_http_request_t *r) {
    Access *access = find_access(r);
    if (access == nullptr && looks_for_keys(r)) {
        std::string key = client_key(r);
        access = key.empty() ? nullptr : pool_new<Access>(r->pool);
        if (access != nullptr) {
            access->identity = identify(config(r), key, int64_t(ngx_time())).identity;
        }
    }
    return access != nullptr ? &access->identity : nullptr;
}

std::string client_key(ngx_http_request_t *r) {
    std::string_view key = bearer(r);
    for (std::string_view name : kKeyHeaders) {
        key = key.empty() ? trim(client_header(r, name)) : key;
    }
    if (key.empty()) {
        return key_of_query(r);
    }
    return std::string(key.substr(0, kMaxKey));
}

void mask_client_key(ngx_http_request_t *r) {
    bool is_admin = loc_conf(r).is_admin;
    mask_query_of(view(r->request_line), is_admin);
    mask_query_of(view(r->unparsed_uri), is_admin);
    mask_parameters(view(r->args), is_admin);
}

bool install_access(ngx_conf_t *cf) {
    auto *core = static_cast<ngx_http_core_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));
    ngx_array_t &handlers = core->phases[NGX_HTTP_ACCESS_PHASE].handlers;
    if (ngx_array_push(&handlers) == nullptr) {
        return false;
    }
    // The last one that is registered runs first: the first place is behind all of nginx's own.
    auto *list = static_cast<ngx_http_handler_pt *>(handlers.elts);
    std::move_backward(list, list + handlers.nelts - 1, list + handlers.nelts);
    list[0] = guard<check_access, NGX_HTTP_INTERNAL_SERVER_ERROR>;
    auto *log = static_cast<ngx_http_handler_pt *>(
        ngx_array_push(&core->phases[NGX_HTTP_LOG_PHASE].handlers));
    if (log == nullptr) {
        return false;
    }
    *log = guard<before_log, NGX_ERROR>;
    return true;
}

}  // namespace llm
