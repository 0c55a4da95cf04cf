// Looks up providers.def. The table is constant data; nothing is built at run time.
// Entry points: find_provider_preset, provider_presets, preset_traits.
#include "translators/provider/providers.hpp"

#include "translators/provider/model_traits.hpp"

namespace llm {

namespace {

constexpr std::span<const FixedHeader> kNoHeaders;
constexpr FixedHeader kAnthropicHeaders[] = {{"anthropic-version", "2023-06-01"}};

constexpr ProviderPreset kPresets[] = {
#define LLM_PROVIDER(name, dialect, base_url, auth, key_env, quirks, is_official, headers) \
    {name, DialectId::dialect, base_url, AuthKind::auth, key_env, quirks, is_official, headers},
#include "translators/provider/providers.def"
#undef LLM_PROVIDER
};

}  // namespace

std::span<const ProviderPreset> provider_presets() {
    return kPresets;
}

const ProviderPreset *find_provider_preset(std::string_view name) {
    for (const ProviderPreset &preset : kPresets) {
        if (preset.name == name) {
            return &preset;
        }
    }
    return nullptr;
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
}

ModelTraits preset_traits(const ProviderPreset &preset, std::string_view model) {
    ModelTraits traits = model_traits(preset.dialect, model, preset.is_official);
    apply_quirks(preset.quirks, traits);
    return traits;
}

}  // namespace llm
