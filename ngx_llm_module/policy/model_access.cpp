#include "ngx_llm_module/policy/model_access.hpp"

#include "ngx_llm_module/conf/model_names.hpp"

namespace llm {
namespace {

bool is_all(std::string_view entry, bool has_team) {
    return entry == "*" || entry == "all-proxy-models" || (entry == "all-team-models" && has_team);
}

bool has_model(const Config &config, const std::vector<std::string> &list, bool has_team,
               std::string_view model) {
    for (std::string_view entry : list) {
        if (is_all(entry, has_team)) {
            return true;
        }
        if (entry.ends_with('*')) {
            entry.remove_suffix(1);
            if (model.starts_with(entry)) {
                return true;
            }
        } else if (entry == model || without_alias(config, entry) == model) {
            return true;
        }
    }
    return list.empty();
}

bool has_all_of(const std::vector<std::string> &list, bool has_team, std::string_view prefix) {
    for (std::string_view entry : list) {
        if (is_all(entry, has_team) ||
            (entry.ends_with('*') && prefix.starts_with(entry.substr(0, entry.size() - 1)))) {
            return true;
        }
    }
    return list.empty();
}

// A user's list is for the keys that are the user's alone.
template <class Holds>
bool in_all_lists(const Identity &identity, Holds holds) {
    bool has_team = identity.team != nullptr;
    if (identity.key != nullptr && !holds(identity.key->models, has_team)) {
        return false;
    }
    if (has_team) {
        return holds(identity.team->models, has_team);
    }
    return identity.user == nullptr || holds(identity.user->models, has_team);
}

}  // namespace

bool may_use(const Config &config, const Identity &identity, std::string_view model) {
    std::string_view plain = without_alias(config, model);
    return in_all_lists(identity, [&](const std::vector<std::string> &list, bool has_team) {
        return has_model(config, list, has_team, plain);
    });
}

bool may_use_all_of(const Identity &identity, const Provider &provider) {
    std::string prefix = provider.name + "/";
    return in_all_lists(identity, [&](const std::vector<std::string> &list, bool has_team) {
        return has_all_of(list, has_team, prefix);
    });
}

bool may_use_all(const Identity &identity) {
    return in_all_lists(identity, [](const std::vector<std::string> &list, bool has_team) {
        return has_all_of(list, has_team, "");
    });
}

std::string_view own_alias(const Identity &identity, std::string_view model) {
    if (identity.key != nullptr) {
        for (const auto &[name, target] : identity.key->aliases) {
            if (name == model) {
                return target;
            }
        }
    }
    return model;
}

}  // namespace llm
