// See address.hpp.
#include "translators/provider/address.hpp"

namespace llm {

namespace {

std::string_view or_else(std::string_view own, std::string_view usual) {
    return own.empty() ? usual : own;
}

// A chat path of its own goes for streams as well, unless there is one for them.
std::string_view stream_path_of(const Spoken &spoken, const Dialect &dialect) {
    return !spoken.stream_path.empty() || !spoken.chat_path.empty() ? spoken.stream_path
                                                                    : dialect.stream_path;
}

// A service with paths of its own need not have the others of the dialect.
std::string_view count_path_of(const Spoken &spoken, const Dialect &dialect) {
    return !spoken.count_path.empty() || !spoken.chat_path.empty() ? spoken.count_path
                                                                   : dialect.count_path;
}

}  // namespace

const Dialect *find_registered(DialectId id) {
    for (const Dialect *known : dialects()) {
        if (known->id == id) {
            return known;
        }
    }
    return nullptr;
}

std::string_view dialect_name(DialectId id) {
    switch (id) {
        case DialectId::openai:
            return "openai";
        case DialectId::anthropic:
            return "anthropic";
        case DialectId::responses:
            return "responses";
        case DialectId::gemini:
            return "gemini";
        case DialectId::bedrock:
            return "bedrock";
        case DialectId::cohere:
            return "cohere";
        case DialectId::ollama:
            return "ollama";
        case DialectId::completions:
            return "completions";
    }
    return {};
}

Address plain_address(const Dialect &dialect) {
    Address address;
    address.dialect = &dialect;
    address.chat_path = dialect.chat_path;
    address.stream_path = dialect.stream_path;
    address.count_path = dialect.count_path;
    return address;
}

std::string_view main_address(const ProviderPreset &preset, const Dialect &dialect,
                              std::span<const UrlVariable> variables, Address &address) {
    Spoken way = preset.main();
    if (!preset.plain_path.empty()) {
        std::string path;
        if (!expand_variables(way.chat_path, variables, path).empty()) {
            way.chat_path = preset.plain_path;
        }
    }
    return further_address(way, dialect, variables, address);
}

std::string_view further_address(const Spoken &spoken, const Dialect &dialect,
                                 std::span<const UrlVariable> variables, Address &address) {
    address.dialect = &dialect;
    address.carrier = spoken.carrier;
    // What is below the provider's own base URL becomes part of the paths.
    std::string_view below = spoken.base_url.starts_with('/') ? spoken.base_url : "";
    std::string_view missing;
    auto expand = [&](std::string_view text, std::string &out) {
        std::string_view lacks = expand_variables(text, variables, out);
        if (missing.empty()) {
            missing = lacks;
        }
    };
    auto expand_path = [&](std::string_view text, std::string &out) {
        if (!text.empty()) {
            out = below;
            expand(text, out);
        }
    };
    if (below.empty()) {
        expand(spoken.base_url, address.base_url);
    }
    expand_path(or_else(spoken.chat_path, dialect.chat_path), address.chat_path);
    expand_path(stream_path_of(spoken, dialect), address.stream_path);
    expand_path(count_path_of(spoken, dialect), address.count_path);
    return missing;
}

bool can_pass(const Dialect &dialect) {
    return dialect.splice_request != nullptr && dialect.observe_response != nullptr &&
           dialect.make_observer != nullptr;
}

Auth usual_auth(DialectId dialect) {
    switch (dialect) {
        case DialectId::anthropic:
            return key_header("x-api-key");
        case DialectId::gemini:
            return key_header("x-goog-api-key");
        case DialectId::bedrock:
            return sigv4("bedrock");
        case DialectId::openai:
        case DialectId::responses:
        case DialectId::cohere:
        case DialectId::ollama:
        case DialectId::completions:
            break;
    }
    return {};
}

}  // namespace llm
