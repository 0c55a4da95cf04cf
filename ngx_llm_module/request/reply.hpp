// What the gateway says by itself: refusals and errors in the caller's dialect.
#pragma once

#include "ngx_llm_module/base/ngx_cxx.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm {

class LlmRequest;

// How answers are written for this client.
ClientView client_view(LlmRequest &request);

// An error with the status and body of the caller's dialect ends the request. Where the operator
// has set error_page for that status, nginx's machinery takes over instead.
void reply_error(LlmRequest &request, const ApiError &error);
void reply_error(LlmRequest &request, ErrorClass error_class, std::string_view what,
                 std::string_view code = {}, std::string_view param = {});

// Body of an nginx error page in the caller's dialect (filter/error_pages.cpp); false when this
// status has none.
void render_status(const Dialect &dialect, ngx_uint_t status, std::string_view request_id,
                   ByteBuffer &out);

// The dialect of a caller whose path does not tell: Anthropic's clients send its headers.
const Dialect &dialect_by_headers(ngx_http_request_t *r);

}  // namespace llm
