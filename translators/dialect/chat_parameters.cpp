// See chat_parameters.hpp.
#include "translators/dialect/chat_parameters.hpp"

#include <cstring>

#include "translators/dialect/render_values.hpp"

namespace llm {

bool is_above(RawJson temperature, std::string_view most) {
    return !most.empty() && number_of(temperature).value_or(0) > number_of({most}).value_or(0);
}

bool is_usual_value(std::string_view parameter, json::Value value) {
    if (value.is_unset()) {
        return true;
    }
    if (value.is_array() || parameter == "logit_bias" || parameter == "metadata") {
        return value.size() == 0;
    }
    if (parameter == "frequency_penalty" || parameter == "presence_penalty") {
        return value.as_double() == 0.0;
    }
    if (parameter == "n" || parameter == "temperature" || parameter == "top_p") {
        return value.as_double() == 1.0;
    }
    if (parameter == "logprobs") {
        return !value.is_true();
    }
    if (parameter == "parallel_tool_calls") {
        return value.is_true();
    }
    if (parameter == "response_format") {
        return value["type"].equals("text");
    }
    if (parameter == "tool_choice" || parameter == "function_call" || parameter == "service_tier") {
        return value.equals("auto");
    }
    return value.is_string() && value.text().empty();
}

std::string_view sent_model(const ModelTraits &traits, std::string_view model, Arena &arena) {
    std::string_view prefix = traits.model_prefix;
    if (prefix.empty() || model.empty() || model.find('/') != std::string_view::npos) {
        return model;
    }
    char *start = arena.allocate(prefix.size() + model.size());
    memcpy(start, prefix.data(), prefix.size());
    memcpy(start + prefix.size(), model.data(), model.size());
    return {start, prefix.size() + model.size()};
}

}  // namespace llm
