// Ranking the deployments of a model: who is able to take the request, in which order.
#include "ngx_llm_module/route/candidates.hpp"

#include <algorithm>

#include "ngx_llm_module/route/strategy.hpp"
#include "ngx_llm_module/state/health.hpp"

namespace llm {
namespace {

constexpr std::string_view kDefaultTag = "default";

std::string substitute(const Deployment &deployment, std::string_view suffix) {
    if (!deployment.is_wildcard()) {
        return deployment.model;
    }
    std::string result = deployment.model.substr(0, deployment.model.size() - 1);
    result.append(suffix);
    return result;
}

bool has_tag(const Deployment &deployment, std::string_view tag) {
    return std::find(deployment.tags.begin(), deployment.tags.end(), tag) != deployment.tags.end();
}

// Tags matter once a deployment of the model has some.
void keep_tagged(std::vector<Candidate> &list, const std::vector<std::string> &tags) {
    auto any = [&](auto &&holds) { return std::any_of(list.begin(), list.end(), holds); };
    if (!any([](const Candidate &c) { return !c.deployment->tags.empty(); })) {
        return;
    }
    if (!tags.empty()) {
        std::erase_if(list, [&](const Candidate &c) {
            return !std::all_of(tags.begin(), tags.end(), [&](const std::string &tag) {
                return has_tag(*c.deployment, tag);
            });
        });
    } else if (any([](const Candidate &c) { return has_tag(*c.deployment, kDefaultTag); })) {
        std::erase_if(list,
                      [](const Candidate &c) { return !has_tag(*c.deployment, kDefaultTag); });
    }
}

// Only what is clearly too long: at 8 bytes a token, and no media, whose bytes are not tokens.
void drop_too_small(std::vector<Candidate> &list, std::string_view body) {
    constexpr size_t kBytesPerToken = 8;
    auto is_small = [&](const Candidate &c) {
        uint32_t limit = c.deployment->price.max_input;
        return limit != 0 && body.size() / kBytesPerToken > limit;
    };
    if (std::any_of(list.begin(), list.end(), is_small) &&
        body.find("base64") == std::string_view::npos &&
        body.find("inline") == std::string_view::npos) {
        std::erase_if(list, is_small);
    }
}

void order_tiers(const Config &config, const Model &model, std::vector<Candidate> &list,
                 uint64_t conversation) {
    std::stable_sort(list.begin(), list.end(), [](const Candidate &a, const Candidate &b) {
        return a.deployment->order < b.deployment->order;
    });
    for (size_t first = 0; first < list.size();) {
        size_t last = first;
        while (last < list.size() &&
               list[last].deployment->order == list[first].deployment->order) {
            last++;
        }
        std::span<Candidate> tier(list.data() + first, last - first);
        arrange(config, model, tier);
        if (conversation != 0) {
            prefer_by_affinity(tier, conversation);
        }
        first = last;
    }
}

// Those that cool go. When all do: the one whose time ends first stays, where that is wished.
void drop_cooling(const Config &config, Ranking &ranking, bool try_cooled) {
    Candidate soonest;
    std::erase_if(ranking.list, [&](Candidate &candidate) {
        ngx_msec_t wait = 0;
        if (availability(config, candidate.deployment->slot, &wait) != Availability::cooling) {
            return false;
        }
        wait = std::max<ngx_msec_t>(wait, 1);
        if (ranking.shortest_wait == 0 || wait < ranking.shortest_wait) {
            ranking.shortest_wait = wait;
            soonest = candidate;
        }
        return true;
    });
    if (ranking.list.empty() && try_cooled && soonest.deployment != nullptr) {
        ranking.list.push_back(soonest);
    }
}

}  // namespace

Ranking rank(const Config &config, const Model &model, std::string_view suffix,
             const RankHints &hints) {
    Ranking ranking;
    std::vector<Candidate> &list = ranking.list;
    list.reserve(model.deployments.size());
    for (const Deployment &deployment : model.deployments) {
        list.push_back({&model, &deployment, substitute(deployment, suffix)});
    }
    if (hints.tags != nullptr) {
        keep_tagged(list, *hints.tags);
    }
    if (list.empty()) {
        ranking.why = Emptiness::no_tags;
        return ranking;
    }
    drop_too_small(list, hints.body);
    if (list.empty()) {
        ranking.why = Emptiness::too_long;
        return ranking;
    }
    ranking.has_others = list.size() > 1;
    if (ranking.has_others) {
        order_tiers(config, model, list, hints.conversation);
    }
    drop_cooling(config, ranking, hints.try_cooled);
    if (list.empty()) {
        ranking.why = Emptiness::cooling;
    } else if (list.size() > kMaxCandidates) {
        list.resize(kMaxCandidates);
    }
    return ranking;
}

Candidate direct_candidate(const Config &config, const Provider &provider, std::string_view model) {
    const Model *direct = direct_model(config, provider.name);
    return {direct, &direct->deployments[0], std::string(model)};
}

}  // namespace llm
