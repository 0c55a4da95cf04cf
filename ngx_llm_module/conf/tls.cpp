// TLS towards providers and stores: TLS 1.2 and later, verification against the system's
// certificates or those of the operator, sessions kept for resumption (upstream/connection.cpp
// stores them).
#include "ngx_llm_module/conf/tls.hpp"

#include "ngx_llm_module/base/guard.hpp"

namespace llm {
namespace {

// Debian, Red Hat, Alpine and SUSE, in this order.
constexpr const char *kSystemCertificates[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
};

std::string system_certificates() {
    for (const char *path : kSystemCertificates) {
        ngx_file_info_t info;
        if (ngx_file_info(path, &info) != NGX_FILE_ERROR) {
            return path;
        }
    }
    return {};
}

}  // namespace

ngx_ssl_t *make_tls_context(ngx_conf_t *cf, const TlsTrust &trust, std::string &wrong) {
    auto *ssl = static_cast<ngx_ssl_t *>(ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t)));
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(cf->pool, 0);
    if (ssl == nullptr || cleanup == nullptr) {
        wrong = "out of memory";
        return nullptr;
    }
    ssl->log = cf->log;
    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2 | NGX_SSL_TLSv1_3, nullptr) != NGX_OK) {
        wrong = "no TLS context";
        return nullptr;
    }
    cleanup->handler = ngx_ssl_cleanup_ctx;
    cleanup->data = ssl;

    if (trust.verify) {
        std::string path = trust.certificates;
        if (path.empty()) {
            path = system_certificates();
        }
        if (path.empty()) {
            wrong =
                "the system has no certificates to verify TLS with (install ca-certificates, "
                "or set ssl_trusted_certificate)";
            return nullptr;
        }
        ngx_str_t certificate = copy_str(cf->pool, path);
        if (certificate.data == nullptr ||
            ngx_ssl_trusted_certificate(cf, ssl, &certificate, 3) != NGX_OK) {
            wrong = "cannot load the certificates of \"" + path + "\"";
            return nullptr;
        }
    }
    if (ngx_ssl_client_session_cache(cf, ssl, 1) != NGX_OK) {
        wrong = "no TLS session cache";
        return nullptr;
    }
    return ssl;
}

ngx_ssl_t *tls_context(ngx_conf_t *cf, const Provider &provider, std::string &wrong) {
    auto *main = static_cast<ngx_http_llm_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_llm_module));
    for (const auto &other : main->config->providers) {
        if (other->ssl != nullptr && other->ssl_verify == provider.ssl_verify &&
            other->ssl_trusted_certificate.text == provider.ssl_trusted_certificate.text) {
            return other->ssl;
        }
    }
    return make_tls_context(cf, {provider.ssl_verify, provider.ssl_trusted_certificate.text},
                            wrong);
}

}  // namespace llm
