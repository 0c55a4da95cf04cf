// The file with which Google's tools identify a program: who it is, its key, and where access
// tokens are bought.
#pragma once

#include <string>
#include <string_view>

#include "translators/core/result.hpp"

namespace llm {

struct ServiceAccount {
    std::string client_email;
    std::string private_key;  // PEM
    std::string private_key_id;
    std::string token_uri;
};

// An error says what is wrong without repeating anything of the file.
Status parse_service_account(std::string_view text, ServiceAccount &account);

}  // namespace llm
