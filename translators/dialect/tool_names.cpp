// Ids and names of tools by the rules of each target (see the header). What has to be rewritten
// gets a piece of the SHA-256 of the original (unescaped) text, so the same input gives the same
// output in every request, and two inputs never meet in one output.
#include "translators/dialect/tool_names.hpp"

#include <openssl/sha.h>

#include <charconv>
#include <cstring>
#include <string>

namespace llm {

namespace {

constexpr size_t kOpenAiIdSize = 40;
constexpr size_t kResponsesIdSize = 64;
constexpr size_t kResponsesIdHead = 55;
constexpr size_t kNameSize = 64;
constexpr size_t kNameHashSize = 6;

bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool is_name(std::string_view text) {
    for (char c : text) {
        if (!is_name_char(c)) {
            return false;
        }
    }
    return !text.empty();
}

bool begins_name(char c, NameRule rule) {
    return rule != NameRule::gemini || (c != '-' && !(c >= '0' && c <= '9'));
}

bool is_tool_name(std::string_view text, NameRule rule) {
    if (text.size() > kNameSize || text.empty() || !begins_name(text[0], rule)) {
        return false;
    }
    if (rule == NameRule::gemini && is_name_char(text[0])) {
        for (char c : text) {
            if (!is_name_char(c) && c != '.' && c != ':') {
                return false;
            }
        }
        return true;
    }
    return is_name(text);
}

// Lower-case hexadecimal digits of the SHA-256.
struct Hash {
    explicit Hash(std::string_view text) {
        unsigned char digest[SHA256_DIGEST_LENGTH];
        SHA256(reinterpret_cast<const unsigned char *>(text.data()), text.size(), digest);
        static constexpr char kHex[] = "0123456789abcdef";
        for (size_t i = 0; i < sizeof(digest); ++i) {
            digits[2 * i] = kHex[digest[i] >> 4];
            digits[2 * i + 1] = kHex[digest[i] & 15];
        }
    }

    std::string_view first(size_t count) const { return {digits, count}; }

    char digits[2 * SHA256_DIGEST_LENGTH];
};

JsonText concat(std::string_view head, std::string_view middle, std::string_view tail,
                Arena &arena) {
    char *start = arena.allocate(head.size() + middle.size() + tail.size());
    char *at = start;
    for (std::string_view piece : {head, middle, tail}) {
        if (!piece.empty()) {
            memcpy(at, piece.data(), piece.size());
            at += piece.size();
        }
    }
    return {{start, static_cast<size_t>(at - start)}};
}

// Every byte outside the set becomes one underscore.
std::string_view sanitise(std::string_view text, Arena &arena) {
    char *start = arena.allocate(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        start[i] = is_name_char(text[i]) ? text[i] : '_';
    }
    return {start, text.size()};
}

const Renamed *find_original(const std::vector<Renamed> &renamed, std::string_view plain) {
    for (const Renamed &entry : renamed) {
        if (json::equals(entry.original, plain)) {
            return &entry;
        }
    }
    return nullptr;
}

bool is_sent(const std::vector<Renamed> &renamed, std::string_view name) {
    for (const Renamed &entry : renamed) {
        if (entry.sent.bytes == name) {
            return true;
        }
    }
    return false;
}

template <class IsTaken>
JsonText rewrite_name(std::string_view plain, Arena &arena, NameRule rule, IsTaken is_taken) {
    std::string_view clean = sanitise(plain, arena);
    if (!clean.empty() && !begins_name(clean[0], rule)) {
        clean = concat("_", clean, {}, arena).bytes;
    }
    if (is_tool_name(clean, rule) && !is_taken(clean)) {
        return {clean};
    }
    clean = clean.empty() ? std::string_view("tool") : clean;
    clean = clean.substr(0, kNameSize - 1 - kNameHashSize);
    return concat(clean, "_", Hash(plain).first(kNameHashSize), arena);
}

}  // namespace

JsonText call_id_for_openai(JsonText id, Arena &arena) {
    std::string_view plain = json::unescape(id, arena);
    if (plain.size() <= kOpenAiIdSize) {
        return id;
    }
    return concat("call_", Hash(plain).first(32), {}, arena);
}

JsonText call_id_for_mistral(JsonText id, Arena &arena) {
    constexpr size_t kSize = 9;
    constexpr std::string_view kDigits =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string_view plain = json::unescape(id, arena);
    if (plain.size() == kSize && plain.find_first_of("_-") == std::string_view::npos &&
        is_name(plain)) {
        return {plain};
    }
    uint64_t number = 0;
    uint64_t limit = 1;
    Hash hash(plain);
    for (char digit : hash.first(16)) {
        number = number << 4 | static_cast<uint64_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    for (size_t i = 0; i < kSize; ++i) {
        limit *= kDigits.size();
    }
    number %= limit;
    char *start = arena.allocate(kSize);
    for (size_t i = kSize; i-- > 0; number /= kDigits.size()) {
        start[i] = kDigits[number % kDigits.size()];
    }
    return {{start, kSize}};
}

JsonText call_id_for_anthropic(JsonText id, Arena &arena) {
    std::string_view plain = json::unescape(id, arena);
    if (is_name(plain)) {
        return {plain};
    }
    return concat(sanitise(plain, arena), "_", Hash(plain).first(8), arena);
}

JsonText call_id_for_bedrock(JsonText id, Arena &arena) {
    std::string_view plain = json::unescape(id, arena);
    if (is_tool_name(plain, NameRule::common)) {
        return {plain};
    }
    std::string_view clean = sanitise(plain, arena);
    constexpr size_t kHash = 8;
    if (clean.size() + 1 + kHash > kNameSize) {
        clean = clean.substr(0, kNameSize - 1 - kHash);
    }
    return concat(clean, "_", Hash(plain).first(kHash), arena);
}

JsonText call_id_for_responses(JsonText id, Arena &arena) {
    std::string_view plain = json::unescape(id, arena);
    if (plain.size() <= kResponsesIdSize) {
        return id;
    }
    JsonText made = concat(plain.substr(0, kResponsesIdHead), "-", Hash(plain).first(8), arena);
    return json::escape(made.bytes, arena);
}

JsonText invent_call_id(JsonText answer_id, uint32_t ordinal, Arena &arena) {
    char digits[12];
    auto result = std::to_chars(digits, digits + sizeof(digits), ordinal);
    std::string_view number(digits, static_cast<size_t>(result.ptr - digits));
    JsonText seed = concat(json::unescape(answer_id, arena), ":", number, arena);
    return concat("call_", Hash(seed.bytes).first(24), {}, arena);
}

JsonText history_call_id(size_t turn, size_t call, JsonText name, Arena &arena) {
    std::string seed = std::to_string(turn) + ':' + std::to_string(call) + ':';
    seed += json::unescape(name, arena);
    return concat("call_", Hash(seed).first(24), {}, arena);
}

void plan_tool_names(const std::vector<JsonText> &declared, std::vector<Renamed> &renamed,
                     Arena &arena, NameRule rule) {
    for (JsonText name : declared) {
        std::string_view plain = json::unescape(name, arena);
        if (is_tool_name(plain, rule) || find_original(renamed, plain) != nullptr) {
            continue;
        }
        auto is_taken = [&](std::string_view candidate) {
            for (JsonText other : declared) {
                if (json::equals(other, candidate)) {
                    return true;
                }
            }
            return is_sent(renamed, candidate);
        };
        renamed.push_back({name, rewrite_name(plain, arena, rule, is_taken)});
    }
}

JsonText tool_name_for_target(JsonText name, std::vector<Renamed> &renamed, Arena &arena,
                              NameRule rule) {
    std::string_view plain = json::unescape(name, arena);
    auto is_taken = [&](std::string_view candidate) { return is_sent(renamed, candidate); };
    if (is_tool_name(plain, rule) && !is_taken(plain)) {
        return {plain};
    }
    if (const Renamed *known = find_original(renamed, plain)) {
        return known->sent;
    }
    renamed.push_back({name, rewrite_name(plain, arena, rule, is_taken)});
    return renamed.back().sent;
}

JsonText tool_name_for_client(JsonText name, const std::vector<Renamed> *renamed) {
    if (renamed != nullptr) {
        for (const Renamed &entry : *renamed) {
            if (json::equals(name, entry.sent.bytes)) {
                return entry.original;
            }
        }
    }
    return name;
}

}  // namespace llm
