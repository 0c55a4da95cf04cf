// Which deployments may serve a request, in the order in which they are tried.
#pragma once

#include <string>
#include <vector>

#include "ngx_llm_module/conf/model_names.hpp"

namespace llm {

struct Candidate {
    const Model *model = nullptr;
    const Deployment *deployment = nullptr;
    std::string upstream_model;  // wildcards substituted
};

// Attempts of one request at one model, at most.
constexpr size_t kMaxCandidates = 16;

// What the choice looks at beside the configuration.
struct RankHints {
    const std::vector<std::string> *tags = nullptr;  // of the request
    std::string_view body;                           // empty: its size does not matter
    uint64_t conversation = 0;                       // 0: no affinity
    bool try_cooled = false;                         // llm_all_cooled try
};

enum class Emptiness : uint8_t { none, no_tags, too_long, cooling, unpriced };

struct Ranking {
    std::vector<Candidate> list;
    Emptiness why = Emptiness::none;  // of an empty list
    ngx_msec_t shortest_wait = 0;     // of those that cool
    bool has_others = false;          // the model has more than one deployment for this request
};

// The model's deployments that can take the request now: lowest order first, within an order as the
// model's strategy says.
Ranking rank(const Config &config, const Model &model, std::string_view suffix,
             const RankHints &hints);

// The candidate of a location that is one provider.
Candidate direct_candidate(const Config &config, const Provider &provider, std::string_view model);

}  // namespace llm
