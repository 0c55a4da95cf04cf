// Writing a generateContent request: what its parts share. gemini_request_render.cpp is the whole,
// gemini_tools.cpp the tools, gemini_turns.cpp the contents, gemini_parts.cpp what stands in them.
#pragma once

#include <vector>

#include "translators/dialect/gemini.hpp"

namespace llm::gemini {

struct RenderJob {
    const ir::Request &request;
    const Target &target;
    Arena &arena;
    Notes &notes;

    bool is_own() const { return request.dialect == DialectId::gemini; }
    bool is_vertex() const { return target.carrier == Carrier::vertex; }
    // Members that take JSON Schema as it is, functionResponse with images, addresses to fetch.
    bool is_modern() const { return target.traits.structured_output; }
    JsonText tool_name(JsonText name) const {
        return tool_name_for_target(name, notes.renamed, arena, NameRule::gemini);
    }

    // What would change the answer: left out only where the route allows it.
    Status refuse(std::string_view what, std::string_view param) const {
        if (!target.drop_params) {
            return unsupported(what, param);
        }
        notes.drop(param);
        return {};
    }
};

inline bool is_set(RawJson raw) {
    return !raw.empty() && raw.bytes != "null";
}

class ToolRenderer {
  public:
    explicit ToolRenderer(const RenderJob &job) : job_(job) {}

    // Decides which tools are sent and under which names. First.
    Status select();
    bool has_functions() const { return has_functions_; }
    // `tools` and `toolConfig`, where there is something to say.
    void write(json::Writer &writer);

  private:
    bool is_allowed(const ir::Tool &tool) const;
    bool has_grammar(const ir::Tool &tool);
    void write_function(const ir::Tool &tool, json::Writer &writer);
    void write_schema(RawJson schema, json::Writer &writer);
    void write_config(json::Writer &writer);

    const RenderJob &job_;
    json::Reader reader_;
    std::vector<const ir::Tool *> tools_;
    bool has_functions_ = false;
};

// The conversation in the order and shape that the API demands, made from the turns of a request.
// The pieces point into the request.
struct Piece {
    enum class What : uint8_t {
        part,
        text,       // `text` alone
        result,     // of `call`
        no_result,  // of `call`, which was never answered
    };
    What what = What::part;
    const ir::Part *part = nullptr;
    const ir::ToolCall *call = nullptr;
    JsonText text;
    JsonText signature;
};

struct Content {
    bool is_model = false;
    std::vector<Piece> pieces;
};

// The text of a part that is text for this API; null for others.
const JsonText *text_of(const ir::Part &part);
// The parameter to blame when the part cannot be sent; empty when it can.
std::string_view unsupported_part(const RenderJob &job, const ir::Part &part);

Status build_contents(const RenderJob &job, std::vector<Content> &contents);
void write_contents(const RenderJob &job, const std::vector<Content> &contents,
                    json::Writer &writer);

}  // namespace llm::gemini
