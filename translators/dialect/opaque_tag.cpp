// See opaque_tag.hpp. The names in tags are part of what clients keep: they never change.
#include "translators/dialect/opaque_tag.hpp"

#include <cstring>

namespace llm {

namespace {

struct Tag {
    DialectId origin;
    std::string_view text;
};

constexpr Tag kTags[] = {
    {DialectId::openai, "gw1.openai."},       {DialectId::anthropic, "gw1.anthropic."},
    {DialectId::responses, "gw1.responses."}, {DialectId::gemini, "gw1.gemini."},
    {DialectId::bedrock, "gw1.bedrock."},     {DialectId::cohere, "gw1.cohere."},
    {DialectId::ollama, "gw1.ollama."},
};

}  // namespace

std::string_view opaque_tag(DialectId origin) {
    for (const Tag &tag : kTags) {
        if (tag.origin == origin) {
            return tag.text;
        }
    }
    return {};
}

TaggedOpaque read_opaque(JsonText sent, DialectId client) {
    for (const Tag &tag : kTags) {
        if (sent.bytes.starts_with(tag.text)) {
            return {tag.origin, {sent.bytes.substr(tag.text.size())}};
        }
    }
    return {client, sent};
}

JsonText tag_opaque(DialectId origin, JsonText data, DialectId client, Arena &arena) {
    std::string_view tag = opaque_tag(origin);
    if (origin == client || data.empty() || tag.empty()) {
        return data;
    }
    char *made = arena.allocate(tag.size() + data.bytes.size());
    memcpy(made, tag.data(), tag.size());
    memcpy(made + tag.size(), data.bytes.data(), data.bytes.size());
    return {{made, tag.size() + data.bytes.size()}};
}

}  // namespace llm
