// Writing a chat request: what the part that writes the messages shares with the one that writes
// the parameters.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm::openai {

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

    // Something with a meaning that chat cannot say: refused by its name, or left out and named.
    Status leave_out(std::string_view what, std::string_view name) const {
        if (!target.drop_params) {
            return unsupported(what, name);
        }
        note(name);
        return {};
    }
};

// reasoning_effort. `knows_all`: also xhigh and max, which are high to the others.
std::string_view effort_name(ir::Effort effort, bool knows_all);
ir::Effort effort_of_budget(int64_t budget);
// `user` has room for 64 characters.
std::string_view cut_user(JsonText id, Arena &arena);

// The array of messages, as a value. openai_messages_render.cpp
Status render_messages(const RenderJob &job);

}  // namespace llm::openai
