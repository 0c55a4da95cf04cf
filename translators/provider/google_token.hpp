// Google service accounts: a signed statement of who we are (JWT, RS256) is exchanged for an access
// token that lasts an hour. This file knows the forms; who sends them and when is
// upstream/credentials.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "translators/core/result.hpp"
#include "translators/json/reader.hpp"
#include "translators/provider/service_account.hpp"

namespace llm {

// The key can be read, and it is of the right kind.
bool has_usable_key(const ServiceAccount &account);

// The body (application/x-www-form-urlencoded) of the request for a token, valid from `now`.
Result<std::string> token_request(const ServiceAccount &account, int64_t now);

struct AccessToken {
    std::string value;
    int64_t lifetime = 0;  // seconds
};

Result<AccessToken> parse_access_token(json::Value root);

}  // namespace llm
