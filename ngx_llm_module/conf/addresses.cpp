// Base URLs and addresses. A provider's name is resolved by the workers while they run, without
// blocking (upstream/resolve.cpp); only names that DNS does not know are looked up here.
#include "ngx_llm_module/conf/addresses.hpp"

#include <cstdio>

namespace llm {
namespace {

// Calls `visit` with every line of a small system file.
template <class Visit>
void for_each_line(const char *path, Visit visit) {
    FILE *file = fopen(path, "re");
    if (file == nullptr) {
        return;
    }
    char line[1024];
    while (fgets(line, sizeof(line), file) != nullptr) {
        std::string_view text(line);
        text = text.substr(0, text.find_first_of("#;\n"));
        visit(text);
    }
    fclose(file);
}

std::string_view next_word(std::string_view &text) {
    size_t start = text.find_first_not_of(" \t");
    if (start == std::string_view::npos) {
        text = {};
        return {};
    }
    text.remove_prefix(start);
    std::string_view word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(word.size());
    return word;
}

bool is_in_hosts_file(const std::string &host) {
    bool found = false;
    for_each_line("/etc/hosts", [&](std::string_view line) {
        next_word(line);  // the address
        for (std::string_view name = next_word(line); !name.empty(); name = next_word(line)) {
            found = found || (name.size() == host.size() &&
                              ngx_strncasecmp((u_char *)name.data(), (u_char *)host.data(),
                                              host.size()) == 0);
        }
    });
    return found;
}

bool is_unix(const std::string &host) {
    return host.starts_with("unix:");
}

bool is_ip_literal(const std::string &host) {
    return host.find(':') != std::string::npos ||
           ngx_inet_addr((u_char *)host.data(), host.size()) != INADDR_NONE;
}

}  // namespace

const char *parse_base_url(std::string_view url, Endpoint &endpoint) {
    endpoint.tls = url.starts_with("https://");
    url.remove_prefix(endpoint.tls ? 8 : 7);
    for (unsigned char c : url) {
        if (c <= 0x20 || c >= 0x7f) {
            return "invalid character";
        }
    }
    if (url.find_first_of("?#") != std::string_view::npos) {
        return "must not have a query or fragment";
    }
    size_t slash = url.find('/');
    std::string_view authority = url.substr(0, slash);
    if (slash != std::string_view::npos) {
        endpoint.path = url.substr(slash);
        while (!endpoint.path.empty() && endpoint.path.back() == '/') {
            endpoint.path.pop_back();
        }
    }
    if (authority.find('@') != std::string_view::npos) {
        return "must not have credentials";
    }

    std::string_view port;
    if (authority.starts_with('[')) {
        size_t bracket = authority.find(']');
        if (bracket == std::string_view::npos) {
            return "missing \"]\"";
        }
        endpoint.host = authority.substr(1, bracket - 1);
        port = authority.substr(bracket + 1);
    } else {
        size_t colon = authority.find(':');
        endpoint.host = authority.substr(0, colon);
        port = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
    }
    if (endpoint.host.empty()) {
        return "no host";
    }
    endpoint.port = endpoint.tls ? 443 : 80;
    if (!port.empty()) {
        ngx_int_t number =
            port[0] != ':' ? NGX_ERROR : ngx_atoi((u_char *)port.data() + 1, port.size() - 1);
        if (number < 1 || number > 65535) {
            return "invalid port";
        }
        endpoint.port = in_port_t(number);
    }
    endpoint.host_header = authority;
    endpoint.ssl_name = endpoint.host;
    return nullptr;
}

void find_fixed_addresses(ngx_conf_t *cf, Host &host) {
    if (!is_ip_literal(host.host) && host.host.find('.') != std::string::npos &&
        !is_in_hosts_file(host.host)) {
        return;
    }
    bool bracket = host.host.find(':') != std::string::npos && !is_unix(host.host);
    std::string text = bracket ? "[" + host.host + "]" : host.host;
    ngx_url_t url;
    ngx_memzero(&url, sizeof(url));
    url.url = copy_str(cf->pool, text);
    url.default_port = host.port;
    if (url.url.data == nullptr || ngx_parse_url(cf->pool, &url) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "llm: host \"%s\" is not known yet (%s), the workers will look it up",
                           host.host.c_str(), url.err != nullptr ? url.err : "no address");
        return;
    }
    for (ngx_uint_t i = 0; i < url.naddrs; i++) {
        host.fixed_addresses.emplace_back(reinterpret_cast<const char *>(url.addrs[i].sockaddr),
                                          url.addrs[i].socklen);
    }
}

ngx_resolver_t *make_resolver(ngx_conf_t *cf) {
    ngx_array_t *names = ngx_array_create(cf->pool, 3, sizeof(ngx_str_t));
    if (names == nullptr) {
        return nullptr;
    }
    for_each_line("/etc/resolv.conf", [&](std::string_view line) {
        if (next_word(line) != "nameserver") {
            return;
        }
        std::string server(next_word(line));
        if (!is_ip_literal(server) || server.find('%') != std::string::npos) {
            return;
        }
        if (server.find(':') != std::string::npos) {
            server = "[" + server + "]";
        }
        if (auto *name = static_cast<ngx_str_t *>(ngx_array_push(names))) {
            *name = copy_str(cf->pool, server);
        }
    });
    if (names->nelts == 0) {
        return nullptr;
    }
    return ngx_resolver_create(cf, static_cast<ngx_str_t *>(names->elts), names->nelts);
}

}  // namespace llm
