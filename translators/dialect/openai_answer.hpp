// What bodies, streams and observers of the chat dialect read and write in the same way: token
// counts, finish reasons, the members that carry reasoning, and citations.
#pragma once

#include <optional>
#include <vector>

#include "translators/core/ir.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/dialect/media.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm::openai {

// The usage object of a body or chunk, wherever the service put it; absent when there is none.
json::Value find_usage(json::Value body);

// Replaces `usage` by what the object says; an object that says nothing (all zero) leaves earlier
// counts alone. False when it is no usage object.
bool read_usage(json::Value object, Usage &usage);

void write_usage(const Usage &usage, json::Writer &writer);

// A finish_reason as the provider wrote it. `has_calls`: the answer called a tool, which turns
// `stop` and a missing reason into tool_calls, and nothing else.
ir::Finish read_finish(JsonText native, bool has_calls);

// What a chat client is told. Case 42: a turn with calls never says `stop`.
std::string_view finish_name(ir::Finish finish, bool has_calls, bool legacy_functions);

// The string member that carries reasoning, empty when there is none. Services send the same text
// in two members, so only the first that is not empty counts.
JsonText reasoning_text(json::Value message);

// The signature that Google's compatible endpoint puts beside a call or a message.
JsonText google_signature(json::Value holder);

// The whole of `thinking_blocks` of one block that a provider signed or hid, as a value in an open
// array. Chat is foreign to every signature, so all of them are tagged.
void write_thinking_block(DialectId origin, bool is_redacted, JsonText text, JsonText opaque,
                          json::Writer &writer);

// Images that an answer has: elements of `images`, as OpenRouter and its like have them. Only data
// addresses are images of the IR.
std::optional<DataUrl> read_image(json::Value element, Arena &arena);
void write_image(int64_t index, JsonText mime, JsonText base64, json::Writer &writer);

// An annotation of chat in common terms. A url_citation counts the characters of the whole text,
// which are those of the block as long as `is_first_block`.
ir::Citation read_annotation(json::Value annotation, bool is_first_block);
// The addresses that Perplexity gives beside the choices, the titles from its search results.
std::vector<ir::Citation> read_addresses(json::Value body);

// Annotations of chat, comma separated.
class AnnotationWriter {
  public:
    explicit AnnotationWriter(ByteBuffer &list) : list_(list) {}

    void raw(RawJson annotation);
    // The block of the cited text is [begin, end) of the answer's. A citation without an end lasts
    // until the block's, one without a start stands there. One without an address has no place.
    void add(const ir::Citation &citation, int64_t begin, int64_t end);

  private:
    ByteBuffer &list_;
};

// Characters of an escaped text; both halves of a surrogate pair together count as one.
int64_t count_characters(JsonText text);

// An id for an answer whose provider gave none, as a value.
void write_answer_id(const ClientView &view, json::Writer &writer,
                     std::string_view prefix = "chatcmpl-");

}  // namespace llm::openai
