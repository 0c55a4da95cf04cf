// Response headers of the gateway.
#pragma once

#include <string_view>

#include "ngx_llm_module/base/ngx_cxx.hpp"
#include "translators/wire/http1.hpp"

namespace llm {

class LlmRequest;

// Without the blanks around it.
std::string_view trim(std::string_view text);

// `name` must be static; the value is copied.
bool add_header(ngx_http_request_t *r, std::string_view name, std::string_view value);
// Unless it is said already what caches may do.
void forbid_caching(ngx_http_request_t *r);
// x-llm-*: who answered, and how.
void add_answer_headers(LlmRequest &request);
// Keeps what of the provider's headers the client may see: request ids (as llm-provider-*) and
// retry-after.
void note_provider_headers(LlmRequest &request, const wire::HttpHead &head);

// Status and headers of an answer that is forwarded unread. False: the request is gone.
bool commit_raw(LlmRequest &request, const wire::HttpHead &head);

// A header of the client, or empty.
std::string_view client_header(ngx_http_request_t *r, std::string_view name);

}  // namespace llm
