// The line llm_redis: where the store is, how it is spoken to, and what holds while it is away.
#pragma once

#include <string>
#include <vector>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

struct RedisConfig {
    ConfPlace place;
    std::string instance;         // a name for this nginx, as long as its master lives
    std::vector<Host> addresses;  // of one server, of its replicas, of a cluster, of sentinels
    std::string sentinel;         // the master's name; then the addresses are sentinels
    std::string user;
    std::string password;
    int database = 0;
    std::string prefix = "llm:";
    ngx_msec_t timeout = 50;   // of a command
    ngx_msec_t lease = 30000;  // how long a lease lives that nobody renews
    OnOutage on_outage = OnOutage::local;
    bool tls = false;
    bool ssl_verify = true;
    std::string ssl_trusted_certificate;
    std::string ssl_certificate;
    std::string ssl_certificate_key;
    std::string ssl_name;  // empty: the host
    ngx_ssl_t *ssl = nullptr;
};

char *read_redis_line(ngx_conf_t *cf, Config &config);

}  // namespace llm
