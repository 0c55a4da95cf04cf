// Gemini, for the checkers: both halves in one row.
#include "t/check/gemini_check.hpp"

namespace llm::check {

const DialectCheck kGeminiCheck = {
    .id = DialectId::gemini,
    .request_of = gemini::request_of,
    .read_stream = gemini::read_stream,
    .read_body = gemini::read_body,
    .finish_of = gemini::finish_of,
    .reads_refusal_as_text = true,
    .counts_cache_write = false,
};

}  // namespace llm::check
