// The catalogue of providers: where they are, how they are asked, and how they differ from the
// dialect that they speak. Rows are in providers.def.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "translators/dialect/dialect.hpp"

namespace llm {

enum class AuthKind : uint8_t {
    none,
    bearer,     // Authorization: Bearer KEY
    x_api_key,  // x-api-key: KEY
};

// Differences from the dialect, one bit each; apply_quirks turns them into traits.
enum ProviderQuirk : uint32_t {
    kNoQuirks = 0,
    kStrictMembers = 1,           // refuses members that it does not know
    kNoStreamOptions = 2,         // refuses stream_options; usage comes always
    kMaxCompletionTokens = 4,     // that name instead of max_tokens
    kWantsReasoningContent = 8,   // history must carry reasoning_content
    kMistral = 16,                // ids of 9 characters, tool_choice any, random_seed, prefix
    kStringContent = 32,          // content must be a string, not a list
    kNoStrictTools = 64,          // refuses `strict` in tools
    kNoToolChoiceRequired = 128,  // knows tool_choice auto and none only
    kThinkingSwitch = 256,        // `thinking:{type}` turns reasoning on and off
    kEnableThinking = 512,        // `enable_thinking` turns reasoning on and off
    kUserLast = 1024,             // the last message must be from the user
};

struct FixedHeader {
    std::string_view name;  // lower case
    std::string_view value;
};

struct ProviderPreset {
    std::string_view name;
    DialectId dialect;
    std::string_view base_url;  // without a slash at its end; empty: must be configured
    AuthKind auth;
    std::string_view key_env;  // empty: no key
    uint32_t quirks;
    bool is_official;  // the dialect's own service
    std::span<const FixedHeader> headers;
};

const ProviderPreset *find_provider_preset(std::string_view name);
std::span<const ProviderPreset> provider_presets();

void apply_quirks(uint32_t quirks, ModelTraits &traits);

// Traits of `model` behind this preset: by name, then by quirks.
ModelTraits preset_traits(const ProviderPreset &preset, std::string_view model);

}  // namespace llm
