// Traits of a model by its name; the knowledge is in model_traits.def, this file only matches.
// Entry point: model_traits. A name that nothing is known of gets cautious traits: for the messages
// dialect those of an imitator (thinking with a budget, prefill), for chat the members that every
// imitator knows.
#include "translators/provider/model_traits.hpp"

#include <cstdint>
#include <iterator>

namespace llm {

namespace {

enum ClaudeTrait : uint32_t {
    kThinking = 1,
    kAdaptive = 2,  // thinking {adaptive} and output_config.effort
    kXhigh = 4,
    kNoSampling = 8,
    kEitherSampling = 16,  // temperature or top_p, not both
    kStructured = 32,
    kPrefill = 64,
    kNewest = kThinking | kAdaptive | kXhigh | kNoSampling | kEitherSampling | kStructured,
};

struct ClaudeRow {
    std::string_view pattern;
    int64_t max_output;
    uint32_t traits;
};

constexpr ClaudeRow kClaude[] = {
#define LLM_CLAUDE(pattern, max_output, traits) {pattern, max_output, traits},
#include "translators/provider/model_traits.def"
};

enum GeminiTrait : uint32_t {
    kLevels = 1,      // thinkingLevel, signatures of calls demanded
    kJsonSchema = 2,  // JSON Schema members, addresses of files
};

constexpr int64_t kAlwaysThinks = -1;

struct GeminiRow {
    std::string_view pattern;
    int64_t thinking_min;
    int64_t thinking_max;
    uint32_t traits;
};

constexpr GeminiRow kGeminiModels[] = {
#define LLM_GEMINI(pattern, least, most, traits) {pattern, least, most, traits},
#include "translators/provider/model_traits.def"
};

constexpr std::string_view kReasoning[] = {
#define LLM_OPENAI_REASONING(pattern) pattern,
#include "translators/provider/model_traits.def"
};

constexpr std::string_view kNoDeveloper[] = {
#define LLM_OPENAI_NO_DEVELOPER(pattern) pattern,
#include "translators/provider/model_traits.def"
};

constexpr std::string_view kCohereNoThinking[] = {
#define LLM_COHERE_NO_THINKING(pattern) pattern,
#include "translators/provider/model_traits.def"
};

constexpr std::string_view kOllamaNoThinking[] = {
#define LLM_OLLAMA_NO_THINKING(pattern) pattern,
#include "translators/provider/model_traits.def"
};

// Does `pattern` match at the start of `text`? Patterns are ours: brackets are closed.
bool matches_here(std::string_view text, std::string_view pattern) {
    while (!pattern.empty()) {
        if (text.empty()) {
            return false;
        }
        if (pattern[0] != '[') {
            if (pattern[0] != text[0]) {
                return false;
            }
            pattern.remove_prefix(1);
        } else {
            size_t close = pattern.find(']');
            std::string_view set = pattern.substr(1, close - 1);
            bool is_range = set.size() == 3 && set[1] == '-';
            bool is_inside = is_range ? text[0] >= set[0] && text[0] <= set[2]
                                      : set.find(text[0]) != std::string_view::npos;
            if (!is_inside) {
                return false;
            }
            pattern.remove_prefix(close + 1);
        }
        text.remove_prefix(1);
    }
    return true;
}

bool matches(std::string_view name, std::string_view pattern) {
    if (pattern[0] == '^') {
        return matches_here(name, pattern.substr(1));
    }
    for (size_t i = 0; i < name.size(); ++i) {
        if (matches_here(name.substr(i), pattern)) {
            return true;
        }
    }
    return false;
}

bool matches_any(std::string_view name, const std::string_view *patterns, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        if (matches(name, patterns[i])) {
            return true;
        }
    }
    return false;
}

// The name as the patterns expect it.
class PlainName {
  public:
    explicit PlainName(std::string_view model) {
        size_t slash = model.rfind('/');
        model.remove_prefix(slash == std::string_view::npos ? 0 : slash + 1);
        size_ = model.size() < sizeof(text_) ? model.size() : sizeof(text_);
        for (size_t i = 0; i < size_; ++i) {
            char c = model[i];
            c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
            text_[i] = c == '.' ? '-' : c;
        }
    }

    std::string_view view() const { return {text_, size_}; }

  private:
    char text_[128];
    size_t size_;
};

ModelTraits openai_traits(std::string_view name, bool is_official) {
    ModelTraits traits;
    traits.is_reasoning = matches_any(name, kReasoning, std::size(kReasoning));
    traits.max_completion_tokens = is_official;
    traits.developer_role = is_official && traits.is_reasoning &&
                            !matches_any(name, kNoDeveloper, std::size(kNoDeveloper));
    traits.strict_members = is_official;
    traits.service_tier = is_official;
    traits.prefill = !is_official;  // many imitators do continue, OpenAI answers behind it
    return traits;
}

ModelTraits anthropic_traits(std::string_view name) {
    ModelTraits traits;
    traits.thinking = true;
    for (const ClaudeRow &row : kClaude) {
        if (!matches(name, row.pattern)) {
            continue;
        }
        traits.max_output = row.max_output;
        traits.thinking = (row.traits & kThinking) != 0;
        traits.adaptive_thinking = (row.traits & kAdaptive) != 0;
        traits.effort_xhigh = (row.traits & kXhigh) != 0;
        traits.rejects_sampling = (row.traits & kNoSampling) != 0;
        traits.temperature_xor_top_p = (row.traits & kEitherSampling) != 0;
        traits.structured_output = (row.traits & kStructured) != 0;
        traits.prefill = (row.traits & kPrefill) != 0;
        break;
    }
    return traits;
}

// Ids of Bedrock: [region.]maker.model, or an ARN that ends in one.
ModelTraits bedrock_traits(std::string_view name) {
    bool is_claude = matches(name, "claude") || matches(name, "anthropic");
    ModelTraits traits = is_claude ? anthropic_traits(name) : ModelTraits();
    traits.claude = is_claude;
    traits.nova = matches(name, "amazon-nova");
    return traits;
}

ModelTraits cohere_traits(std::string_view name) {
    ModelTraits traits;
    traits.thinking = !matches_any(name, kCohereNoThinking, std::size(kCohereNoThinking));
    traits.prefill = false;
    return traits;
}

ModelTraits ollama_traits(std::string_view name) {
    ModelTraits traits;
    traits.thinking = !matches_any(name, kOllamaNoThinking, std::size(kOllamaNoThinking));
    traits.thinking_level = matches(name, "gpt-oss");  // and cannot be told to stop
    return traits;
}

// Names without a family are tuned models and the like: what every model takes.
ModelTraits gemini_traits(std::string_view name) {
    ModelTraits traits;
    for (const GeminiRow &row : kGeminiModels) {
        if (!matches(name, row.pattern)) {
            continue;
        }
        traits.thinking_min = row.thinking_min;
        traits.thinking_max = row.thinking_max;
        traits.thinking_level = (row.traits & kLevels) != 0;
        traits.structured_output = (row.traits & kJsonSchema) != 0;
        break;
    }
    return traits;
}

}  // namespace

ModelTraits model_traits(DialectId dialect, std::string_view model, bool is_official) {
    PlainName name(model);
    switch (dialect) {
        case DialectId::openai:
        case DialectId::responses:
            return openai_traits(name.view(), is_official);
        case DialectId::anthropic:
            return anthropic_traits(name.view());
        case DialectId::bedrock:
            return bedrock_traits(name.view());
        case DialectId::cohere:
            return cohere_traits(name.view());
        case DialectId::ollama:
            return ollama_traits(name.view());
        case DialectId::gemini:
            return gemini_traits(name.view());
        case DialectId::completions:
            break;
    }
    return {};
}

}  // namespace llm
