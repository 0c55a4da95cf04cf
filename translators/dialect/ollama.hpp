// The dialect of Ollama's /api/chat, providers only: what its files give to the row in ollama.cpp.
// Outside of the family only kOllama (dialect.hpp) is used.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm::ollama {

// ollama_request_render.cpp
Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes);

// ollama_response.cpp
Status parse_response(json::Value root, Arena &arena, ir::Response &response);

// ollama_decoder.cpp
std::unique_ptr<Decoder> make_decoder();

}  // namespace llm::ollama
