// How far a request has come with its deployments and models, and what its client said about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ngx_llm_module/route/candidates.hpp"
#include "ngx_llm_module/route/next_step.hpp"

namespace llm {

// What a client may say about its own request, in the body or in headers.
struct Wishes {
    std::optional<ngx_uint_t> num_retries;
    ngx_msec_t timeout = 0;  // 0: as configured
    bool disable_fallbacks = false;
    bool has_fallbacks = false;  // its own list, in place of the configured one
    std::vector<std::string> fallbacks;
    std::vector<std::string> tags;
};

// Another model that may be asked after a failure of this kind.
struct PlannedModel {
    std::string name;
    FallbackKind kind = FallbackKind::general;
};

// How one attempt asks its deployment.
struct AttemptChoice {
    unsigned key = 0;
    unsigned key_count = 0;  // 0 or 1: there is no other
    unsigned url_count = 0;
    unsigned url = 0;
    bool is_trial = false;  // of a deployment whose cool-down is just over
};

struct Plan : AttemptChoice {
    Wishes wishes;
    std::vector<Tried> tried;           // of the candidates
    std::vector<PlannedModel> pending;  // the closest first
    std::vector<const Model *> visited;
    std::string current;           // the model that is asked: the client's, or a fallback
    unsigned retries_left = 0;     // of the current model
    unsigned fallbacks = 0;        // models that were gone on to
    ngx_msec_t shortest_wait = 0;  // until one of those that cool may be asked; 0: none did
    bool has_elsewhere = false;    // another deployment of the model, or a fallback
    ngx_event_t pause = {};        // before a further attempt
};

}  // namespace llm
