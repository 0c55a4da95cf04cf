// Writing a request: what the part of a dialect that writes the messages shares with the one that
// writes the parameters, and how both leave out what the target lacks.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm {

// Lists that a hostile request could make long, and the search in them slow.
constexpr size_t kMaxDropped = 64;
constexpr size_t kMaxRenamed = 256;

struct RenderJob {
    const ir::Request &request;
    const Target &target;
    Arena &arena;
    json::Writer &writer;
    Notes &notes;

    // A hint that is left out. The list stays short whatever the request holds.
    void note(std::string_view name) const {
        if (notes.dropped.size() < kMaxDropped) {
            notes.drop(name);
        }
    }

    void note_cache(RawJson mark) const {
        if (!mark.empty()) {
            note("cache_control");
        }
    }

    // Something with a meaning that the target cannot say: refused by its name, or left out and
    // named.
    Status leave_out(std::string_view what, std::string_view name) const {
        if (!target.drop_params) {
            return unsupported(what, name);
        }
        note(name);
        return {};
    }
};

}  // namespace llm
