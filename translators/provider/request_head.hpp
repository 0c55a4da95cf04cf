// The request line and headers of a request to a provider, and what a signature is made of. Pure:
// who calls gathers the parts.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "translators/dialect/dialect.hpp"
#include "translators/provider/providers.hpp"

namespace llm {

struct HeaderLine {
    std::string_view name;
    std::string_view value;
};

struct RequestHead {
    std::string_view method = "POST";
    std::string_view base_path;  // of the base URL
    std::string_view path;       // below it, with the query
    std::string_view host;
    std::string_view user_agent;
    const Dialect *dialect = nullptr;  // spoken with the provider
    Carrier carrier = Carrier::direct;
    bool is_stream = false;
    std::optional<size_t> body_size;  // nothing: no body, and no word of its length

    Auth auth;
    std::string_view key;  // empty: nothing is sent for it

    std::span<const HeaderLine> configured;  // by the operator; nothing of ours beside them
    std::span<const HeaderLine> content;     // instead of content-type, accept of a JSON request
    std::span<const HeaderLine> forwarded;   // the client's own that go on
    std::span<const FixedHeader> fixed;      // the preset's
};

constexpr std::string_view kAnthropicVersion = "anthropic-version";
constexpr std::string_view kUsualVersion = "2023-06-01";  // where the client names none

// Without the empty line: a signature may follow (add_header_line).
void append_head(const RequestHead &request, std::string &head);

// The same in two parts: what does not depend on the body, and its size. The client's own headers
// are left out.
void append_lines(const RequestHead &request, std::string &head);
void append_content_length(size_t size, std::string &head);

// A value with a control character is left out: it would be another header line.
void add_header_line(std::string_view name, std::string_view value, std::string &head);

// What stands in the host line: a signature is made over it.
std::string_view head_host(const RequestHead &request);

// Is a header of the operator's set?
bool is_configured(std::span<const HeaderLine> configured, std::string_view name);

}  // namespace llm
