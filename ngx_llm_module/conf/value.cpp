// Secrets and header values of the configuration. A secret is read when the configuration is, so
// that a missing one is an error of `nginx -t` and not of the first request; a reload reads files
// and the environment again.
#include "ngx_llm_module/conf/value.hpp"

#include <algorithm>
#include <cstdlib>

#include "translators/wire/http1.hpp"

namespace llm {
namespace {

constexpr size_t kMaxSecretFile = 64 * 1024;

bool is_line_end(char c) {
    return c == '\n' || c == '\r';
}

// nginx hands only the variables that its `env` directive names to the new binary of an upgrade,
// whose configuration needs this one as well.
bool keep_variable(ngx_conf_t *cf, std::string_view name) {
    auto *core =
        reinterpret_cast<ngx_core_conf_t *>(ngx_get_conf(cf->cycle->conf_ctx, ngx_core_module));
    auto *kept = static_cast<ngx_str_t *>(core->env.elts);
    for (ngx_uint_t i = 0; i < core->env.nelts; i++) {
        if (view(kept[i]) == name) {
            return true;
        }
    }
    auto *added = static_cast<ngx_str_t *>(ngx_array_push(&core->env));
    if (added == nullptr) {
        return false;
    }
    *added = copy_str(cf->pool, name);
    return added->data != nullptr;
}

// A secret becomes part of a header line.
bool check_secret(ngx_conf_t *cf, const std::string &secret) {
    if (wire::has_control(secret)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: the secret has a control character");
        return false;
    }
    if (secret.empty()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: the secret is empty");
        return false;
    }
    return true;
}

}  // namespace

bool read_secret_file(ngx_conf_t *cf, std::string_view path, std::string &secret) {
    ngx_str_t name = copy_str(cf->pool, path);
    if (name.data == nullptr || ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return false;
    }
    int fd = ngx_open_file(name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "llm: cannot read the secret in \"%V\"",
                           &name);
        return false;
    }
    secret.resize(kMaxSecretFile + 1);
    ssize_t size = ngx_read_fd(fd, secret.data(), secret.size());
    ngx_close_file(fd);
    if (size < 0 || size_t(size) > kMaxSecretFile) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, size < 0 ? ngx_errno : 0,
                           "llm: cannot read the secret in \"%V\"", &name);
        return false;
    }
    secret.resize(size_t(size));
    while (!secret.empty() && is_line_end(secret.back())) {
        secret.pop_back();
    }
    return true;
}

bool read_environment(ngx_conf_t *cf, std::string_view names, std::string &secret) {
    while (!names.empty()) {
        std::string name(names.substr(0, names.find(' ')));
        names.remove_prefix(std::min(names.size(), name.size() + 1));
        const char *found = std::getenv(name.c_str());
        if (found != nullptr && *found != '\0') {
            secret = found;
            return keep_variable(cf, name);
        }
    }
    return true;
}

bool read_value(ngx_conf_t *cf, ngx_str_t text, Value &value) {
    if (ngx_http_script_variables_count(&text) == 0) {
        value.fixed = view(text);
        return true;
    }
    value.variable = static_cast<ngx_http_complex_value_t *>(
        ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t)));
    if (value.variable == nullptr) {
        return false;
    }
    ngx_http_compile_complex_value_t compile;
    ngx_memzero(&compile, sizeof(compile));
    compile.cf = cf;
    compile.value = static_cast<ngx_str_t *>(ngx_palloc(cf->pool, sizeof(ngx_str_t)));
    compile.complex_value = value.variable;
    if (compile.value == nullptr) {
        return false;
    }
    *compile.value = text;
    return ngx_http_compile_complex_value(&compile) == NGX_OK;
}

bool read_secret(ngx_conf_t *cf, ngx_str_t text, Value &value) {
    std::string_view source = view(text);
    if (source.starts_with("env:")) {
        std::string name(source.substr(4));
        const char *found = std::getenv(name.c_str());
        if (found == nullptr || *found == '\0') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: environment variable \"%s\" is not set",
                               name.c_str());
            return false;
        }
        value.fixed = found;
        return check_secret(cf, value.fixed) && keep_variable(cf, name);
    }
    if (source.starts_with("file:")) {
        return read_secret_file(cf, source.substr(5), value.fixed) && check_secret(cf, value.fixed);
    }
    if (!read_value(cf, text, value)) {
        return false;
    }
    return value.variable != nullptr || check_secret(cf, value.fixed);
}

std::string_view Value::get(ngx_http_request_t *r) const {
    if (variable == nullptr) {
        return fixed;
    }
    ngx_str_t result;
    if (ngx_http_complex_value(r, variable, &result) != NGX_OK) {
        return {};
    }
    return view(result);
}

}  // namespace llm
