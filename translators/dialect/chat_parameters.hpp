// Parameters of chat completions that a service refuses: sets of them as bits, for rows of the
// catalogue (chat_parameters("seed", "stop")) and ModelTraits::refuses.
#pragma once

#include <cstdint>
#include <string_view>

#include "translators/core/arena.hpp"
#include "translators/core/result.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm {

struct ChatParameter {
    std::string_view name;
    bool is_hint;
};

constexpr ChatParameter kChatParameters[] = {
#define LLM_CHAT_PARAMETER(name, is_hint) {name, is_hint},
#include "translators/dialect/chat_parameters.def"
#undef LLM_CHAT_PARAMETER
};

// Not consteval: a row that names what the table lacks does not compile.
uint32_t no_such_chat_parameter();

// The set of these names.
template <class... Names>
consteval uint32_t chat_parameters(Names... names) {
    uint32_t set = 0;
    for (std::string_view name : {std::string_view(names)...}) {
        uint32_t bit = 1;
        bool is_known = false;
        for (const ChatParameter &parameter : kChatParameters) {
            set |= parameter.name == name ? bit : 0;
            is_known |= parameter.name == name;
            bit <<= 1;
        }
        set |= is_known ? 0 : no_such_chat_parameter();
    }
    return set;
}

// ModelTraits::temperature_max
bool is_above(RawJson temperature, std::string_view most);

// Is a value that says no more than the absence of the parameter does?
bool is_usual_value(std::string_view parameter, json::Value value);

// The name as a service of this prefix has it: those with a slash are whole.
std::string_view sent_model(const ModelTraits &traits, std::string_view model, Arena &arena);

}  // namespace llm
