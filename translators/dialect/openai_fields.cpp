// Single members of a chat request with their types checked: see openai_request.hpp. `name` is
// static text that the client is shown as the parameter at fault.
#include "translators/dialect/media.hpp"
#include "translators/dialect/openai_request.hpp"

namespace llm::openai {

namespace {

constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium",
                                         "high", "xhigh",   "max"};

std::optional<ir::Effort> effort_of(Value value) {
    for (size_t i = 0; i < std::size(kEfforts); ++i) {
        if (value.equals(kEfforts[i])) {
            return static_cast<ir::Effort>(i);
        }
    }
    return {};
}

}  // namespace

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

Status read_source(JsonText url, std::string_view name, Arena &arena, ir::Source &source) {
    constexpr std::string_view kScheme = "data:";
    bool is_data = url.bytes.size() >= kScheme.size();
    for (size_t i = 0; is_data && i < kScheme.size(); ++i) {
        is_data = (url.bytes[i] | 0x20) == (kScheme[i] | 0x20);
    }
    if (!is_data) {
        source.kind = ir::SourceKind::url;
        source.data = url;
        return {};
    }
    std::optional<DataUrl> data = parse_data_url(url, arena);
    if (!data) {
        return invalid("not a base64 data URL", name);
    }
    source.kind = ir::SourceKind::base64;
    source.mime = data->mime;
    source.data = data->data;
    return {};
}

Status read_effort(Value value, std::string_view name, ir::Thinking &thinking) {
    if (value.is_unset()) {
        return {};
    }
    thinking.effort = effort_of(value);
    if (!thinking.effort) {
        return invalid("unknown effort", name);
    }
    thinking.kind = ir::ThinkingKind::effort;
    return {};
}

RawJson cache_mark(Value holder) {
    Value mark = holder["cache_control"];
    return mark.is_object() ? mark.raw() : RawJson{};
}

}  // namespace llm::openai
