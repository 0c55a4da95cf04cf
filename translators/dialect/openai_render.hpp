// Writing a chat request: what the part that writes the messages shares with the one that writes
// the parameters.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm::openai {

struct RenderJob {
    const ir::Request &request;
    const Target &target;
    Arena &arena;
    json::Writer &writer;
    Notes &notes;

    // Something with a meaning that chat cannot say: refused by its name, or left out and named.
    Status leave_out(std::string_view what, std::string_view name) const {
        if (!target.drop_params) {
            return unsupported(what, name);
        }
        notes.drop(name);
        return {};
    }
};

// The array of messages, as a value. openai_messages_render.cpp
Status render_messages(const RenderJob &job);

}  // namespace llm::openai
