// Names of answers that a provider keeps (Responses: previous_response_id, GET /responses/ID), as
// clients get them. A name tells which deployment keeps the answer and is sealed for the caller
// who got it, so that nothing has to be remembered here and nobody else can use it:
//
//   resp_gw1_ DEPLOYMENT SEAL _ ID     8 and 24 hex digits, and the provider's own name
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llm {

// What a name is sealed with.
struct KeptSeal {
    std::string_view secret;      // that no caller knows
    std::string_view owner;       // the caller: empty where anybody may ask
    std::string_view deployment;  // its id
};

struct KeptId {
    uint32_t tag = 0;       // kept_tag() of the deployment
    std::string_view seal;  // views into the text that was read
    std::string_view id;    // the provider's own name
};

uint32_t kept_tag(std::string_view deployment);

std::string seal_kept_id(const KeptSeal &seal, std::string_view id);

// Nothing: not a name of ours.
std::optional<KeptId> read_kept_id(std::string_view text);

// Was it made with this seal?
bool is_sealed_with(const KeptId &id, const KeptSeal &seal);

}  // namespace llm
