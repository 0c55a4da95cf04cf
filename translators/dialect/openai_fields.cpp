// Single members of a chat request with their types checked: see openai_request.hpp. `name` is
// static text that the client is shown as the parameter at fault.
#include "translators/dialect/openai_request.hpp"

namespace llm::openai {

Status read_number(Value value, std::string_view name, RawJson &out) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_number()) {
        return invalid("must be a number", name);
    }
    out = value.raw();
    return {};
}

Status read_integer(Value value, std::string_view name, RawJson &out) {
    if (!value.is_unset() && !value.as_int()) {
        return invalid("must be an integer", name);
    }
    return read_number(value, name, out);
}

Status read_text(Value value, std::string_view name, JsonText &out) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_string()) {
        return invalid("must be a string", name);
    }
    out = value.text();
    return {};
}

Status read_flag(Value value, std::string_view name, std::optional<bool> &out) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_bool()) {
        return invalid("must be a boolean", name);
    }
    out = value.is_true();
    return {};
}

Status read_object(Value value, std::string_view name, RawJson &out) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_object()) {
        return invalid("must be an object", name);
    }
    out = value.raw();
    return {};
}

RawJson cache_mark(Value holder) {
    Value mark = holder["cache_control"];
    return mark.is_object() ? mark.raw() : RawJson{};
}

}  // namespace llm::openai
