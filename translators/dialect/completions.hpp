// Legacy completions (POST /completions), for clients only: a prompt in, its continuation out.
// Towards a provider of another dialect the prompt is one user message. What a provider that still
// has them does with a body is close enough to chat for its splice, observer and errors.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm::completions {

// completions_request.cpp
Result<Envelope> read_envelope(json::Value root);
Status parse_request(json::Value root, Arena &arena, ir::Request &request);

// completions_answer.cpp
void render_response(const ir::Response &response, const ClientView &view, Arena &arena,
                     json::Writer &writer);
std::unique_ptr<Encoder> make_encoder(const ClientView &view);

}  // namespace llm::completions
