// The order of deployments that have the same `order`: one function for each strategy.
#pragma once

#include <span>

#include "ngx_llm_module/route/candidates.hpp"

namespace llm {

// Puts the first choice first, the others behind it as the next best.
void arrange(const Config &config, const Model &model, std::span<Candidate> tier);

// The conversation's own deployment first, always the same while the list is the same.
void prefer_by_affinity(std::span<Candidate> tier, uint64_t conversation);

// FNV-1a, for names and texts that are only compared.
uint64_t hash_text(std::string_view text, uint64_t seed = 0xcbf29ce484222325u);

}  // namespace llm
