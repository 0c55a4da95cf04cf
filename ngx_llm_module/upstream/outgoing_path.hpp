// What follows the base URL's path in the request line to a provider.
#pragma once

#include <string>
#include <string_view>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

class LlmRequest;

// Of a request that is forwarded unread.
std::string raw_target(const LlmRequest &request, const Endpoint &endpoint);

// Of a request for an answer, or for a count of tokens.
std::string chat_target(const LlmRequest &request, const Speech &speech, std::string_view model);

// The client's query, but for ?key=, which is a credential, and what the path has by itself.
void append_query(const LlmRequest &request, std::string &target);

}  // namespace llm
