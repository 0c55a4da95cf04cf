// Looks up the catalogue. The tables are constant data; nothing is built at run time.
// Entry points: find_provider_preset, find_refused_preset, preset_traits.
#include "translators/provider/providers.hpp"

#include <algorithm>

#include "translators/provider/model_traits.hpp"

namespace llm {

namespace {

#define LLM_PROVIDER_ALIAS(name, preset)

constexpr ProviderPreset kPresets[] = {
#define LLM_PROVIDER(id, called, speaks, url, env, ...) \
    {.name = id,                                        \
     .title = called,                                   \
     .dialect = DialectId::speaks,                      \
     .base_url = url,                                   \
     .key_env = env __VA_OPT__(, ) __VA_ARGS__},
#include "translators/provider/providers.def"
#include "translators/provider/providers_own.def"
#undef LLM_PROVIDER
};

#undef LLM_PROVIDER_ALIAS
#define LLM_PROVIDER(...)

constexpr PresetAlias kAliases[] = {
#define LLM_PROVIDER_ALIAS(name, preset) {name, preset},
#include "translators/provider/providers.def"
#include "translators/provider/providers_own.def"
#undef LLM_PROVIDER_ALIAS
};

#undef LLM_PROVIDER

constexpr RefusedPreset kRefused[] = {
#define LLM_PROVIDER_REFUSED(name, reason) {name, reason},
#include "translators/provider/providers_refused.def"
#undef LLM_PROVIDER_REFUSED
};

template <class Row, size_t N>
const Row *find_row(const Row (&rows)[N], std::string_view name) {
    for (const Row &row : rows) {
        if (row.name == name) {
            return &row;
        }
    }
    return nullptr;
}

bool has_word(std::string_view model, std::string_view words) {
    while (!words.empty()) {
        std::string_view word = words.substr(0, words.find(','));
        words.remove_prefix(std::min(words.size(), word.size() + 1));
        if (model.find(word) != std::string_view::npos) {
            return true;
        }
    }
    return false;
}

}  // namespace

std::span<const ProviderPreset> provider_presets() {
    return kPresets;
}

std::span<const PresetAlias> preset_aliases() {
    return kAliases;
}

std::span<const RefusedPreset> refused_presets() {
    return kRefused;
}

const ProviderPreset *find_provider_preset(std::string_view name) {
    const PresetAlias *alias = find_row(kAliases, name);
    return find_row(kPresets, alias != nullptr ? alias->preset : name);
}

const RefusedPreset *find_refused_preset(std::string_view name) {
    return find_row(kRefused, name);
}

void apply_quirks(uint32_t quirks, ModelTraits &traits) {
    traits.strict_members |= (quirks & kStrictMembers) != 0;
    traits.no_stream_options |= (quirks & kNoStreamOptions) != 0;
    traits.max_completion_tokens |= (quirks & kMaxCompletionTokens) != 0;
    traits.wants_reasoning_content |= (quirks & kWantsReasoningContent) != 0;
    traits.mistral |= (quirks & kMistral) != 0;
    traits.string_content |= (quirks & kStringContent) != 0;
    traits.no_strict_tools |= (quirks & kNoStrictTools) != 0;
    traits.no_tool_choice_required |= (quirks & kNoToolChoiceRequired) != 0;
    traits.thinking_switch |= (quirks & kThinkingSwitch) != 0;
    traits.enable_thinking |= (quirks & kEnableThinking) != 0;
    traits.user_last |= (quirks & kUserLast) != 0;
    traits.reasoning_details |= (quirks & kReasoningDetails) != 0;
}

ModelTraits preset_traits(const ProviderPreset &preset, DialectId dialect, std::string_view model) {
    ModelTraits traits = model_traits(dialect, model, preset.is_official);
    traits.model_prefix = preset.model_prefix;
    if (dialect == preset.dialect) {
        apply_quirks(preset.quirks, traits);
        traits.temperature_max = preset.temperature_max;
        traits.refuses |= preset.refuses;
        for (const ModelRefusal &refusal : preset.refuses_for) {
            traits.refuses |= has_word(model, refusal.words) ? refusal.refuses : 0;
        }
    }
    return traits;
}

}  // namespace llm
