// Reads redis://[user[:password]@]host[:port][/database], rediss:// (TLS), and for the host, as
// nginx has it elsewhere, unix:path[:/database]. Plain C++ without nginx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace llm {

struct RedisUrl {
    bool tls = false;
    std::string user;
    std::string password;
    std::string host;      // without brackets, or unix:path
    uint16_t port = 6379;  // 0: of a socket in the file system
    int database = -1;     // -1: not given
};

// Nothing, or what is wrong. The text never holds a part of the URL: it may have a password.
const char *parse_redis_url(std::string_view url, RedisUrl &result);

bool is_redis_url(std::string_view text);

}  // namespace llm
