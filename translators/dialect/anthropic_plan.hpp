// What of a request's wishes a model of Anthropic can be told, whichever carrier takes it there:
// thinking and its limits, sampling, what has to be left out. Bedrock's Converse uses it as well.
#pragma once

#include <optional>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/render_values.hpp"

namespace llm::anthropic {

std::optional<int64_t> whole_number_of(RawJson raw);

// Thinking and its limits, as they are sent.
struct ThinkingPlan {
    enum class Send : uint8_t { nothing, disabled, enabled, adaptive } send = Send::nothing;
    int64_t budget = 0;
    std::optional<ir::Effort> effort;
    int64_t max_tokens = 0;

    bool is_on() const { return send == Send::enabled || send == Send::adaptive; }
};

// `is_impossible`: a call is forced, or the history lacks the thinking that the API asks for.
ThinkingPlan plan_thinking(const ir::Request &request, const ModelTraits &traits,
                           bool is_impossible, Notes &notes);
// The member `thinking`, where an object is open; nothing where nothing is to be said.
void write_thinking(const ThinkingPlan &plan, const ir::Request &request, json::Writer &writer);
std::string_view effort_name(ir::Effort effort, bool has_xhigh);
// Names what the client asked for as it calls it.
void drop_thinking(const ir::Request &request, Notes &notes);

// Empty: not sent.
struct Sampling {
    RawJson temperature;  // from 0 to 1
    RawJson top_p;
    RawJson top_k;
};

Sampling plan_sampling(const ir::Request &request, const ModelTraits &traits, bool thinks,
                       Notes &notes);

// Left out with a note if the target drops parameters, else an error that names it.
Status refuse(std::string_view param, const Target &target, Notes &notes);
// Parameters that neither messages nor Converse has and that change the answer.
Status refuse_what_is_lacking(const ir::Request &request, const Target &target, Notes &notes);
// Members that the IR does not know, of a client of another dialect.
Status note_extras(const ir::Request &request, const Target &target, Arena &arena, Notes &notes);

}  // namespace llm::anthropic
