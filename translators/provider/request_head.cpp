// See request_head.hpp.
#include "translators/provider/request_head.hpp"

#include <charconv>

#include "translators/wire/http1.hpp"

namespace llm {

namespace {

// Frames of Amazon stand around the dialect's own.
std::string_view stream_type(const RequestHead &request) {
    return request.carrier == Carrier::bedrock ? "application/vnd.amazon.eventstream"
                                               : request.dialect->stream_type;
}

bool names(std::span<const HeaderLine> lines, std::string_view name) {
    for (const HeaderLine &line : lines) {
        if (wire::same_name(line.name, name)) {
            return true;
        }
    }
    return false;
}

// Elsewhere the version is a member of the body.
bool has_version_header(const RequestHead &request) {
    return request.dialect->id == DialectId::anthropic &&
           (request.carrier == Carrier::direct || request.carrier == Carrier::azure);
}

void append_credential(const RequestHead &request, std::string &head) {
    if (request.key.empty()) {
        return;
    }
    switch (request.auth.kind) {
        case AuthKind::bearer:
        case AuthKind::header:
        case AuthKind::google_oauth:
            add_header_line(request.auth.name, std::string(request.auth.prefix).append(request.key),
                            head);
            break;
        case AuthKind::none:
        case AuthKind::query:
        case AuthKind::sigv4:
            break;
    }
}

}  // namespace

void add_header_line(std::string_view name, std::string_view value, std::string &head) {
    if (wire::has_control(value)) {
        return;
    }
    // One growth for the four pieces: this is done for every line of every request.
    size_t at = head.size();
    head.resize(at + name.size() + value.size() + 4);
    char *to = head.data() + at;
    to += name.copy(to, name.size());
    *to++ = ':';
    *to++ = ' ';
    to += value.copy(to, value.size());
    *to++ = '\r';
    *to = '\n';
}

bool is_configured(std::span<const HeaderLine> configured, std::string_view name) {
    for (const HeaderLine &line : configured) {
        if (!line.value.empty() && wire::same_name(line.name, name)) {
            return true;
        }
    }
    return false;
}

std::string_view head_host(const RequestHead &request) {
    for (const HeaderLine &line : request.configured) {
        if (!line.value.empty() && wire::same_name(line.name, "host")) {
            return line.value;
        }
    }
    return request.host;
}

void append_content_length(size_t size, std::string &head) {
    char digits[24];
    char *end = std::to_chars(digits, digits + sizeof(digits), size).ptr;
    add_header_line("content-length", {digits, size_t(end - digits)}, head);
}

void append_lines(const RequestHead &request, std::string &head) {
    head.reserve(512);
    head.append(request.method).append(" ").append(request.base_path).append(request.path);
    head.append(" HTTP/1.1\r\n");
    for (const HeaderLine &line : request.configured) {
        if (!line.value.empty()) {
            add_header_line(line.name, line.value, head);
        }
    }
    auto add_own = [&](std::string_view name, std::string_view value) {
        if (!value.empty() && !is_configured(request.configured, name)) {
            add_header_line(name, value, head);
        }
    };
    add_own("host", request.host);
    if (request.content.empty()) {
        add_own("content-type", "application/json");
        add_own("accept", request.is_stream ? stream_type(request) : "application/json");
    }
    for (const HeaderLine &line : request.content) {
        add_own(line.name, line.value);
    }
    add_own("accept-encoding", "identity");
    add_own("user-agent", request.user_agent);
    if (!is_configured(request.configured, "authorization") &&
        !is_configured(request.configured, "x-api-key") &&
        !is_configured(request.configured, request.auth.name)) {
        append_credential(request, head);
    }
    if (has_version_header(request) && !names(request.forwarded, kAnthropicVersion)) {
        add_own(kAnthropicVersion, kUsualVersion);
    }
    for (const FixedHeader &header : request.fixed) {
        if (!header.name.empty() && !names(request.forwarded, header.name)) {
            add_own(header.name, header.value);
        }
    }
}

void append_head(const RequestHead &request, std::string &head) {
    append_lines(request, head);
    if (request.body_size) {
        append_content_length(*request.body_size, head);
    }
    for (const HeaderLine &line : request.forwarded) {
        if (!line.value.empty() && !is_configured(request.configured, line.name)) {
            add_header_line(line.name, line.value, head);
        }
    }
}

}  // namespace llm
