#include "ngx_llm_module/request/access.hpp"

#include <algorithm>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/policy/identify.hpp"
#include "ngx_llm_module/request/handler.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {
namespace {

constexpr size_t kMaxKey = 4096;
constexpr std::string_view kKeyHeaders[] = {"x-api-key", "api-key", "x-goog-api-key"};

std::string_view bearer(ngx_http_request_t *r) {
    constexpr std::string_view kBearer = "bearer ";
    std::string_view value = client_header(r, "authorization");
    if (value.size() < kBearer.size() ||
        !wire::same_name(value.substr(0, kBearer.size()), kBearer)) {
        return {};
    }
    return trim(value.substr(kBearer.size()));
}

std::string unescaped(std::string_view sent) {
    std::string text(sent);
    auto *to = reinterpret_cast<u_char *>(text.data());
    u_char *from = to;
    ngx_unescape_uri(&to, &from, text.size(), 0);
    text.resize(size_t(to - reinterpret_cast<u_char *>(text.data())));
    return text;
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
            key = unescaped(value);
        }
    });
    return key;
}

void mask(std::string_view text) {
    std::fill_n(const_cast<char *>(text.data()), text.size(), '*');
}

// Where other gateways and providers look for one: it is sent here by mistake, and no less secret.
bool names_a_key(std::string_view sent) {
    constexpr std::string_view kNames[] = {"key",    "keys",       "key_hash",    "api_key",
                                           "apikey", "api-key",    "x-api-key",   "x-goog-api-key",
                                           "token",  "auth_token", "access_token"};
    std::string name = unescaped(sent);
    return std::any_of(std::begin(kNames), std::end(kNames),
                       [&](std::string_view known) { return wire::same_name(name, known); });
}

enum class Mask : uint8_t {
    own_key,  // what is read as the caller's key; the rest may go on to a provider
    all_keys,
};

bool is_key(std::string_view name, std::string_view value, Mask which) {
    return name == "key" ||
           (which == Mask::all_keys && (names_a_key(name) || value.starts_with("sk-")));
}

void mask_parameters(std::string_view query, Mask which) {
    for_each_parameter(query, [&](std::string_view name, std::string_view value) {
        if (is_key(name, value, which)) {
            mask(value);
        }
    });
}

std::string_view query_of(std::string_view line) {
    size_t question = line.find('?');
    line.remove_prefix(std::min(line.size(), question == line.npos ? line.size() : question + 1));
    return line.substr(0, line.find(' '));
}

void mask_query_of(std::string_view line, Mask which) {
    mask_parameters(query_of(line), which);
}

// The request line stands in every line of the error log; its copy is read by nobody else.
void hide_in_request_line(ngx_http_request_t *r) {
    bool has_key = false;
    for_each_parameter(query_of(view(r->request_line)),
                       [&](std::string_view name, std::string_view value) {
                           has_key = has_key || is_key(name, value, Mask::all_keys);
                       });
    ngx_str_t copy = has_key ? copy_str(r->pool, view(r->request_line)) : ngx_str_t();
    if (copy.data != nullptr) {
        r->request_line = copy;
        mask_query_of(view(copy), Mask::all_keys);
    }
}

void mask_query(ngx_http_request_t *r, Mask which) {
    mask_query_of(view(r->request_line), which);
    mask_query_of(view(r->unparsed_uri), which);
    mask_parameters(view(r->args), which);
}

// Wherever it stands in the query: that may go on to a provider.
void mask_copies(ngx_http_request_t *r, const std::string &key) {
    for (std::string_view query :
         {query_of(view(r->request_line)), query_of(view(r->unparsed_uri)), view(r->args)}) {
        for_each_parameter(query, [&](std::string_view, std::string_view value) {
            if (!key.empty() && unescaped(value) == key) {
                mask(value);
            }
        });
    }
}

// "sk-" where a word begins, escaped or not.
bool looks_like_key(std::string_view sent) {
    std::string text = unescaped(sent);
    for (size_t at = text.find("sk-"); at != text.npos; at = text.find("sk-", at + 1)) {
        if (at == 0 || isalnum(static_cast<unsigned char>(text[at - 1])) == 0) {
            return true;
        }
    }
    return false;
}

// A key that stands where no route has one: it was meant for the other method, or is misspelt.
void mask_stray_keys(ngx_http_request_t *r) {
    for (const ngx_str_t &line : {r->request_line, r->unparsed_uri, r->uri}) {
        std::string_view text = view(line);
        while (!text.empty()) {
            std::string_view word = text.substr(0, text.find_first_of("/?&=; "));
            text.remove_prefix(std::min(text.size(), word.size() + 1));
            if (looks_like_key(word)) {
                mask(word);
            }
        }
    }
}

// Behind "/key/" stands a key, in LiteLLM's /key/KEY/regenerate and in what is misspelt; else a
// word of a route, or a hash, which is no secret. Keys of providers begin with no "sk-".
bool is_key_in_path(std::string_view part, bool is_last) {
    bool is_word = part.find_first_not_of("abcdefghijklmnopqrstuvwxyz-_") == part.npos;
    bool is_hash =
        part.size() == 64 && part.find_first_not_of("0123456789abcdef") == std::string_view::npos;
    return !part.empty() && !is_hash && !(is_last ? is_word : part == "service-account");
}

void mask_path_of(std::string_view path) {
    path = path.substr(0, path.find('?'));
    std::string_view before;
    while (!path.empty()) {
        std::string_view part = path.substr(0, path.find('/'));
        path.remove_prefix(std::min(path.size(), part.size() + 1));
        bool is_behind = wire::same_name(unescaped(before), "key");
        if (is_behind && is_key_in_path(part, path.empty())) {
            mask(part);
        }
        before = part.empty() ? before : part;
    }
}

void mask_path(ngx_http_request_t *r) {
    std::string_view line = view(r->request_line);
    line.remove_prefix(std::min(line.size(), line.find(' ')));
    mask_path_of(line.substr(0, line.rfind(" HTTP/")));
    mask_path_of(view(r->unparsed_uri));
    mask_path_of(view(r->uri));
}

bool looks_for_keys(ngx_http_request_t *r) {
    const ngx_http_llm_loc_conf_t &loc = loc_conf(r);
    if (loc.pass == PassKind::unset || loc.auth == kAuthOff) {
        return false;
    }
    return loc.auth != kAuthByKeys || config(r).has_keys();
}

// Where no request is passed on: a key is the one that a call is about, or stands there by mistake.
bool wants_no_key(ngx_http_request_t *r) {
    const ngx_http_llm_loc_conf_t &loc = loc_conf(r);
    return loc.is_admin || loc.is_page || (loc.has_own && is_without_location(r));
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
    if (loc_conf(r).is_page) {
        mask_client_key(r);
    } else if (loc_conf(r).pass != PassKind::unset) {
        hide_in_request_line(r);
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
    mask_copies(r, key);
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

// Requests that were refused before the access phase are logged, too; the log may tell whose they
// were.
ngx_int_t before_log(ngx_http_request_t *r) {
    if (r->args.len != 0) {
        (void)find_identity(r);
    }
    if (wants_no_key(r)) {
        mask_client_key(r);
    } else if (loc_conf(r).pass != PassKind::unset || find_access(r) != nullptr ||
               find_llm_request(r) != nullptr) {
        mask_query(r, Mask::all_keys);  // nobody reads it any more; an error_page led elsewhere
    }
    return NGX_OK;
}

bool put_first(ngx_array_t &handlers, ngx_http_handler_pt handler) {
    if (ngx_array_push(&handlers) == nullptr) {
        return false;
    }
    auto *list = static_cast<ngx_http_handler_pt *>(handlers.elts);
    std::move_backward(list, list + handlers.nelts - 1, list + handlers.nelts);
    list[0] = handler;
    return true;
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
    bool is_any = wants_no_key(r);
    mask_query(r, is_any ? Mask::all_keys : Mask::own_key);
    if (is_any) {
        mask_stray_keys(r);
        mask_path(r);
    }
}

bool install_access(ngx_conf_t *cf) {
    auto *core = static_cast<ngx_http_core_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));
    // Of most phases the last handler that is registered runs first, so this one is behind all of
    // nginx's own; those of the log phase run as they stand there, so that one is before them.
    return put_first(core->phases[NGX_HTTP_ACCESS_PHASE].handlers,
                     guard<check_access, NGX_HTTP_INTERNAL_SERVER_ERROR>) &&
           put_first(core->phases[NGX_HTTP_LOG_PHASE].handlers, guard<before_log, NGX_ERROR>);
}

}  // namespace llm
