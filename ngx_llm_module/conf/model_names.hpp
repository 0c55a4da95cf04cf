// Finding models by the names that clients and the configuration use.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// The model of that name: exact name or alias, the longest pattern that fits, PROVIDER/MODEL.
// `suffix` is what the pattern's * stood for. Nothing when there is none.
const Model *find_model(const Config &config, std::string_view name, std::string_view &suffix);

// PROVIDER/*; every provider has one.
const Model *direct_model(const Config &config, std::string_view provider);

// The name of the model that has this alias; else the name itself.
std::string_view without_alias(const Config &config, std::string_view name);

}  // namespace llm
