// The row of Ollama's /api/chat: which function does what. See dialect.hpp.
#include "translators/dialect/ollama.hpp"

namespace llm {

const Dialect kOllama = {
    .id = DialectId::ollama,
    .name = "ollama",
    .chat_path = "/api/chat",
    .stream_type = "application/x-ndjson",
    .render_request = ollama::render_request,
    .parse_response = ollama::parse_response,
    .make_decoder = ollama::make_decoder,
};

}  // namespace llm
