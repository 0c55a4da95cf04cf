// Finds members in the bytes of an answer without parsing it.
#include "translators/pricing/delivered.hpp"

#include <cstring>

#include "translators/core/find_text.hpp"

namespace llm {
namespace {

// The first events are all looked at, of the others one in kEvery, and what is not like them:
// longer by more than a usual piece of text, or too short.
constexpr uint32_t kAll = 32;
constexpr uint32_t kEvery = 8;
constexpr size_t kUsualText = 64;

constexpr std::string_view kContent[] = {
    "content",  "text",      "delta",   "reasoning_content", "reasoning",
    "thinking", "arguments", "refusal", "partial_json",
};

bool is_content(std::string_view name) {
    for (std::string_view known : kContent) {
        if (name == known) {
            return true;
        }
    }
    return false;
}

}  // namespace

uint64_t content_length(std::string_view data) {
    uint64_t sum = 0;
    std::string_view name;  // of the member whose value comes next
    for (size_t i = 0; i < data.size(); i++) {
        if (data[i] == '{' || data[i] == '[' || data[i] == ',') {
            name = {};
            continue;
        }
        if (data[i] != '"') {
            continue;
        }
        size_t begin = ++i;
        while (i < data.size() && data[i] != '"') {
            i += data[i] == '\\' ? 2 : 1;
        }
        if (i >= data.size()) {
            break;
        }
        std::string_view text = data.substr(begin, i - begin);
        if (!name.empty()) {
            sum += is_content(name) ? text.size() : 0;
            name = {};
            continue;
        }
        size_t next = data.find_first_not_of(" \t\r\n", i + 1);
        if (next != std::string_view::npos && data[next] == ':') {
            name = text;
            i = next;
        }
    }
    return sum;
}

std::string_view find_service_tier(std::string_view bytes) {
    constexpr std::string_view kName = "\"service_tier\"";
    std::string_view tier;
    for (;;) {
        size_t at = find_text(bytes, kName);
        if (at == std::string_view::npos) {
            return tier;
        }
        bytes.remove_prefix(at + kName.size());
        size_t begin = bytes.find_first_not_of(" \t\r\n:");
        if (begin != std::string_view::npos && bytes[begin] == '"') {
            size_t end = bytes.find('"', begin + 1);
            if (end != std::string_view::npos) {
                tier = bytes.substr(begin + 1, end - begin - 1);
            }
        }
    }
}

void DeliveredText::add(std::string_view event_data) {
    uint32_t number = count_++;
    bool is_alike =
        frame_ > 0 && event_data.size() >= frame_ && event_data.size() - frame_ <= kUsualText;
    if (is_alike && number >= kAll && number % kEvery != 0) {
        bytes_ += event_data.size() - frame_;
        return;
    }
    uint64_t length = content_length(event_data);
    bytes_ += length;
    frame_ = length > 0 ? event_data.size() - length : frame_;
}

}  // namespace llm
