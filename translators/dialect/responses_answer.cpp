// The parts of an answer that bodies, streams and pass-through observers share.
#include "translators/dialect/responses_answer.hpp"

#include "translators/dialect/media.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm::responses {

Phase read_phase(json::Value item) {
    json::Value phase = item["phase"];
    return phase.equals("commentary")     ? Phase::commentary
           : phase.equals("final_answer") ? Phase::final_answer
                                          : Phase::none;
}

bool read_usage(json::Value object, Usage &usage) {
    std::optional<int64_t> sent = told_count(object["input_tokens"]);
    std::optional<int64_t> answered = told_count(object["output_tokens"]);
    if (!sent && !answered) {
        return false;
    }
    json::Value input = object["input_tokens_details"];
    json::Value output = object["output_tokens_details"];
    usage = {};
    usage.known = sent && is_output_told(object["output_tokens"], object["total_tokens"], *sent);
    usage.input = sent.value_or(0);
    usage.output = answered.value_or(0);
    usage.cache_read = count_of(input["cached_tokens"]);
    usage.cache_write = count_of(input["cache_write_tokens"]);
    usage.audio_in = count_of(input["audio_tokens"]);
    usage.audio_out = count_of(output["audio_tokens"]);
    usage.reasoning = count_of(output["reasoning_tokens"]);
    // The same arithmetic as for chat: an imitator may leave reasoning out of the output.
    int64_t total = count_of(object["total_tokens"]);
    if (usage.known && usage.reasoning > 0 &&
        total >= usage.input + usage.output + usage.reasoning) {
        usage.output += usage.reasoning;
    }
    usage.normalise();
    return true;
}

Outcome read_outcome(json::Value response, bool has_calls, bool has_only_refusal) {
    json::Value status = response["status"];
    Outcome outcome;
    outcome.native = status.text();
    if (status.equals("incomplete")) {
        json::Value reason = response["incomplete_details"]["reason"];
        outcome.native = reason.text().empty() ? outcome.native : reason.text();
        outcome.finish = reason.equals("max_output_tokens") ? ir::Finish::length
                         : reason.equals("content_filter")  ? ir::Finish::content_filter
                                                            : ir::Finish::other;
    } else if (status.equals("failed") || status.equals("cancelled")) {
        outcome.finish = ir::Finish::error;
    } else if (has_calls) {
        outcome.finish = ir::Finish::tool_calls;
    } else if (has_only_refusal) {
        outcome.finish = ir::Finish::refusal;
    } else if (!outcome.native.empty() && !status.equals("completed")) {
        outcome.finish = ir::Finish::other;
    }
    return outcome;
}

bool read_annotation(json::Value annotation, ir::Citation &citation) {
    if (!annotation["url"].is_string()) {
        return false;
    }
    citation = {};
    citation.url = annotation["url"].text();
    citation.title = annotation["title"].text();
    citation.start = annotation["start_index"].as_int().value_or(-1);
    citation.end = annotation["end_index"].as_int().value_or(-1);
    return true;
}

int64_t read_created(json::Value response) {
    std::optional<double> seconds = response["created_at"].as_double();
    return seconds && *seconds > 0 && *seconds < double(kAbsurd) ? static_cast<int64_t>(*seconds)
                                                                 : 0;
}

std::string_view image_mime(json::Value item) {
    if (std::string_view sniffed = sniff_mime(item["result"].text()); !sniffed.empty()) {
        return sniffed;
    }
    json::Value format = item["output_format"];
    return format.equals("jpeg")   ? "image/jpeg"
           : format.equals("webp") ? "image/webp"
                                   : "image/png";
}

}  // namespace llm::responses
