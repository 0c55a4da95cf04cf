// The row of legacy completions: which function does what. See dialect.hpp.
#include "translators/dialect/completions.hpp"

#include "translators/dialect/openai.hpp"

namespace llm {

const Dialect kCompletions = {
    .id = DialectId::completions,
    .name = "completions",
    .chat_path = "/completions",
    .read_envelope = completions::read_envelope,
    .parse_request = completions::parse_request,
    .splice_request = openai::splice_request,
    .render_response = completions::render_response,
    .observe_response = openai::observe_response,
    .make_encoder = completions::make_encoder,
    .make_observer = openai::make_observer,
    .render_error = openai::render_error,
    .render_error_frame = openai::render_error_frame,
    .ping_frame = ": ping\n\n",
};

}  // namespace llm
