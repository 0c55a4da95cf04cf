// What is known of a model by its name: patterns in model_traits.def, nothing else.
#pragma once

#include <string_view>

#include "translators/dialect/dialect.hpp"

namespace llm {

// `is_official` is true for the dialect's own service (api.openai.com, api.anthropic.com), where
// the newest rules hold; imitators of chat get the older, wider ones.
ModelTraits model_traits(DialectId dialect, std::string_view model, bool is_official);

}  // namespace llm
