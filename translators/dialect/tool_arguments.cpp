// Tool arguments as one JSON object. What is an object already stays byte for byte as it is
// (large integers, key order, duplicate keys); everything else is carried as text, because a
// history is what it is and must never fail a request.
#include "translators/dialect/tool_arguments.hpp"

#include <cstring>

#include "translators/json/reader.hpp"

namespace llm {

RawJson arguments_as_object(std::string_view arguments, Arena &arena) {
    constexpr std::string_view kSpace = " \t\r\n";
    size_t first = arguments.find_first_not_of(kSpace);
    if (first == std::string_view::npos) {
        return {"{}"};
    }
    size_t last = arguments.find_last_not_of(kSpace);
    std::string_view trimmed = arguments.substr(first, last - first + 1);
    if (trimmed == "null" || trimmed == "{}") {
        return {"{}"};
    }
    if (trimmed.front() == '{' && trimmed.back() == '}') {
        json::Reader reader;
        if (reader.parse_unpadded(trimmed)) {
            return {trimmed};
        }
    }
    constexpr std::string_view kHead = "{\"raw_arguments\":\"";
    constexpr std::string_view kTail = "\"}";
    JsonText text = json::escape(arguments, arena);
    size_t size = kHead.size() + text.bytes.size() + kTail.size();
    char *start = arena.allocate(size);
    memcpy(start, kHead.data(), kHead.size());
    memcpy(start + kHead.size(), text.bytes.data(), text.bytes.size());
    memcpy(start + size - kTail.size(), kTail.data(), kTail.size());
    return {{start, size}};
}

}  // namespace llm
