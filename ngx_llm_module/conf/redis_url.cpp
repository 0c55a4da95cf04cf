// The parts of a Redis URL (entry: parse_redis_url). User and password may be percent-encoded, as
// other clients of Redis have it.
#include "ngx_llm_module/conf/redis_url.hpp"

#include <charconv>

namespace llm {
namespace {

constexpr std::string_view kPlain = "redis://";
constexpr std::string_view kTls = "rediss://";
constexpr std::string_view kUnix = "unix:";
constexpr size_t kMaxPath = 107;  // sun_path without its end
constexpr int kMaxDatabase = 1 << 20;

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = char(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool decode(std::string_view text, std::string &result) {
    result.clear();
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] != '%') {
            result.push_back(text[i]);
            continue;
        }
        int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
        int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return false;
        }
        result.push_back(char(high * 16 + low));
        i += 2;
    }
    return true;
}

// Digits only, all of the text.
bool read_number(std::string_view text, int most, int &number) {
    const char *end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && stop == end && number >= 0 && number <= most && text[0] != '-';
}

const char *read_database(std::string_view text, RedisUrl &result) {
    return !text.empty() && !read_number(text, kMaxDatabase, result.database)
               ? "invalid database number"
               : nullptr;
}

const char *read_unix(std::string_view address, RedisUrl &result) {
    size_t colon = address.find(':', kUnix.size());
    result.host = address.substr(0, colon);
    result.port = 0;
    if (result.host.size() == kUnix.size()) {
        return "no path of a socket";
    }
    if (result.host.size() > kUnix.size() + kMaxPath) {
        return "has a path that is too long for a socket";
    }
    if (result.tls) {
        return "has TLS for a socket in the file system";
    }
    if (colon == std::string_view::npos) {
        return nullptr;
    }
    std::string_view database = address.substr(colon + 1);
    return database.starts_with('/') ? read_database(database.substr(1), result)
                                     : "invalid database number";
}

const char *read_address(std::string_view address, RedisUrl &result) {
    std::string_view port;
    if (address.starts_with('[')) {
        size_t bracket = address.find(']');
        if (bracket == std::string_view::npos) {
            return "missing \"]\"";
        }
        result.host = address.substr(1, bracket - 1);
        port = address.substr(bracket + 1);
        if (!port.empty() && port[0] != ':') {
            return "invalid port";
        }
    } else {
        size_t colon = address.find(':');
        result.host = address.substr(0, colon);
        port = colon == std::string_view::npos ? std::string_view() : address.substr(colon);
    }
    if (result.host.empty()) {
        return "no host";
    }
    if (!port.empty()) {
        int number = 0;
        if (port.size() < 2 || !read_number(port.substr(1), 65535, number) || number == 0) {
            return "invalid port";
        }
        result.port = uint16_t(number);
    }
    return nullptr;
}

}  // namespace

bool is_redis_url(std::string_view text) {
    return text.starts_with(kPlain) || text.starts_with(kTls);
}

const char *parse_redis_url(std::string_view url, RedisUrl &result) {
    if (!is_redis_url(url)) {
        return "must begin with \"redis://\" or \"rediss://\"";
    }
    result.tls = url.starts_with(kTls);
    url.remove_prefix(result.tls ? kTls.size() : kPlain.size());
    for (unsigned char c : url) {
        if (c <= 0x20 || c >= 0x7f) {
            return "invalid character";
        }
    }
    if (url.find_first_of("?#") != std::string_view::npos) {
        return "must not have a query or fragment";
    }
    size_t at = url.rfind('@');
    if (at != std::string_view::npos) {
        std::string_view login = url.substr(0, at);
        size_t colon = login.find(':');
        if (!decode(login.substr(0, colon), result.user) ||
            (colon != std::string_view::npos &&
             !decode(login.substr(colon + 1), result.password))) {
            return "invalid percent-encoding";
        }
        url.remove_prefix(at + 1);
    }
    if (url.starts_with(kUnix)) {
        return read_unix(url, result);
    }
    size_t slash = url.find('/');
    std::string_view database = slash == std::string_view::npos ? "" : url.substr(slash + 1);
    const char *wrong = read_database(database, result);
    return wrong != nullptr ? wrong : read_address(url.substr(0, slash), result);
}

}  // namespace llm
