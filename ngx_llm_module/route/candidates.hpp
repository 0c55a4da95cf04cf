// Which deployments may serve a request, in the order in which they are tried.
#pragma once

#include <string>
#include <vector>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

struct Candidate {
    const Model *model = nullptr;
    const Deployment *deployment = nullptr;
    std::string upstream_model;  // wildcards substituted
};

// Attempts of one request, at most.
constexpr size_t kMaxCandidates = 16;

// The model of that name: exact name or alias, the longest pattern that fits, PROVIDER/MODEL.
// `suffix` is what the pattern's * stood for. Nothing when there is none.
const Model *find_model(const Config &config, std::string_view name, std::string_view &suffix);

// The model's deployments: lowest order first, each order's in random sequence drawn by weight.
std::vector<Candidate> rank(const Model &model, std::string_view suffix);

// The candidate of a location that is one provider.
Candidate direct_candidate(const Config &config, const Provider &provider, std::string_view model);

}  // namespace llm
