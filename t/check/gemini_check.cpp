// Gemini, for the checkers: both halves in one row.
#include "t/check/gemini_check.hpp"

namespace llm::check {

const DialectCheck kGeminiCheck = {
    .id = DialectId::gemini,
    .read_request = gemini::read_request,
    .fit = gemini::fit,
    .stream_of = gemini::stream_of,
    .body_of = gemini::body_of,
    .aims = gemini::kAims,
    .check_rules = gemini::check_rules,
    .request_of = gemini::request_of,
    .read_stream = gemini::read_stream,
    .read_body = gemini::read_body,
    .finish_of = gemini::finish_of,
    .reads_refusal_as_text = true,
    .counts_cache_write = false,
    .signs_unasked = true,
};

}  // namespace llm::check
