// Opaque reasoning (signatures, encrypted thoughts) on its way through clients of another dialect.
// A signature is good at its maker's only, so a foreign client is given it with a tag that says
// whose it is: gw1.ORIGIN.DATA. What comes back is untagged and goes to that maker, byte for byte,
// or nowhere. In its own dialect a signature is never touched.
#pragma once

#include <string_view>

#include "translators/core/arena.hpp"
#include "translators/core/ir.hpp"

namespace llm {

// "gw1.gemini." and the like: what stands before the data. Static text.
std::string_view opaque_tag(DialectId origin);

struct TaggedOpaque {
    DialectId origin;
    JsonText data;
};

// What a client of the dialect `client` sent back: without a tag it is the client's own dialect's.
TaggedOpaque read_opaque(JsonText sent, DialectId client);

// The data as a client of `client` gets it: tagged where it is foreign.
JsonText tag_opaque(DialectId origin, JsonText data, DialectId client, Arena &arena);

}  // namespace llm
