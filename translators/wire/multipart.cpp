// See multipart.hpp. A part begins behind a line "--BOUNDARY", has header lines and an empty one,
// and its value ends before the line break in front of the next such line.
#include "translators/wire/multipart.hpp"

#include <string>

#include "translators/wire/http1.hpp"

namespace llm::wire {

namespace {

constexpr size_t kMaxBoundary = 70;
constexpr size_t kNone = std::string_view::npos;

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
        text.remove_suffix(1);
    }
    return text;
}

// The value of NAME=value or NAME="value" among the parameters behind the first semicolon.
std::string_view parameter(std::string_view header, std::string_view name) {
    size_t at = header.find(';');
    while (at != kNone) {
        header.remove_prefix(at + 1);
        size_t equals = header.find('=');
        if (equals == kNone) {
            return {};
        }
        std::string_view key = trimmed(header.substr(0, equals));
        header.remove_prefix(equals + 1);
        std::string_view value;
        if (header.starts_with('"')) {
            size_t quote = header.find('"', 1);
            if (quote == kNone) {
                return {};
            }
            value = header.substr(1, quote - 1);
            header.remove_prefix(quote + 1);
        } else {
            value = trimmed(header.substr(0, header.find(';')));
        }
        if (same_name(key, name)) {
            return value;
        }
        at = header.find(';');
    }
    return {};
}

// Is one of the header lines a content-disposition with this name?
bool is_part_named(std::string_view headers, std::string_view name) {
    while (!headers.empty()) {
        size_t end = headers.find("\r\n");
        std::string_view line = headers.substr(0, end);
        headers.remove_prefix(end == kNone ? headers.size() : end + 2);
        size_t colon = line.find(':');
        if (colon != kNone && same_name(line.substr(0, colon), "content-disposition")) {
            return parameter(line.substr(colon + 1), "name") == name;
        }
    }
    return false;
}

}  // namespace

std::string_view form_boundary(std::string_view content_type) {
    std::string_view type = trimmed(content_type.substr(0, content_type.find(';')));
    if (!same_name(type, "multipart/form-data")) {
        return {};
    }
    std::string_view boundary = parameter(content_type, "boundary");
    return boundary.size() <= kMaxBoundary ? boundary : std::string_view();
}

std::optional<std::string_view> find_form_field(std::string_view body, std::string_view boundary,
                                                std::string_view name) {
    if (boundary.empty()) {
        return std::nullopt;
    }
    std::string delimiter = std::string("--").append(boundary);
    size_t at = body.starts_with(delimiter) ? 0 : body.find("\r\n" + delimiter);
    if (at == kNone) {
        return std::nullopt;
    }
    at += (at == 0 && body.starts_with(delimiter) ? 0 : 2) + delimiter.size();
    delimiter.insert(0, "\r\n");
    for (;;) {
        // Behind a delimiter: blanks and a line break, or "--" at the end of all.
        size_t line = body.find("\r\n", at);
        if (line == kNone || !trimmed(body.substr(at, line - at)).empty()) {
            return std::nullopt;
        }
        // Without header lines the empty one follows at once.
        size_t headers = line + 2;
        size_t blank = body.find("\r\n\r\n", line);
        if (blank == kNone) {
            return std::nullopt;
        }
        size_t value = blank + 4;
        size_t end = body.find(delimiter, value - 2);
        if (end == kNone) {
            return std::nullopt;
        }
        std::string_view lines = blank > headers ? body.substr(headers, blank - headers) : "";
        if (is_part_named(lines, name)) {
            if (end <= value) {
                return std::nullopt;
            }
            return body.substr(value, end - value);
        }
        at = end + delimiter.size();
    }
}

}  // namespace llm::wire
