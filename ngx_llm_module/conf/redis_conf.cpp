// Reads llm_redis (entry: read_redis_line). Each parameter is a row of kParameters; a password is
// never shown in a message.
#include "ngx_llm_module/conf/redis_conf.hpp"

#include <openssl/rand.h>

#include "ngx_llm_module/conf/addresses.hpp"
#include "ngx_llm_module/conf/block_reader.hpp"
#include "ngx_llm_module/conf/redis_url.hpp"
#include "ngx_llm_module/conf/tls.hpp"
#include "ngx_llm_module/conf/value.hpp"

namespace llm {
namespace {

constexpr size_t kMaxPrefix = 64;
constexpr ngx_msec_t kMinLease = 1000;

bool refuse(ngx_conf_t *cf, const char *what) {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: llm_redis: %s", what);
    return false;
}

template <std::string RedisConfig::*Which>
bool read_text(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    redis.*Which = view(text);
    return !text.len ? refuse(cf, "a parameter is empty") : true;
}

template <std::string RedisConfig::*Which>
bool read_file_name(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    if (ngx_conf_full_name(cf->cycle, &text, 1) != NGX_OK) {
        return false;
    }
    return read_text<Which>(cf, text, redis);
}

template <ngx_msec_t RedisConfig::*Which, ngx_msec_t Least>
bool read_clock(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    if (!read_time(cf, text, redis.*Which)) {
        return false;
    }
    if (redis.*Which < Least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: llm_redis: time \"%V\" is too short", &text);
        return false;
    }
    return true;
}

// Braces would move the place of a key in a cluster.
bool read_prefix(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    redis.prefix = view(text);
    if (redis.prefix.size() > kMaxPrefix || redis.prefix.find_first_of("{}") != std::string::npos ||
        has_bad_character("x" + redis.prefix, false)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: llm_redis: invalid prefix \"%V\"", &text);
        return false;
    }
    return true;
}

bool read_password(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    Value value;
    if (!read_secret(cf, text, value)) {
        return false;
    }
    if (value.variable != nullptr) {
        return refuse(cf, "the password cannot have variables");
    }
    redis.password = value.fixed;
    return true;
}

bool read_outage(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    return read_on_outage(cf, text, redis.on_outage);
}

bool read_verify(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    return read_flag(cf, text, redis.ssl_verify);
}

struct Parameter {
    std::string_view name;
    bool (*read)(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis);
    bool is_of_tls;
};

constexpr Parameter kParameters[] = {
    {"prefix", read_prefix, false},
    {"timeout", read_clock<&RedisConfig::timeout, 1>, false},
    {"lease", read_clock<&RedisConfig::lease, kMinLease>, false},
    {"on_outage", read_outage, false},
    {"sentinel", read_text<&RedisConfig::sentinel>, false},
    {"user", read_text<&RedisConfig::user>, false},
    {"password", read_password, false},
    {"ssl_verify", read_verify, true},
    {"ssl_name", read_text<&RedisConfig::ssl_name>, true},
    {"ssl_trusted_certificate", read_file_name<&RedisConfig::ssl_trusted_certificate>, true},
    {"ssl_certificate", read_file_name<&RedisConfig::ssl_certificate>, true},
    {"ssl_certificate_key", read_file_name<&RedisConfig::ssl_certificate_key>, true},
};

// What several addresses say must be the same for all of them.
bool add_url(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis) {
    RedisUrl url;
    if (const char *wrong = parse_redis_url(view(text), url)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: llm_redis: the URL %s", wrong);
        return false;
    }
    bool is_first = redis.addresses.empty();
    if (is_first) {
        redis.tls = url.tls;
        redis.database = url.database < 0 ? 0 : url.database;
    } else if (redis.tls != url.tls) {
        return refuse(cf, "either all addresses have TLS or none");
    } else if (url.database >= 0 && url.database != redis.database) {
        return refuse(cf, "the addresses have different databases");
    }
    if (!url.user.empty() || !url.password.empty()) {
        if (!is_first && (redis.user != url.user || redis.password != url.password)) {
            return refuse(cf, "the addresses have different users or passwords");
        }
        redis.user = url.user;
        redis.password = url.password;
    }
    Host &host = redis.addresses.emplace_back();
    host.host = url.host;
    host.port = url.port;
    find_fixed_addresses(cf, host);
    return true;
}

bool read_parameter(ngx_conf_t *cf, ngx_str_t text, RedisConfig &redis, bool &has_tls_word) {
    std::string_view word = view(text);
    size_t equals = word.find('=');
    for (const Parameter &parameter : kParameters) {
        if (equals != std::string_view::npos && parameter.name == word.substr(0, equals)) {
            has_tls_word = has_tls_word || parameter.is_of_tls;
            ngx_str_t value = {text.len - equals - 1, text.data + equals + 1};
            return parameter.read(cf, value, redis);
        }
    }
    ngx_str_t known = str(word.substr(0, equals));
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: llm_redis: unknown parameter \"%V\"", &known);
    return false;
}

bool set_up_tls(ngx_conf_t *cf, RedisConfig &redis) {
    if (redis.ssl_certificate.empty() != redis.ssl_certificate_key.empty()) {
        return refuse(cf, "ssl_certificate and ssl_certificate_key belong together");
    }
    std::string wrong;
    redis.ssl = make_tls_context(cf, {redis.ssl_verify, redis.ssl_trusted_certificate}, wrong);
    if (redis.ssl == nullptr) {
        return refuse(cf, wrong.c_str());
    }
    // What waits to be sent may move and grow between two attempts to send it.
    SSL_CTX_set_mode(redis.ssl->ctx,
                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    if (!redis.ssl_certificate.empty()) {
        ngx_str_t certificate = copy_str(cf->pool, redis.ssl_certificate);
        ngx_str_t key = copy_str(cf->pool, redis.ssl_certificate_key);
        if (certificate.data == nullptr || key.data == nullptr ||
            ngx_ssl_certificate(cf, redis.ssl, &certificate, &key, nullptr) != NGX_OK) {
            return refuse(cf, "cannot load ssl_certificate and ssl_certificate_key");
        }
    }
    return true;
}

bool read_words(ngx_conf_t *cf, RedisConfig &redis) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    bool has_tls_word = false;
    for (ngx_uint_t i = 1; i < cf->args->nelts; i++) {
        if (view(args[i]).find("://") < view(args[i]).find('=')) {
            if (!add_url(cf, args[i], redis)) {
                return false;
            }
        } else if (!read_parameter(cf, args[i], redis, has_tls_word)) {
            return false;
        }
    }
    if (redis.addresses.empty()) {
        return refuse(cf, "no address");
    }
    if (redis.password.empty() && !redis.user.empty()) {
        return refuse(cf, "a user needs a password");
    }
    if (has_tls_word && !redis.tls) {
        return refuse(cf, "the ssl_ parameters need rediss://");
    }
    return !redis.tls || set_up_tls(cf, redis);
}

// Once for this process and all workers that it makes, so that those of a configuration can speak
// for those of an earlier one that still drain. Empty: there is no chance to be had.
const std::string &instance_name() {
    static std::string name;
    unsigned char bytes[8];
    if (name.empty() && RAND_bytes(bytes, sizeof(bytes)) == 1) {
        for (unsigned char byte : bytes) {
            name.push_back("0123456789abcdef"[byte >> 4]);
            name.push_back("0123456789abcdef"[byte & 15]);
        }
    }
    return name;
}

}  // namespace

char *read_redis_line(ngx_conf_t *cf, Config &config) {
    if (config.redis != nullptr) {
        return const_cast<char *>("is duplicate");
    }
    auto redis = std::make_shared<RedisConfig>();
    redis->place = ConfPlace::here(cf);
    redis->instance = instance_name();
    if (redis->instance.empty()) {
        return conf_error();
    }
    if (!read_words(cf, *redis)) {
        return conf_error();
    }
    config.redis = redis;
    return conf_ok();
}

}  // namespace llm
