// The answer that a Responses client gets, as bodies and streams build it: output items with their
// parts, what the answer repeats of the request, and how both are written.
#pragma once

#include <string>
#include <vector>

#include "translators/dialect/dialect.hpp"

namespace llm::responses {

// `instructions` become the first system text like any other; the answer repeats them, and knows
// them by a member that has no meaning in requests.
inline void mark_instructions(ir::Text &text) {
    text.citations_origin = DialectId::responses;
}
inline bool is_instructions(const ir::Text &text) {
    return text.citations_origin == DialectId::responses;
}

// Ids of an answer and its items: a prefix and 48 hex digits, of which the last eight count.
class ReplyIds {
  public:
    explicit ReplyIds(const ClientView &view);
    std::string make(std::string_view prefix, uint32_t ordinal) const;

  private:
    std::string random_;
};

enum class PartKind : uint8_t { text, refusal, summary, arguments, input };

// A piece of an item that comes in fragments.
struct ReplyPart {
    PartKind kind = PartKind::text;
    bool is_open = true;
    std::string text;         // escaped
    std::string place;        // the members of its events that say where it is
    std::string annotations;  // objects, comma separated
    std::string logprobs;     // the same
    uint32_t annotation_count = 0;
};

enum class ItemKind : uint8_t { message, reasoning, call, custom_call, image, whole };

struct ReplyItem {
    ItemKind kind = ItemKind::message;
    bool is_done = false;
    bool is_incomplete = false;
    std::string id;
    std::string call_id;  // calls
    std::string name;     // calls; images: media type
    std::string data;  // images: base64; reasoning: what goes into encrypted_content; whole: JSON
    std::vector<ReplyPart> parts;

    bool has_open_parts() const;
};

// One part of a message or of a summary, as an object. `is_fresh`: as it is before any text.
void write_part(const ReplyPart &part, bool is_fresh, json::Writer &writer);

// The whole item. `is_fresh`: as it is announced, without its content.
void write_item(const ReplyItem &item, bool is_fresh, json::Writer &writer);

// Members of the response object that repeat the request, into an open object; the defaults where
// there is none.
void write_echo(const ir::Request *request, json::Writer &writer);

void write_usage(const Usage &usage, json::Writer &writer);

// A value on one line, whatever the white space between its tokens: an event has one line.
void write_line(RawJson value, json::Writer &writer);

}  // namespace llm::responses
