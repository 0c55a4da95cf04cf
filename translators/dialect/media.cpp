// Data URLs and media types. An image may be megabytes: data that is standard Base64 already is
// checked 16 bytes a step and handed on as a view; only line breaks, JSON escapes, the URL-safe
// alphabet or missing padding cost a copy.
#include "translators/dialect/media.hpp"

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace llm {

namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower_case) {
    if (text.size() != lower_case.size()) {
        return false;
    }
    for (size_t i = 0; i < text.size(); ++i) {
        if (lower(text[i]) != lower_case[i]) {
            return false;
        }
    }
    return true;
}

// 0 to 63, or -1.
int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// The first byte that is no digit of the standard alphabet.
const char *skip_base64(const char *at, const char *end) {
#if defined(__SSE2__)
    auto is_between = [](__m128i block, char first, char last) {
        return _mm_and_si128(_mm_cmpgt_epi8(block, _mm_set1_epi8(static_cast<char>(first - 1))),
                             _mm_cmplt_epi8(block, _mm_set1_epi8(static_cast<char>(last + 1))));
    };
    while (end - at >= 16) {
        __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        __m128i folded = _mm_or_si128(block, _mm_set1_epi8(0x20));
        __m128i good = is_between(folded, 'a', 'z');
        good = _mm_or_si128(good, is_between(block, '/', '9'));  // the slash stands before 0
        good = _mm_or_si128(good, _mm_cmpeq_epi8(block, _mm_set1_epi8('+')));
        if (_mm_movemask_epi8(good) != 0xffff) {
            break;
        }
        at += 16;
    }
#endif
    while (at != end && base64_digit(*at) >= 0) {
        ++at;
    }
    return at;
}

bool is_standard_base64(std::string_view text) {
    const char *end = text.data() + text.size();
    const char *at = skip_base64(text.data(), end);
    size_t padding = static_cast<size_t>(end - at);
    bool is_padded =
        padding <= 2 && std::string_view(at, padding) == std::string_view("==", padding);
    return text.size() >= 4 && text.size() % 4 == 0 && is_padded;
}

// Copies `text` without white space, in the standard alphabet, padded. Nothing when something
// else stands in it.
std::optional<std::string_view> normalise_base64(std::string_view text, Arena &arena) {
    char *start = arena.allocate(text.size() + 3);
    char *out = start;
    const char *at = text.data();
    const char *end = at + text.size();
    bool is_padded = false;
    while (at != end) {
        const char *run_end = skip_base64(at, end);
        if (run_end != at) {
            if (is_padded) {
                return std::nullopt;
            }
            memcpy(out, at, static_cast<size_t>(run_end - at));
            out += run_end - at;
            at = run_end;
            continue;
        }
        char c = *at++;
        if (c == '-' || c == '_') {
            if (is_padded) {
                return std::nullopt;
            }
            *out++ = c == '-' ? '+' : '/';
        } else if (c == '=') {
            is_padded = true;
        } else if (c != ' ' && c != '\n' && c != '\r' && c != '\t') {
            return std::nullopt;
        }
    }
    size_t size = static_cast<size_t>(out - start);
    if (size == 0 || size % 4 == 1) {
        return std::nullopt;
    }
    while (size % 4 != 0) {
        start[size++] = '=';
    }
    arena.shrink_last(start, size);
    return std::string_view(start, size);
}

std::string_view corrected(std::string_view mime) {
    return equals_ignoring_case(mime, "image/jpg") ? std::string_view("image/jpeg") : mime;
}

}  // namespace

std::optional<DataUrl> parse_data_url(JsonText url, Arena &arena) {
    // The head is short; only it is unescaped for certain.
    size_t comma = url.bytes.find(',');
    if (comma == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view head = json::unescape({url.bytes.substr(0, comma)}, arena);
    if (head.size() < 5 || !equals_ignoring_case(head.substr(0, 5), "data:")) {
        return std::nullopt;
    }
    head.remove_prefix(5);
    constexpr std::string_view kMarker = ";base64";
    if (head.size() < kMarker.size() ||
        !equals_ignoring_case(head.substr(head.size() - kMarker.size()), kMarker)) {
        return std::nullopt;
    }
    std::string_view mime = head.substr(0, head.find(';'));
    char *lowered = arena.allocate(mime.size());
    for (size_t i = 0; i < mime.size(); ++i) {
        char c = lower(mime[i]);
        // What a JSON string would have to escape has no place in a media type.
        if (c <= ' ' || c == '"' || c == '\\' || c == 0x7f) {
            return std::nullopt;
        }
        lowered[i] = c;
    }

    DataUrl result;
    result.mime.bytes = corrected({lowered, mime.size()});
    std::optional<JsonText> data = standard_base64({url.bytes.substr(comma + 1)}, arena);
    if (!data) {
        return std::nullopt;
    }
    result.data = *data;
    return result;
}

std::optional<JsonText> standard_base64(JsonText data, Arena &arena) {
    if (is_standard_base64(data.bytes)) {
        return data;
    }
    std::optional<std::string_view> normal = normalise_base64(json::unescape(data, arena), arena);
    if (!normal) {
        return std::nullopt;
    }
    return JsonText{*normal};
}

JsonText make_data_url(JsonText mime, JsonText base64, Arena &arena) {
    const std::string_view pieces[] = {"data:", mime.bytes, ";base64,", base64.bytes};
    size_t size = 0;
    for (std::string_view piece : pieces) {
        size += piece.size();
    }
    char *start = arena.allocate(size);
    char *at = start;
    for (std::string_view piece : pieces) {
        if (!piece.empty()) {
            memcpy(at, piece.data(), piece.size());
            at += piece.size();
        }
    }
    return {{start, size}};
}

std::string_view sniff_mime(JsonText base64) {
    char bytes[12] = {};
    size_t size = 0;
    uint32_t bits = 0;
    int bit_count = 0;
    for (char c : base64.bytes) {
        int digit = base64_digit(c == '-' ? '+' : c == '_' ? '/' : c);
        if (digit < 0) {
            if (c == '\\' || c == ' ') {
                continue;  // some encoders write \/ for a slash
            }
            break;
        }
        bits = bits << 6 | static_cast<uint32_t>(digit);
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            bytes[size++] = static_cast<char>(bits >> bit_count & 0xff);
            if (size == sizeof(bytes)) {
                break;
            }
        }
    }
    std::string_view start(bytes, size);
    if (start.starts_with("\x89PNG")) {
        return "image/png";
    }
    if (start.starts_with("\xff\xd8\xff")) {
        return "image/jpeg";
    }
    if (start.starts_with("GIF8")) {
        return "image/gif";
    }
    if (start.starts_with("RIFF") && start.size() == 12 && start.substr(8) == "WEBP") {
        return "image/webp";
    }
    if (start.starts_with("%PDF")) {
        return "application/pdf";
    }
    return {};
}

JsonText trusted_mime(JsonText declared, JsonText base64) {
    std::string_view sniffed = sniff_mime(base64);
    return sniffed.empty() ? JsonText{corrected(declared.bytes)} : JsonText{sniffed};
}

ir::Source resolve_source(const ir::Source &source, Arena &arena) {
    ir::Source resolved = source;
    if (source.kind == ir::SourceKind::url) {
        if (std::optional<DataUrl> data = parse_data_url(source.data, arena)) {
            resolved.kind = ir::SourceKind::base64;
            resolved.mime = data->mime;
            resolved.data = data->data;
        }
    }
    if (resolved.kind == ir::SourceKind::base64) {
        resolved.mime = trusted_mime(resolved.mime, resolved.data);
    }
    return resolved;
}

bool is_text_mime(JsonText mime) {
    return mime.bytes.starts_with("text/");
}

JsonText decode_base64_text(JsonText base64, Arena &arena) {
    std::string_view in = json::unescape(base64, arena);
    char *start = arena.allocate(in.size());
    char *out = start;
    uint32_t bits = 0;
    int count = 0;
    for (char c : in) {
        int digit = base64_digit(c == '-' ? '+' : c == '_' ? '/' : c);
        if (digit < 0) {
            continue;  // padding and line breaks
        }
        bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffff;
        count += 6;
        if (count >= 8) {
            count -= 8;
            *out++ = static_cast<char>(bits >> count & 0xff);
        }
    }
    return json::escape({start, static_cast<size_t>(out - start)}, arena);
}

}  // namespace llm
