// Names and formats of files in a request of Converse, which takes neither file names nor media
// types as they are.
#include <algorithm>
#include <string>

#include "translators/dialect/bedrock_render.hpp"

namespace llm::bedrock {

namespace {

constexpr size_t kMaxName = 180;
constexpr size_t kMaxExtension = 5;

struct Format {
    std::string_view mime;
    std::string_view name;
};

constexpr Format kDocuments[] = {
    {"application/pdf", "pdf"},
    {"text/csv", "csv"},
    {"application/msword", "doc"},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"},
    {"application/vnd.ms-excel", "xls"},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"},
    {"text/html", "html"},
    {"text/markdown", "md"},
    {"text/plain", "txt"},
};

constexpr Format kVideos[] = {
    {"video/mp4", "mp4"},      {"video/quicktime", "mov"}, {"video/x-matroska", "mkv"},
    {"video/webm", "webm"},    {"video/x-flv", "flv"},     {"video/mpeg", "mpeg"},
    {"video/x-ms-wmv", "wmv"}, {"video/3gpp", "three_gp"},
};

constexpr Format kImages[] = {
    {"image/png", "png"},
    {"image/jpeg", "jpeg"},
    {"image/gif", "gif"},
    {"image/webp", "webp"},
};

template <size_t kCount>
std::string_view find(const Format (&formats)[kCount], JsonText mime) {
    // Parameters (charset) say nothing here.
    std::string_view plain = mime.bytes.substr(0, mime.bytes.find(';'));
    for (const Format &format : formats) {
        if (json::equals({plain}, format.mime)) {
            return format.name;
        }
    }
    return {};
}

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_name_char(char c) {
    return is_alphanumeric(c) || c == '-' || c == '(' || c == ')' || c == '[' || c == ']';
}

std::string_view without_extension(std::string_view name) {
    size_t dot = name.rfind('.');
    if (dot == std::string_view::npos) {
        return name;
    }
    std::string_view extension = name.substr(dot + 1);
    bool is_extension = !extension.empty() && extension.size() <= kMaxExtension &&
                        std::all_of(extension.begin(), extension.end(), is_alphanumeric);
    return is_extension ? name.substr(0, dot) : name;
}

}  // namespace

std::string_view document_format(JsonText mime) {
    std::string_view format = find(kDocuments, mime);
    return format.empty() && mime.bytes.starts_with("text/") ? "txt" : format;
}

std::string_view video_format(JsonText mime) {
    return find(kVideos, mime);
}

std::string_view image_format(JsonText mime) {
    return find(kImages, mime);
}

JsonText document_name(JsonText title, std::vector<std::string_view> &used, Arena &arena) {
    std::string name;
    for (char c : without_extension(json::unescape(title, arena))) {
        if (is_name_char(c)) {
            name.push_back(c);
        } else if (!name.empty() && name.back() != ' ') {
            name.push_back(' ');
        }
        if (name.size() == kMaxName) {
            break;
        }
    }
    if (!name.empty() && name.back() == ' ') {
        name.pop_back();
    }
    if (name.empty()) {
        name = "document";
    }
    auto is_used = [&](std::string_view candidate) {
        return std::find(used.begin(), used.end(), candidate) != used.end();
    };
    std::string candidate = name;
    for (size_t number = 2; is_used(candidate); ++number) {
        candidate = name + " " + std::to_string(number);
    }
    used.push_back(arena.copy(candidate));
    return {used.back()};
}

}  // namespace llm::bedrock
