// The bytes that the mock provider answers with, in the two dialects it speaks.
//
// Entry points: make_script() (the parts of a stream: opening, one content event, closing),
// make_whole_answer() (a plain JSON answer), make_error(). Everything is rendered once and then
// only copied, so that the mock costs little beside what is being measured. The fields are those
// that the real providers send, because the size and shape of an event decide what it costs.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace bench {

enum class Dialect { chat, messages };

// What makes one stream's bytes different from another's.
struct StreamShape {
    Dialect dialect = Dialect::chat;
    bool has_usage = false;  // chat only: the client asked for the usage chunk
    bool has_stamp = false;  // each content event carries the time at which it was made
    size_t text_bytes = 0;   // text in one content event

    auto operator<=>(const StreamShape&) const = default;
};

struct StreamScript {
    std::string opening;
    std::string event;
    std::string closing;
    size_t stamp_at = std::string::npos;  // where in `event` the digits of the time are
};

// A stamp is this prefix, kStampDigits decimal digits (CLOCK_MONOTONIC in ns) and a semicolon:
// plain ASCII, so that it comes through any translation unchanged.
constexpr std::string_view kStampPrefix = "ns=";
constexpr size_t kStampDigits = 19;

// Words without characters that JSON would escape.
inline std::string filler_text(size_t size) {
    constexpr std::string_view kWords =
        " a stream of words that comes piece by piece, as a model would say it, and that goes on"
        " for as long as somebody listens;";
    std::string text;
    text.reserve(size + kWords.size());
    while (text.size() < size) {
        text += kWords;
    }
    text.resize(size);
    return text;
}

inline std::string make_event_text(const StreamShape& shape) {
    if (!shape.has_stamp) {
        return filler_text(shape.text_bytes);
    }
    std::string text(kStampPrefix);
    text += std::string(kStampDigits, '0') + ";";
    if (text.size() < shape.text_bytes) {
        text += filler_text(shape.text_bytes - text.size());
    }
    return text;
}

inline std::string chat_chunk(std::string_view choices, std::string_view usage) {
    std::string event =
        "data: {\"id\":\"chatcmpl-BenchQ7wT4mLx2Rk9Vd0Za81\",\"object\":\"chat.completion.chunk\","
        "\"created\":1750000000,\"model\":\"gpt-bench\",\"service_tier\":\"default\","
        "\"system_fingerprint\":\"fp_be7c400001\",\"choices\":";
    event += choices;
    if (!usage.empty()) {
        event += ",\"usage\":";
        event += usage;
    }
    return event + "}\n\n";
}

inline StreamScript make_chat_script(const StreamShape& shape) {
    std::string_view no_usage = shape.has_usage ? "null" : "";
    StreamScript script;
    script.opening = chat_chunk(
        "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":null}]",
        no_usage);
    script.event = chat_chunk("[{\"index\":0,\"delta\":{\"content\":\"" + make_event_text(shape) +
                                  "\"},\"logprobs\":null,\"finish_reason\":null}]",
                              no_usage);
    script.closing = chat_chunk(
        "[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]", no_usage);
    if (shape.has_usage) {
        script.closing += chat_chunk(
            "[]",
            "{\"prompt_tokens\":31,\"completion_tokens\":300,\"total_tokens\":331,"
            "\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
            "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
            "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}");
    }
    script.closing += "data: [DONE]\n\n";
    return script;
}

inline StreamScript make_messages_script(const StreamShape& shape) {
    StreamScript script;
    script.opening =
        "event: message_start\n"
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01BenchK5xYw8nTq3LpRz7Hd\","
        "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-bench\",\"content\":[],"
        "\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":31,"
        "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1,"
        "\"service_tier\":\"standard\"}}}\n\n"
        "event: ping\n"
        "data: {\"type\": \"ping\"}\n\n"
        "event: content_block_start\n"
        "data: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    script.event =
        "event: content_block_delta\n"
        "data: {\"type\":\"content_block_delta\",\"index\":0,"
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"" +
        make_event_text(shape) + "\"}}\n\n";
    script.closing =
        "event: content_block_stop\n"
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
        "event: message_delta\n"
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
        "\"stop_sequence\":null},\"usage\":{\"input_tokens\":31,\"output_tokens\":300}}\n\n"
        "event: message_stop\n"
        "data: {\"type\":\"message_stop\"}\n\n";
    return script;
}

inline StreamScript make_script(const StreamShape& shape) {
    StreamScript script = shape.dialect == Dialect::chat ? make_chat_script(shape)
                                                         : make_messages_script(shape);
    if (shape.has_stamp) {
        script.stamp_at = script.event.find(kStampPrefix) + kStampPrefix.size();
    }
    return script;
}

inline std::string make_whole_answer(Dialect dialect, size_t text_bytes) {
    std::string text = filler_text(text_bytes);
    if (dialect == Dialect::chat) {
        return "{\"id\":\"chatcmpl-BenchQ7wT4mLx2Rk9Vd0Za81\",\"object\":\"chat.completion\","
               "\"created\":1750000000,\"model\":\"gpt-bench\",\"choices\":[{\"index\":0,"
               "\"message\":{\"role\":\"assistant\",\"content\":\"" +
               text +
               "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,"
               "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":31,"
               "\"completion_tokens\":42,\"total_tokens\":73,\"prompt_tokens_details\":"
               "{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":"
               "{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
               "\"rejected_prediction_tokens\":0}},\"service_tier\":\"default\","
               "\"system_fingerprint\":\"fp_be7c400001\"}";
    }
    return "{\"id\":\"msg_01BenchK5xYw8nTq3LpRz7Hd\",\"type\":\"message\",\"role\":\"assistant\","
           "\"model\":\"claude-bench\",\"content\":[{\"type\":\"text\",\"text\":\"" +
           text +
           "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{"
           "\"input_tokens\":31,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
           "\"output_tokens\":42,\"service_tier\":\"standard\"}}";
}

inline std::string make_error(Dialect dialect, std::string_view message) {
    std::string text(message);
    if (dialect == Dialect::chat) {
        return "{\"error\":{\"message\":\"" + text +
               "\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}";
    }
    return "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"" +
           text + "\"}}";
}

}  // namespace bench
