// Images and documents: data URLs, media types, and what the first bytes of base64 data say.
#pragma once

#include <optional>
#include <string_view>

#include "translators/core/arena.hpp"
#include "translators/core/ir.hpp"
#include "translators/json/text.hpp"

namespace llm {

struct DataUrl {
    JsonText mime;  // lower case, image/jpg corrected; may be empty
    JsonText data;  // base64 in the standard alphabet with padding, no white space
};

// Strict `data:` mime (;param)* ;base64, data. Nothing when it is not one.
std::optional<DataUrl> parse_data_url(JsonText url, Arena &arena);
JsonText make_data_url(JsonText mime, JsonText base64, Arena &arena);

// Base64 in the standard alphabet with padding, no white space: the view itself when it is. Nothing
// when it is no Base64.
std::optional<JsonText> standard_base64(JsonText data, Arena &arena);

// png, jpeg, gif, webp or pdf by the first bytes of base64 data; empty when unknown.
std::string_view sniff_mime(JsonText base64);
// What to send: the bytes win over a contradicting declaration.
JsonText trusted_mime(JsonText declared, JsonText base64);

// Data addresses as the bytes they hold; bytes with the media type that they have.
ir::Source resolve_source(const ir::Source &source, Arena &arena);
bool is_text_mime(JsonText mime);
// Base64 as the text it stands for.
JsonText decode_base64_text(JsonText base64, Arena &arena);

}  // namespace llm
