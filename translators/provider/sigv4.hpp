// AWS Signature Version 4: which header lines make a request to Bedrock a signed one. Pure: the
// time is given, nothing is looked up.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llm {

// Where and when a key is good. The derived key may be kept as long as none of this changes, that
// is until the next day (UTC).
struct SigV4Scope {
    std::string_view date;    // yyyymmdd
    std::string_view region;  // of the endpoint, whatever the model's name says
    std::string_view service = "bedrock";
};

using SigV4Key = std::array<unsigned char, 32>;

SigV4Key derive_sigv4_key(std::string_view secret, const SigV4Scope &scope);

// yyyymmddThhmmssZ
std::string sigv4_time(int64_t seconds);

struct SigV4Header {
    std::string name;
    std::string value;
};

struct SigV4Request {
    std::string_view method = "POST";
    std::string_view host;   // as in the host line, with a port that is not the usual one
    std::string_view path;   // as in the request line, encoded once (path.hpp), without the query
    std::string_view query;  // as in the request line, without the question mark
    // Lines to sign besides host, x-amz-date and x-amz-security-token; they must arrive as they are
    // here, so none that a later stage may change.
    std::span<const SigV4Header> headers;
    std::span<const std::string_view> payload;  // pieces of the body
    std::string_view key_id;
    std::string_view secret;
    std::string_view session_token;  // may be empty
    std::string_view region;
    std::string_view service = "bedrock";
    int64_t time = 0;  // seconds since 1970
    // The derived key, where the caller keeps it; `secret` is not used then.
    const SigV4Key *key = nullptr;
};

// x-amz-date, x-amz-content-sha256, x-amz-security-token (with a token), authorization.
std::vector<SigV4Header> sign_sigv4(const SigV4Request &request);

// What is signed; for tests and for telling a signature that was refused from a wrong key.
std::string sigv4_canonical_request(const SigV4Request &request);

}  // namespace llm
