// See path.hpp.
#include "translators/provider/path.hpp"

#include <algorithm>

namespace llm {

namespace {

constexpr std::string_view kModel = "model";
constexpr std::string_view kVertexHost = "vertex_host";
constexpr std::string_view kRegion = "region";

// Calls on_text and on_name for the parts of a template. A brace without its other half is text.
template <class OnText, class OnName>
void for_each_part(std::string_view text, OnText on_text, OnName on_name) {
    while (!text.empty()) {
        size_t open = text.find('{');
        size_t close = open == std::string_view::npos ? open : text.find('}', open);
        if (close == std::string_view::npos) {
            on_text(text);
            return;
        }
        on_text(text.substr(0, open));
        on_name(text.substr(open + 1, close - open - 1));
        text.remove_prefix(close + 1);
    }
}

// Google's hosts: one for a region, one for no region in particular, and those of continents.
void append_vertex_host(std::string_view region, std::string &out) {
    if (region == "global") {
        out.append("aiplatform.googleapis.com");
    } else if (region == "us" || region == "eu") {
        out.append("aiplatform.").append(region).append(".rep.googleapis.com");
    } else {
        out.append(region).append("-aiplatform.googleapis.com");
    }
}

bool is_unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

}  // namespace

void encode_path_segment(std::string_view text, std::string &out) {
    constexpr char kHex[] = "0123456789ABCDEF";
    // Dots alone would be a step in the tree of paths.
    bool dots = text == "." || text == "..";
    for (unsigned char c : text) {
        if (is_unreserved(c) && !dots) {
            out.push_back(static_cast<char>(c));
        } else {
            out.push_back('%');
            out.push_back(kHex[c >> 4]);
            out.push_back(kHex[c & 15]);
        }
    }
}

std::string_view expand_variables(std::string_view text, std::span<const UrlVariable> variables,
                                  std::string &out) {
    std::string_view missing;
    auto value_of = [&](std::string_view name) -> std::string_view {
        for (const UrlVariable &variable : variables) {
            if (variable.name == name && !variable.value.empty()) {
                return variable.value;
            }
        }
        if (missing.empty()) {
            missing = name;
        }
        return {};
    };
    for_each_part(
        text, [&](std::string_view plain) { out.append(plain); },
        [&](std::string_view name) {
            if (name == kModel) {
                out.append("{").append(kModel).append("}");
            } else if (name == kVertexHost) {
                append_vertex_host(value_of(kRegion), out);
            } else {
                out.append(value_of(name));
            }
        });
    return missing;
}

void add_variables(std::string_view text, std::vector<std::string_view> &names) {
    for_each_part(
        text, [](std::string_view) {},
        [&](std::string_view name) {
            name = name == kVertexHost ? kRegion : name;
            if (name != kModel && std::find(names.begin(), names.end(), name) == names.end()) {
                names.push_back(name);
            }
        });
}

std::string fill_model(std::string_view path, std::string_view model) {
    std::string filled;
    filled.reserve(path.size() + model.size());
    for_each_part(
        path, [&](std::string_view plain) { filled.append(plain); },
        [&](std::string_view name) {
            if (name == kModel) {
                encode_path_segment(model, filled);
            } else {
                filled.append("{").append(name).append("}");
            }
        });
    return filled;
}

}  // namespace llm
