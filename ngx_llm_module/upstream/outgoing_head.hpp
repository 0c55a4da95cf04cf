// The head of a request to a provider: which key, which of the client's headers go on, the
// signature. What is the same for every request of a deployment is put together once.
#pragma once

#include "ngx_llm_module/upstream/outgoing.hpp"

namespace llm {

// What is known where the head is written.
struct Call {
    const Provider &provider;
    const Speech &speech;
    const Endpoint &endpoint;
    unsigned key = 0;                 // of the provider's
    ngx_http_request_t *r = nullptr;  // of the client; none: the gateway asks for itself
    bool is_stream = false;
    bool is_unread = false;            // the body and its kind are the client's
    bool same_dialect = false;         // headers of the client go on
    std::string_view beta_flags = {};  // of the messages API
};

// The client's flags for the messages API, of all its header lines, without those that the
// provider would refuse. In the arena.
std::string_view beta_flags(LlmRequest &request, const Provider &provider, const Speech &speech);

// `path` is what follows the base URL's. The body is complete; without a size it has none.
Status build_head(const Call &call, std::string_view method, std::string_view path,
                  std::optional<size_t> body_size, OutgoingRequest &out);

// Of a request for an answer, or for a count of tokens.
Status build_chat_head(const Call &call, const LlmRequest &request, std::string_view model,
                       size_t body_size, OutgoingRequest &out);

}  // namespace llm
