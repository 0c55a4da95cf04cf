// The catalogue of providers: where they are, how they are asked, and how they differ from the
// dialect that they speak. Rows are in providers.def (written by t/tools/catalogue.pl) and
// providers_own.def (by hand); presets that are refused, and why, in providers_refused.def.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "translators/dialect/chat_parameters.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm {

enum class AuthKind : uint8_t {
    none,
    bearer,        // Authorization: Bearer KEY
    header,        // a header of the provider's own, perhaps with a word before the key
    query,         // ?key=KEY: ends up in logs, refused
    sigv4,         // every request is signed (AWS)
    google_oauth,  // an access token bought with a service account
};

struct Auth {
    AuthKind kind = AuthKind::bearer;
    std::string_view name = "authorization";  // of the header, lower case
    std::string_view prefix = "Bearer ";
    std::string_view service = {};  // sigv4: what the signature is for
};

// For rows: `.auth = key_header("api-key")`.
constexpr Auth key_header(std::string_view name, std::string_view prefix = {}) {
    return {AuthKind::header, name, prefix};
}
constexpr Auth sigv4(std::string_view service) {
    return {AuthKind::sigv4, {}, {}, service};
}
constexpr Auth kNoAuth = {AuthKind::none, {}, {}};
constexpr Auth kGoogleOauth = {AuthKind::google_oauth};

// Differences from the dialect, one bit each; apply_quirks turns them into traits.
enum ProviderQuirk : uint32_t {
    kNoQuirks = 0,
    kStrictMembers = 1,           // refuses members that it does not know
    kNoStreamOptions = 2,         // refuses stream_options; usage comes always
    kMaxCompletionTokens = 4,     // that name instead of max_tokens
    kWantsReasoningContent = 8,   // history must carry reasoning_content
    kMistral = 16,                // short tool ids, `any`, random_seed, thinking parts
    kStringContent = 32,          // content must be a string, not a list
    kNoStrictTools = 64,          // refuses `strict` in tools
    kNoToolChoiceRequired = 128,  // knows auto and none only
    kThinkingSwitch = 256,        // thinking:{type} turns reasoning on and off
    kEnableThinking = 512,        // enable_thinking turns reasoning on and off
    kUserLast = 1024,             // the last message must be from the user
    kReasoningDetails = 2048,     // takes back the reasoning_details that it gave
};

struct FixedHeader {
    std::string_view name;  // lower case; empty: no header
    std::string_view value;
};

// One way of speaking with a provider. Texts may hold variables in braces, paths {model} as well.
struct Spoken {
    DialectId dialect = DialectId::openai;
    // Without a slash at its end. In `also`: empty is the provider's, "/x" is below it.
    std::string_view base_url = {};
    std::string_view chat_path = {};
    std::string_view stream_path = {};
    std::string_view count_path = {};
    Carrier carrier = Carrier::direct;
};

constexpr Spoken messages(std::string_view base_url = {}) {
    return {DialectId::anthropic, base_url};
}
constexpr Spoken responses(std::string_view base_url = {}) {
    return {DialectId::responses, base_url};
}
constexpr Spoken completions(std::string_view base_url = {}) {
    return {DialectId::completions, base_url};
}

struct SpokenList {
    Spoken items[3];
    size_t count = 0;

    constexpr const Spoken *begin() const { return items; }
    constexpr const Spoken *end() const { return items + count; }
};

// For rows: `.also = further(messages("/anthropic/v1"), responses())`.
template <class... Ways>
constexpr SpokenList further(Ways... ways) {
    return {{ways...}, sizeof...(ways)};
}

// Parameters that single models of a provider refuse: those with one of these words, a comma
// between, in their names.
struct ModelRefusal {
    std::string_view words;
    uint32_t refuses;
};

struct ProviderPreset {
    std::string_view name;
    std::string_view title;  // as the provider writes itself
    DialectId dialect = DialectId::openai;
    std::string_view base_url;  // empty: must be configured
    std::string_view key_env;   // names of environment variables, a blank between; may be empty
    Auth auth = {};
    uint32_t quirks = kNoQuirks;
    bool is_official = false;  // the dialect's own service, with its newest rules
    Carrier carrier = Carrier::direct;
    std::string_view chat_path = {};    // empty: the dialect's
    std::string_view stream_path = {};  // empty: the dialect's, or chat_path where that is set
    std::string_view count_path = {};
    std::string_view plain_path = {};  // instead of chat_path while a variable of that has no value
    FixedHeader headers[2] = {};
    uint32_t refuses = 0;  // of chat, for all models: chat_parameters("...")
    ModelRefusal refuses_for[2] = {};
    std::string_view temperature_max = {};  // empty: that of the dialect
    std::string_view model_prefix = {};     // of models whose names have no slash
    SpokenList also = {};                   // further dialects, for clients that speak them

    constexpr Spoken main() const {
        return {dialect, base_url, chat_path, stream_path, count_path, carrier};
    }
};

struct RefusedPreset {
    std::string_view name;
    std::string_view reason;
};

// By its name or one of its aliases.
const ProviderPreset *find_provider_preset(std::string_view name);
std::span<const ProviderPreset> provider_presets();

// Providers that we know of and cannot serve, or that are gone.
const RefusedPreset *find_refused_preset(std::string_view name);
std::span<const RefusedPreset> refused_presets();

struct PresetAlias {
    std::string_view name;
    std::string_view preset;
};
std::span<const PresetAlias> preset_aliases();

void apply_quirks(uint32_t quirks, ModelTraits &traits);

// Traits of `model` behind this preset: by name, then by quirks, which are of its main dialect.
ModelTraits preset_traits(const ProviderPreset &preset, DialectId dialect, std::string_view model);

}  // namespace llm
