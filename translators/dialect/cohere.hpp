// The dialect of Cohere's v2 chat, providers only: what its files give to the row in cohere.cpp.
// Outside of the family only kCohere (dialect.hpp) is used.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm::cohere {

// cohere_request_render.cpp
Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes);

// cohere_response.cpp
Status parse_response(json::Value root, Arena &arena, ir::Response &response);

// cohere_decoder.cpp
std::unique_ptr<Decoder> make_decoder();

}  // namespace llm::cohere
