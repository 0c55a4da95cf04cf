// The parts of an answer that bodies, streams and pass-through observers share: usage, finish
// reasons, reasoning members, annotations.
//
// Usage: providers disagree on what completion_tokens and total_tokens hold. The corrections here
// are arithmetic, never by the name of a service, so that imitators get them as well.
#include "translators/dialect/openai_answer.hpp"

#include <algorithm>

#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm::openai {

namespace {

int64_t first_count(json::Value object, std::initializer_list<std::string_view> names) {
    for (std::string_view name : names) {
        if (int64_t count = count_of(object[name]); count > 0) {
            return count;
        }
    }
    return 0;
}

struct FinishRow {
    std::string_view native;
    ir::Finish finish;
};

constexpr FinishRow kFinishes[] = {
    {"stop", ir::Finish::stop},
    {"eos", ir::Finish::stop},
    {"eos_token", ir::Finish::stop},
    {"end_turn", ir::Finish::stop},
    {"COMPLETE", ir::Finish::stop},
    {"length", ir::Finish::length},
    {"max_tokens", ir::Finish::length},
    {"model_length", ir::Finish::length},
    {"tool_calls", ir::Finish::tool_calls},
    {"function_call", ir::Finish::tool_calls},
    {"tool_use", ir::Finish::tool_calls},
    {"content_filter", ir::Finish::content_filter},
    {"sensitive", ir::Finish::content_filter},
    {"error", ir::Finish::error},
    {"insufficient_system_resource", ir::Finish::error},
    {"network_error", ir::Finish::error},
};

}  // namespace

json::Value find_usage(json::Value body) {
    if (json::Value usage = body["usage"]; usage.is_object()) {
        return usage;
    }
    if (json::Value usage = body["x_groq"]["usage"]; usage.is_object()) {
        return usage;
    }
    for (json::Value choice : body["choices"].items()) {
        if (json::Value usage = choice["usage"]; usage.is_object()) {
            return usage;
        }
    }
    return {};
}

bool read_usage(json::Value object, Usage &usage) {
    std::optional<int64_t> prompt = told_count(object["prompt_tokens"]);
    std::optional<int64_t> completion = told_count(object["completion_tokens"]);
    if (!prompt && !completion) {
        return false;
    }
    json::Value input = object["prompt_tokens_details"];
    json::Value output = object["completion_tokens_details"];
    Usage read;
    read.known =
        prompt && is_output_told(object["completion_tokens"], object["total_tokens"], *prompt);
    read.input = prompt.value_or(0);
    read.output = completion.value_or(0);
    read.cache_read = count_of(input["cached_tokens"]);
    if (read.cache_read == 0) {
        read.cache_read =
            first_count(object, {"prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"});
    }
    read.cache_write = count_of(input["cache_write_tokens"]);
    read.audio_in = count_of(input["audio_tokens"]);
    read.audio_out = count_of(output["audio_tokens"]);
    read.reasoning = count_of(output["reasoning_tokens"]);

    int64_t total = count_of(object["total_tokens"]);
    if (!read.known) {
        // what it says of the other part is no ground for arithmetic
    } else if (read.reasoning > 0 && total >= read.input + read.output + read.reasoning) {
        read.output += read.reasoning;  // xAI leaves reasoning out of completion_tokens
    } else if (total > read.input + read.output && object.size() == 3) {
        // Gemini's compatible endpoint: thoughts are in the total only, and there are no details.
        read.reasoning = total - read.input - read.output;
        read.output = total - read.input;
    }
    read.normalise();
    if (usage.known && read.input == 0 && read.output == 0) {
        return true;
    }
    usage = read;
    return true;
}

void write_usage(const Usage &usage, json::Writer &writer) {
    writer.object();
    writer.key("prompt_tokens").number(usage.input);
    writer.key("completion_tokens").number(usage.output);
    writer.key("total_tokens").number(usage.total());
    writer.key("prompt_tokens_details").object();
    writer.key("cached_tokens").number(usage.cache_read);
    writer.key("audio_tokens").number(usage.audio_in);
    if (usage.cache_write > 0) {
        writer.key("cache_write_tokens").number(usage.cache_write);
    }
    writer.end();
    writer.key("completion_tokens_details").object();
    writer.key("reasoning_tokens").number(usage.reasoning);
    writer.key("audio_tokens").number(usage.audio_out);
    writer.key("accepted_prediction_tokens").number(0);
    writer.key("rejected_prediction_tokens").number(0);
    writer.end();
    writer.end();
}

ir::Finish read_finish(JsonText native, bool has_calls) {
    ir::Finish finish = ir::Finish::other;
    if (native.empty()) {
        finish = ir::Finish::stop;
    }
    for (const FinishRow &row : kFinishes) {
        if (json::equals(native, row.native)) {
            finish = row.finish;
            break;
        }
    }
    return finish == ir::Finish::stop && has_calls ? ir::Finish::tool_calls : finish;
}

std::string_view finish_name(ir::Finish finish, bool has_calls, bool legacy_functions) {
    switch (finish) {
        case ir::Finish::length:
        case ir::Finish::context_length:
            return "length";
        case ir::Finish::content_filter:
        case ir::Finish::refusal:
            return "content_filter";
        case ir::Finish::tool_calls:
            return legacy_functions ? "function_call" : "tool_calls";
        case ir::Finish::stop:
            if (has_calls) {
                return legacy_functions ? "function_call" : "tool_calls";
            }
            return "stop";
        case ir::Finish::stop_sequence:
        case ir::Finish::pause:
        case ir::Finish::malformed:
        case ir::Finish::error:
        case ir::Finish::other:
            break;
    }
    return "stop";
}

JsonText reasoning_text(json::Value message) {
    for (std::string_view name : {"reasoning_content", "reasoning"}) {
        if (JsonText text = message[name].text(); !text.empty()) {
            return text;
        }
    }
    return {};
}

JsonText google_signature(json::Value holder) {
    json::Value extra = holder["extra_content"];
    return extra.is_object() ? extra["google"]["thought_signature"].text() : JsonText{};
}

void write_thinking_block(DialectId origin, bool is_redacted, JsonText text, JsonText opaque,
                          json::Writer &writer) {
    writer.object().key("type");
    if (is_redacted) {
        writer.plain("redacted_thinking").key("data");
    } else {
        writer.plain("thinking").key("thinking").text(text).key("signature");
    }
    writer.open_text();
    if (!opaque.empty()) {
        writer.piece({opaque_tag(origin)}).piece(opaque);
    }
    writer.close_text().end();
}

std::optional<DataUrl> read_image(json::Value element, Arena &arena) {
    json::Value address = element["image_url"];
    return parse_data_url((address.is_object() ? address["url"] : address).text(), arena);
}

void write_image(int64_t index, JsonText mime, JsonText base64, json::Writer &writer) {
    writer.object().key("type").plain("image_url").key("image_url").object();
    writer.key("url").open_text().piece_plain("data:");
    writer.piece(mime.empty() ? JsonText{"image/png"} : mime).piece_plain(";base64,");
    writer.piece(base64).close_text().end().key("index").number(index).end();
}

ir::Citation read_annotation(json::Value annotation, bool is_first_block) {
    ir::Citation citation;
    json::Value said = annotation["url_citation"];
    said = said.is_object() ? said : annotation;  // some leave the nesting out
    citation.url = said["url"].text();
    citation.title = said["title"].text();
    if (is_first_block) {
        citation.start = std::max<int64_t>(said["start_index"].as_int().value_or(-1), -1);
        citation.end = std::max<int64_t>(said["end_index"].as_int().value_or(-1), -1);
    }
    return citation;
}

std::vector<ir::Citation> read_addresses(json::Value body) {
    constexpr size_t kMaxAddresses = 64;
    std::vector<ir::Citation> citations;
    for (json::Value address : body["citations"].items()) {
        if (address.text().empty() || citations.size() == kMaxAddresses) {
            continue;
        }
        ir::Citation &citation = citations.emplace_back();
        citation.url = address.text();
        for (json::Value result : body["search_results"].items()) {
            if (result["url"].text().bytes == citation.url.bytes) {
                citation.title = result["title"].text();
                break;
            }
        }
    }
    return citations;
}

void AnnotationWriter::raw(RawJson annotation) {
    if (list_.size() > 0) {
        list_.append(',');
    }
    list_.append(annotation.bytes);
}

void AnnotationWriter::add(const ir::Citation &citation, int64_t begin, int64_t end) {
    if (citation.url.empty()) {
        return;
    }
    if (list_.size() > 0) {
        list_.append(',');
    }
    int64_t to = citation.end >= 0 ? std::min(end, begin + citation.end) : end;
    int64_t from = citation.start >= 0 ? std::min(to, begin + citation.start) : to;
    json::Writer writer(list_);
    writer.object().key("type").plain("url_citation").key("url_citation").object();
    writer.key("url").text(citation.url).key("title").text(citation.title);
    writer.key("start_index").number(from).key("end_index").number(to);
    writer.end().end();
}

int64_t count_characters(JsonText text) {
    int64_t count = 0;
    const std::string_view bytes = text.bytes;
    for (size_t i = 0; i < bytes.size();) {
        if (bytes[i] != '\\') {
            count += (bytes[i] & 0xC0) != 0x80;
            ++i;
            continue;
        }
        if (i + 5 < bytes.size() && bytes[i + 1] == 'u') {
            char high = bytes[i + 2];
            char next = bytes[i + 3];
            bool second_half = (high == 'd' || high == 'D') &&
                               ((next >= 'c' && next <= 'f') || (next >= 'C' && next <= 'F'));
            count += !second_half;
            i += 6;
        } else {
            ++count;
            i += 2;
        }
    }
    return count;
}

void write_answer_id(const ClientView &view, json::Writer &writer, std::string_view prefix) {
    constexpr char kDigits[] = "0123456789abcdef";
    char id[32];
    uint64_t random = 0;
    for (size_t i = 0; i < sizeof id; ++i) {
        if (i % 16 == 0) {
            random = view.ids != nullptr ? view.ids->next() : 0;
        }
        id[i] = kDigits[(random >> (60 - i % 16 * 4)) & 15];
    }
    writer.open_text().piece({prefix}).piece({{id, sizeof id}}).close_text();
}

}  // namespace llm::openai
