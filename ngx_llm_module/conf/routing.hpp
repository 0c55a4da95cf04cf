// How the deployments of a model are chosen and what happens when they fail, as the configuration
// says it: words of llm_model, with the location's values for what a model leaves open.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

struct Placed;

enum class Strategy : uint8_t {
    simple_shuffle,  // by weight, else rpm, else tpm, else all alike
    least_busy,
    latency_based,
    usage_based,
    cost_based,
    round_robin,
};

std::optional<Strategy> find_strategy(std::string_view name);

// llm_recover
constexpr ngx_uint_t kRecoverOff = 0;
constexpr ngx_uint_t kRecoverRestart = 1;
constexpr ngx_uint_t kRecoverContinue = 2;

// A second attempt beside one that is late.
struct HedgeRule {
    bool is_on = false;
    ngx_msec_t after = 0;  // 0: what 95 of 100 answers of the deployment took
    uint32_t share = 500;  // of the requests, in 1/10000
};

struct Routing {
    Strategy strategy = Strategy::simple_shuffle;
    double latency_buffer = 0.3;  // of the shortest time: who is within it is as good
    bool has_affinity = false;    // the same conversation, the same deployment
    std::vector<Placed> fallbacks;
    std::vector<Placed> context_fallbacks;
    std::vector<Placed> content_fallbacks;
    HedgeRule hedge;
    // Not set: as the location says.
    ngx_uint_t num_retries = NGX_CONF_UNSET_UINT;
    ngx_uint_t allowed_fails = NGX_CONF_UNSET_UINT;
    ngx_msec_t cooldown_time = NGX_CONF_UNSET_MSEC;
    ngx_uint_t recover = NGX_CONF_UNSET_UINT;
};

// What llm_allowed_fails is where nothing was said: LiteLLM's rule by rate.
constexpr ngx_uint_t kFailsByRate = NGX_CONF_UNSET_UINT - 1;

}  // namespace llm
