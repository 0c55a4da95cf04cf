// Beta flags and members of messages by carrier; see the header. The lists are those of flags that
// Bedrock is known to take for some model at least; everything else it is not asked.
#include "translators/dialect/anthropic_beta.hpp"

namespace llm::anthropic {

namespace {

constexpr std::string_view kBedrockFlags[] = {
    "computer-use-2025-01-24",         "token-efficient-tools-2025-02-19",
    "interleaved-thinking-2025-05-14", "output-128k-2025-02-19",
    "dev-full-thinking-2025-05-14",    "context-1m-2025-08-07",
    "context-management-2025-06-27",   "effort-2025-11-24",
    "tool-search-tool-2025-10-19",     "tool-examples-2025-10-29",
};

// Speaks of the client's credential, which stays here.
constexpr std::string_view kOauthFlag = "oauth-2025-04-20";

// What Bedrock has not, or has behind a flag only.
struct Gate {
    std::string_view member;
    std::string_view flag;  // empty: never
};

constexpr Gate kTopGates[] = {
    {"cache_control", {}}, {"container", {}},   {"context_management", "context-management-"},
    {"inference_geo", {}}, {"mcp_servers", {}}, {"service_tier", {}},
    {"speed", {}},
};

constexpr Gate kToolGates[] = {
    {"allowed_callers", {}},
    {"defer_loading", "tool-search-tool-"},
    {"eager_input_streaming", {}},
    {"input_examples", "tool-examples-"},
};

// Takes the first flag off the list.
std::string_view next_flag(std::string_view &list) {
    size_t comma = list.find(',');
    std::string_view flag = list.substr(0, comma);
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    size_t begin = flag.find_first_not_of(" \t");
    size_t end = flag.find_last_not_of(" \t");
    return begin == std::string_view::npos ? std::string_view()
                                           : flag.substr(begin, end + 1 - begin);
}

template <class Matches>
bool has_flag(std::string_view list, Matches matches) {
    while (!list.empty()) {
        if (matches(next_flag(list))) {
            return true;
        }
    }
    return false;
}

bool is_accepted(std::string_view flag, Carrier carrier, bool is_official) {
    if (carrier == Carrier::bedrock) {
        for (std::string_view known : kBedrockFlags) {
            if (flag == known) {
                return true;
            }
        }
        return false;
    }
    bool is_direct = carrier == Carrier::direct && is_official;
    return is_direct || flag != kOauthFlag;
}

template <size_t kCount>
bool is_open(std::string_view name, const Target &target, const Gate (&gates)[kCount]) {
    if (target.carrier != Carrier::bedrock) {
        return true;
    }
    for (const Gate &gate : gates) {
        if (gate.member == name) {
            return !gate.flag.empty() && has_flag(target.beta_flags, [&](std::string_view flag) {
                return flag.starts_with(gate.flag);
            });
        }
    }
    return true;
}

}  // namespace

std::string beta_flags_for(std::string_view flags, Carrier carrier, bool is_official) {
    std::string kept;
    while (!flags.empty()) {
        std::string_view flag = next_flag(flags);
        bool is_known = has_flag(kept, [&](std::string_view other) { return other == flag; });
        if (!flag.empty() && !is_known && is_accepted(flag, carrier, is_official)) {
            kept.append(kept.empty() ? "" : ",").append(flag);
        }
    }
    return kept;
}

std::string_view version_of(Carrier carrier) {
    switch (carrier) {
        case Carrier::vertex:
            return "vertex-2023-10-16";
        case Carrier::bedrock:
            return "bedrock-2023-05-31";
        case Carrier::direct:
        case Carrier::azure:
            break;
    }
    return {};
}

void write_beta_flags(const Target &target, json::Writer &writer) {
    if (target.carrier != Carrier::bedrock || target.beta_flags.empty()) {
        return;
    }
    writer.key("anthropic_beta").array();
    for (std::string_view left = target.beta_flags; !left.empty();) {
        if (std::string_view flag = next_flag(left); !flag.empty()) {
            writer.plain(flag);
        }
    }
    writer.end();
}

bool belongs_to_carrier(std::string_view name, const Target &target) {
    if (version_of(target.carrier).empty()) {
        return false;
    }
    return name == "anthropic_beta" || name == "anthropic_version" || name == "model" ||
           (name == "stream" && target.carrier == Carrier::bedrock);
}

bool takes_member(std::string_view name, const Target &target) {
    return is_open(name, target, kTopGates);
}

bool takes_tool_member(std::string_view name, const Target &target) {
    return is_open(name, target, kToolGates);
}

}  // namespace llm::anthropic
