// For tests of messages requests: parse a body, look at what a target would be sent.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "translators/dialect/dialect.hpp"

namespace llm::test {

// A body of this dialect as IR. `is_foreign` makes it look like another client's, so that nothing
// of this dialect alone survives.
struct Parsed {
    json::Reader reader;
    Arena arena;
    ir::Request request;
    Status status;

    explicit Parsed(std::string_view body, bool is_foreign = false) {
        auto root = reader.parse_unpadded(body);
        EXPECT_TRUE(root) << body;
        if (root) {
            status = kAnthropic.parse_request(*root, arena, request);
        }
        if (is_foreign) {
            request.dialect = DialectId::openai;
            for (ir::Tool &tool : request.tools) {
                tool.dialect = DialectId::openai;
            }
        }
    }
};

struct Rendered {
    Notes notes;
    Status status;
    std::string body;

    bool has(std::string_view text) const { return body.find(text) != std::string::npos; }
    bool dropped(std::string_view name) const {
        for (std::string_view known : notes.dropped) {
            if (known == name) {
                return true;
            }
        }
        return false;
    }
};

inline Target modern() {
    Target target;
    target.model = "claude-new";
    target.traits.thinking = true;
    target.traits.adaptive_thinking = true;
    target.traits.structured_output = true;
    target.traits.prefill = false;
    target.traits.max_output = 64000;
    return target;
}

inline Target classic() {
    Target target;
    target.model = "claude-old";
    target.traits.thinking = true;
    target.traits.max_output = 8192;
    return target;
}

inline Rendered render(const ir::Request &request, const Target &target, Arena &arena) {
    Rendered rendered;
    ByteBuffer out;
    json::Writer writer(out);
    rendered.status = kAnthropic.render_request(request, target, arena, writer, rendered.notes);
    rendered.body = out.view();
    if (rendered.status) {
        json::Reader reader;
        EXPECT_TRUE(reader.parse_unpadded(rendered.body)) << rendered.body;
    }
    return rendered;
}

inline Rendered render(Parsed &parsed, const Target &target = classic()) {
    EXPECT_TRUE(parsed.status) << parsed.status.error().param;
    return render(parsed.request, target, parsed.arena);
}

// The messages member of a body with these messages, as another client's.
inline std::string messages(std::string_view list, const Target &target = classic()) {
    Parsed parsed(R"({"model":"m","messages":)" + std::string(list) + "}", true);
    Rendered rendered = render(parsed, target);
    EXPECT_TRUE(rendered.status) << rendered.status.error().what;
    size_t at = rendered.body.find("\"messages\":");
    return at == std::string::npos ? ""
                                   : rendered.body.substr(at + 11, rendered.body.size() - at - 12);
}

inline std::string with(std::string_view members) {
    return R"({"model":"m","messages":[{"role":"user","content":"Hi"}],)" + std::string(members) +
           "}";
}

inline Rendered render_foreign(std::string_view members, const Target &target = classic()) {
    Parsed parsed(with(members), true);
    return render(parsed, target);
}

}  // namespace llm::test
