// AWS Signature Version 4. A request is brought into one canonical text, its hash is signed with a
// key derived from the secret, the day, the region and the service. The path is encoded once more
// than it is sent, as every AWS service but S3 wants it.
#include "translators/provider/sigv4.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <utility>

#include "translators/core/sha256.hpp"

namespace llm {

namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";
constexpr char kUpperHex[] = "0123456789ABCDEF";

SigV4Key hmac(std::string_view key, std::string_view text) {
    SigV4Key mac = {};
    unsigned int size = 0;
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
         reinterpret_cast<const unsigned char *>(text.data()), text.size(), mac.data(), &size);
    return mac;
}

SigV4Key hmac(const SigV4Key &key, std::string_view text) {
    return hmac({reinterpret_cast<const char *>(key.data()), key.size()}, text);
}

bool is_unreserved(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

void append_encoded(std::string_view text, bool keeps_slashes, std::string &out) {
    for (char c : text) {
        if (is_unreserved(c) || (keeps_slashes && c == '/')) {
            out.push_back(c);
        } else {
            unsigned char byte = static_cast<unsigned char>(c);
            out.push_back('%');
            out.push_back(kUpperHex[byte >> 4]);
            out.push_back(kUpperHex[byte & 15]);
        }
    }
}

int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

std::string decoded(std::string_view text) {
    std::string plain;
    for (size_t i = 0; i < text.size(); ++i) {
        bool is_escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                         hex_digit(text[i + 2]) >= 0;
        if (is_escape) {
            plain.push_back(
                static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
            i += 2;
        } else {
            plain.push_back(text[i]);
        }
    }
    return plain;
}

// Sorted by name, then by value; each encoded exactly once.
std::string canonical_query(std::string_view query) {
    std::vector<std::pair<std::string, std::string>> parameters;
    while (!query.empty()) {
        size_t end = query.find('&');
        std::string_view one = query.substr(0, end);
        query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
        if (one.empty()) {
            continue;
        }
        size_t equals = one.find('=');
        std::string_view value =
            equals == std::string_view::npos ? std::string_view() : one.substr(equals + 1);
        auto &[name_out, value_out] = parameters.emplace_back();
        append_encoded(decoded(one.substr(0, equals)), false, name_out);
        append_encoded(decoded(value), false, value_out);
    }
    std::sort(parameters.begin(), parameters.end());
    std::string text;
    for (const auto &[name, value] : parameters) {
        text.append(text.empty() ? "" : "&").append(name).append("=").append(value);
    }
    return text;
}

// Without white space at the ends, and with one blank for a run of them.
std::string trimmed(std::string_view value) {
    std::string text;
    for (char c : value) {
        bool is_blank = c == ' ' || c == '\t';
        if (!is_blank) {
            text.push_back(c);
        } else if (!text.empty() && text.back() != ' ') {
            text.push_back(' ');
        }
    }
    if (!text.empty() && text.back() == ' ') {
        text.pop_back();
    }
    return text;
}

std::string lower_case(std::string_view name) {
    std::string text(name);
    for (char &c : text) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
    return text;
}

struct SignedHeaders {
    std::string names;  // a;b;c
    std::string lines;
};

SignedHeaders signed_headers(const SigV4Request &request) {
    std::vector<SigV4Header> all;
    for (const SigV4Header &header : request.headers) {
        all.push_back({lower_case(header.name), trimmed(header.value)});
    }
    auto add = [&](std::string_view name, std::string value) {
        std::erase_if(all, [&](const SigV4Header &header) { return header.name == name; });
        all.push_back({std::string(name), std::move(value)});
    };
    add("host", trimmed(request.host));
    add("x-amz-date", sigv4_time(request.time));
    if (!request.session_token.empty()) {
        add("x-amz-security-token", trimmed(request.session_token));
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const SigV4Header &a, const SigV4Header &b) { return a.name < b.name; });
    SignedHeaders result;
    for (size_t i = 0; i < all.size(); ++i) {
        if (i > 0 && all[i].name == all[i - 1].name) {  // lines of one name are one value
            result.lines.pop_back();
            result.lines.append(",").append(all[i].value).append("\n");
            continue;
        }
        result.names.append(i > 0 ? ";" : "").append(all[i].name);
        result.lines.append(all[i].name).append(":").append(all[i].value).append("\n");
    }
    return result;
}

std::string canonical_request(const SigV4Request &request, const SignedHeaders &headers,
                              std::string_view payload_hash) {
    std::string text(request.method);
    text.append("\n");
    append_encoded(request.path.empty() ? "/" : request.path, true, text);
    text.append("\n").append(canonical_query(request.query));
    text.append("\n").append(headers.lines);
    text.append("\n").append(headers.names);
    text.append("\n").append(payload_hash);
    return text;
}

// Days since 1970 as a date of the Gregorian calendar; years begin in March here, so that the
// leap day is the last of its year.
struct Date {
    int64_t year;
    int64_t month;
    int64_t day;
};

Date date_of(int64_t days) {
    days += 719468;  // since the first of March of the year 0
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
    return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
            day_of_year - (153 * shifted + 2) / 5 + 1};
}

void append_digits(int64_t number, int width, std::string &out) {
    std::string digits = std::to_string(number);
    out.append(static_cast<size_t>(std::max(0, width - static_cast<int>(digits.size()))), '0');
    out.append(digits);
}

}  // namespace

SigV4Key derive_sigv4_key(std::string_view secret, const SigV4Scope &scope) {
    SigV4Key of_day = hmac(std::string("AWS4").append(secret), scope.date);
    return hmac(hmac(hmac(of_day, scope.region), scope.service), kTerminator);
}

std::string sigv4_time(int64_t seconds) {
    seconds = std::max<int64_t>(seconds, 0);
    Date date = date_of(seconds / 86400);
    int64_t left = seconds % 86400;
    std::string text;
    append_digits(date.year, 4, text);
    append_digits(date.month, 2, text);
    append_digits(date.day, 2, text);
    text.push_back('T');
    append_digits(left / 3600, 2, text);
    append_digits(left / 60 % 60, 2, text);
    append_digits(left % 60, 2, text);
    text.push_back('Z');
    return text;
}

std::string sigv4_canonical_request(const SigV4Request &request) {
    return canonical_request(request, signed_headers(request), sha256_hex(request.payload));
}

std::vector<SigV4Header> sign_sigv4(const SigV4Request &request) {
    std::string payload_hash = sha256_hex(request.payload);
    SignedHeaders headers = signed_headers(request);
    std::string time = sigv4_time(request.time);
    std::string_view date = std::string_view(time).substr(0, 8);

    std::string scope(date);
    scope.append("/").append(request.region).append("/").append(request.service);
    scope.append("/").append(kTerminator);
    std::string to_sign(kAlgorithm);
    to_sign.append("\n").append(time).append("\n").append(scope).append("\n");
    to_sign.append(sha256_hex(canonical_request(request, headers, payload_hash)));

    SigV4Key key = request.key != nullptr
                       ? *request.key
                       : derive_sigv4_key(request.secret, {date, request.region, request.service});
    SigV4Key signature = hmac(key, to_sign);

    std::string authorization(kAlgorithm);
    authorization.append(" Credential=").append(request.key_id).append("/").append(scope);
    authorization.append(", SignedHeaders=").append(headers.names);
    authorization.append(", Signature=").append(to_hex(signature.data(), signature.size()));

    std::vector<SigV4Header> lines;
    lines.push_back({"x-amz-date", time});
    lines.push_back({"x-amz-content-sha256", std::move(payload_hash)});
    if (!request.session_token.empty()) {
        lines.push_back({"x-amz-security-token", std::string(request.session_token)});
    }
    lines.push_back({"authorization", std::move(authorization)});
    return lines;
}

}  // namespace llm
