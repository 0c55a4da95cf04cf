// Names of models: exact ones and aliases first, then patterns, then PROVIDER/MODEL.
#include "ngx_llm_module/conf/model_names.hpp"

namespace llm {

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

std::string_view without_alias(const Config &config, std::string_view name) {
    auto found = config.by_name.find(name);
    return found != config.by_name.end() ? std::string_view(found->second->name) : name;
}

const Model *direct_model(const Config &config, std::string_view provider) {
    for (const auto &model : config.direct) {
        if (model->deployments[0].provider->name == provider) {
            return model.get();
        }
    }
    return nullptr;
}

}  // namespace llm
