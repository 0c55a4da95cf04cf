// Which models a key may use. Its list and its team's both hold; an empty one is all models. Names
// are compared as what they stand for: an alias in a request or in a list is its model.
#pragma once

#include <string>
#include <string_view>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// `model` is a name of llm_model, one of its aliases, what fits a pattern, or PROVIDER/MODEL.
// Routing asks for every model that it turns to, so that a fallback opens no door.
bool may_use(const Config &config, const Identity &identity, std::string_view model);

// Everything of a provider, whatever the model.
bool may_use_all_of(const Identity &identity, const Provider &provider);

// Whatever it is.
bool may_use_all(const Identity &identity);

// What a name of the key's own stands for; any other name stays as it is.
std::string_view own_alias(const Identity &identity, std::string_view model);

}  // namespace llm
