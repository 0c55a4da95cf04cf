// Finding the model that a client asked for and ranking its deployments.
#include "ngx_llm_module/route/candidates.hpp"

#include <algorithm>

namespace llm {
namespace {

std::string substitute(const Deployment &deployment, std::string_view suffix) {
    if (!deployment.is_wildcard()) {
        return deployment.model;
    }
    std::string result = deployment.model.substr(0, deployment.model.size() - 1);
    result.append(suffix);
    return result;
}

const Model *direct_model(const Config &config, std::string_view provider) {
    for (const auto &model : config.direct) {
        if (model->deployments[0].provider->name == provider) {
            return model.get();
        }
    }
    return nullptr;
}

// One draw without replacement: the chosen deployment moves to `first`. Weight 0 means: only
// when nothing else of its order is left.
void draw(std::vector<Candidate> &list, size_t first, size_t last) {
    uint64_t sum = 0;
    for (size_t i = first; i < last; i++) {
        sum += list[i].deployment->weight;
    }
    if (sum == 0) {
        return;
    }
    uint64_t point = uint64_t(ngx_random()) % sum;
    for (size_t i = first; i < last; i++) {
        uint64_t weight = list[i].deployment->weight;
        if (point < weight) {
            std::rotate(list.begin() + ptrdiff_t(first), list.begin() + ptrdiff_t(i),
                        list.begin() + ptrdiff_t(i) + 1);
            return;
        }
        point -= weight;
    }
}

}  // namespace

const Model *find_model(const Config &config, std::string_view name, std::string_view &suffix) {
    suffix = {};
    if (auto found = config.by_name.find(name); found != config.by_name.end()) {
        return found->second;
    }
    for (const Model *model : config.wildcards) {
        if (name.size() > model->prefix().size() && name.starts_with(model->prefix())) {
            suffix = name.substr(model->prefix().size());
            return model;
        }
    }
    size_t slash = name.find('/');
    if (slash == std::string_view::npos || slash + 1 == name.size()) {
        return nullptr;
    }
    suffix = name.substr(slash + 1);
    return direct_model(config, name.substr(0, slash));
}

std::vector<Candidate> rank(const Model &model, std::string_view suffix) {
    std::vector<Candidate> list;
    list.reserve(model.deployments.size());
    for (const Deployment &deployment : model.deployments) {
        list.push_back({&model, &deployment, substitute(deployment, suffix)});
    }
    if (list.size() == 1) {
        return list;
    }
    std::stable_sort(list.begin(), list.end(), [](const Candidate &a, const Candidate &b) {
        return a.deployment->order < b.deployment->order;
    });
    for (size_t first = 0; first < list.size(); first++) {
        size_t last = first;
        while (last < list.size() &&
               list[last].deployment->order == list[first].deployment->order) {
            last++;
        }
        draw(list, first, last);
    }
    if (list.size() > kMaxCandidates) {
        list.resize(kMaxCandidates);
    }
    return list;
}

Candidate direct_candidate(const Config &config, const Provider &provider, std::string_view model) {
    const Model *direct = direct_model(config, provider.name);
    return {direct, &direct->deployments[0], std::string(model)};
}

}  // namespace llm
