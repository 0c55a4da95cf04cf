// What the files that render a request of Converse share.
#pragma once

#include <string>
#include <vector>

#include "translators/dialect/anthropic_tools.hpp"
#include "translators/dialect/bedrock.hpp"

namespace llm::bedrock {

// The name of a document as the service takes it: letters, digits, single blanks, - ( ) [ ], no
// two the same. `used` holds the names given so far.
JsonText document_name(JsonText title, std::vector<std::string_view> &used, Arena &arena);
// "pdf", "docx" ... by the media type; empty when it is none of these. Of videos likewise.
std::string_view document_format(JsonText mime);
std::string_view video_format(JsonText mime);
std::string_view image_format(JsonText mime);

// Marks of the client become blocks of their own behind what they mark; at most four, the last
// ones of the prompt. The first `skip` are left out.
struct CachePoints {
    bool is_known = false;  // to the model
    bool has_ttl = false;
    uint32_t skip = 0;

    void write(RawJson mark, json::Writer &writer, Notes &notes);
};

Status build_history(const ir::Request &request, const Target &target, Arena &arena, Notes &notes,
                     anthropic::History &history);
uint32_t count_marks(const anthropic::History &history);
bool has_tool_blocks(const anthropic::History &history);

struct Context {
    const ir::Request &request;
    const Target &target;
    Arena &arena;
    Notes &notes;
    CachePoints &points;
};

void write_messages(const anthropic::History &history, const Context &context,
                    json::Writer &writer);

// toolConfig, or nothing.
class ToolConfig {
  public:
    ToolConfig(const ir::Request &request, const Target &target, Arena &arena, Notes &notes)
        : request_(request),
          target_(target),
          arena_(arena),
          notes_(notes),
          tools_(request, target, arena, notes) {}

    // First. Whether the answer must be a call is known from then on.
    Status select();
    bool is_forced() const;
    uint32_t mark_count() const;
    bool has_tools() const { return !specs_.empty(); }
    void write(bool has_history, CachePoints &points, json::Writer &writer);
    // Tools of Anthropic's own making, for additionalModelRequestFields.
    const std::vector<const ir::Tool *> &built_in() const { return built_in_; }

  private:
    Status check_choice();
    void write_spec(const ir::Tool &tool, json::Writer &writer);
    void write_choice(json::Writer &writer);
    void choice(std::string_view kind, JsonText name, json::Writer &writer);

    const ir::Request &request_;
    const Target &target_;
    Arena &arena_;
    Notes &notes_;
    anthropic::ToolRenderer tools_;
    std::vector<const ir::Tool *> specs_;
    std::vector<const ir::Tool *> built_in_;
    bool can_force_ = false;
    bool drops_choice_ = false;
};

}  // namespace llm::bedrock
