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

// Behind "content-disposition:"; empty: there is no such line.
std::string_view disposition_of(std::string_view headers) {
    while (!headers.empty()) {
        size_t end = headers.find("\r\n");
        std::string_view line = headers.substr(0, end);
        headers.remove_prefix(end == kNone ? headers.size() : end + 2);
        size_t colon = line.find(':');
        if (colon != kNone && same_name(line.substr(0, colon), "content-disposition")) {
            return line.substr(colon + 1);
        }
    }
    return {};
}

// In UTF-8''NAME the name is behind the quotes.
bool may_mean(std::string_view given, std::string_view name) {
    size_t quote = given.rfind('\'');
    given.remove_prefix(quote == kNone ? 0 : quote + 1);
    if (given.ends_with("[]")) {
        given.remove_suffix(2);
    }
    return same_name(trimmed(given), name);
}

// Visits the parts, header lines and value, until that gives false or the form ends.
template <class Visit>
void for_each_part(std::string_view body, std::string_view boundary, Visit visit) {
    if (boundary.empty()) {
        return;
    }
    std::string delimiter = std::string("--").append(boundary);
    bool is_first = body.starts_with(delimiter);
    size_t at = is_first ? 0 : body.find("\r\n" + delimiter);
    if (at == kNone) {
        return;
    }
    at += (is_first ? 0 : 2) + delimiter.size();
    delimiter.insert(0, "\r\n");
    for (;;) {
        // Behind a delimiter: blanks and a line break, or "--" at the end of all.
        size_t line = body.find("\r\n", at);
        if (line == kNone || !trimmed(body.substr(at, line - at)).empty()) {
            return;
        }
        // Without header lines the empty one follows at once.
        size_t headers = line + 2;
        size_t blank = body.find("\r\n\r\n", line);
        if (blank == kNone) {
            return;
        }
        size_t value = blank + 4;
        size_t end = body.find(delimiter, value - 2);
        if (end == kNone) {
            return;
        }
        std::string_view lines = blank > headers ? body.substr(headers, blank - headers) : "";
        if (!visit(lines, body.substr(value, end > value ? end - value : 0))) {
            return;
        }
        at = end + delimiter.size();
    }
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
    std::optional<std::string_view> found;
    for_each_part(body, boundary, [&](std::string_view headers, std::string_view value) {
        bool is_it = parameter(disposition_of(headers), "name") == name;
        if (is_it && !value.empty()) {
            found = value;
        }
        return !is_it;
    });
    return found;
}

size_t count_form_fields(std::string_view body, std::string_view boundary, std::string_view name) {
    size_t count = 0;
    for_each_part(body, boundary, [&](std::string_view headers, std::string_view) {
        std::string_view disposition = disposition_of(headers);
        bool is_it = may_mean(parameter(disposition, "name"), name) ||
                     may_mean(parameter(disposition, "name*"), name);
        count += is_it ? 1 : 0;
        return true;
    });
    return count;
}

}  // namespace llm::wire
