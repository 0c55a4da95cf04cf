// The bytes of one attempt's request, made anew for every attempt: path, host, credentials and
// body all belong to the deployment.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ngx_llm_module/route/candidates.hpp"
#include "translators/core/result.hpp"
#include "translators/json/writer.hpp"

namespace llm {

class LlmRequest;

struct OutgoingRequest {
    const Endpoint *endpoint = nullptr;  // nullptr: the mock
    std::string head;                    // request line and headers
    ByteBuffer made;                     // what of the body was made here; its bytes stay
                                         // where they are when the object is moved
    std::vector<std::string_view> body;  // pieces of `made` and of the client's own bytes
    bool is_head = false;                // a HEAD request: the answer has no body
};

Status build_request(LlmRequest &request, const Candidate &candidate, OutgoingRequest &out);

// --- parts of it, which a request without a client needs, too ---

// As what its provider is to be asked. The views last as long as the arena.
Target target_of(const Deployment &deployment, std::string_view model, const Speech &speech,
                 Arena &arena);
// A rendered body, with what the provider's configuration adds.
void put_made_body(ByteBuffer body, const Provider &provider, OutgoingRequest &out);
size_t body_size(const OutgoingRequest &out);
// One of the provider's keys: in turn, but not one that it refused lately, and never one of
// `refused`, a bit for each, while there is another.
unsigned choose_key(const Config &config, const Deployment &deployment, uint32_t refused);

}  // namespace llm
