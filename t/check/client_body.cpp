// Whole answers as clients read them, and the token counts of both dialects.
#include "t/check/client_reader.hpp"

namespace llm::check {
namespace {

constexpr json::Limits kLimits = {.allow_lone_surrogates = true};

int64_t count(json::Value value) {
    return value.as_int().value_or(0);
}

void chat_choice(json::Value choice, Answer &answer, Problems &problems) {
    Message &message = answer.choices[uint32_t(choice["index"].as_int().value_or(999))];
    json::Value from = choice["message"];
    if (!from["role"].equals("assistant") || from["content"].absent() ||
        !choice["finish_reason"].is_string()) {
        problems.push_back("a choice lacks a required member");
    }
    message.text = plain(from["content"].text());
    message.refusal = plain(from["refusal"].text());
    message.spoken = message.text + message.refusal;
    message.reasoning = plain(from["reasoning_content"].text());
    message.finish = plain(choice["finish_reason"].text());
    message.native = plain(choice["native_finish_reason"].text());
    for (json::Value block : from["thinking_blocks"].items()) {
        if (block["type"].equals("redacted_thinking")) {
            message.redacted.push_back(plain(block["data"].text()));
        } else if (!block["signature"].text().empty()) {
            message.signatures.push_back(plain(block["signature"].text()));
        }
    }
    for (json::Value call : from["tool_calls"].items()) {
        bool is_custom = call["type"].equals("custom");
        json::Value function = call[is_custom ? "custom" : "function"];
        json::Value arguments = function[is_custom ? "input" : "arguments"];
        if ((!is_custom && !call["type"].equals("function")) || call["id"].text().empty() ||
            function["name"].text().empty() || !arguments.is_string() ||
            (!is_custom && arguments.text().empty())) {
            problems.push_back("a call lacks a required member");
        }
        message.calls.push_back(
            {plain(call["id"].text()), plain(function["name"].text()), plain(arguments.text())});
    }
    if (from["content"].is_null() && message.calls.empty() && message.refusal.empty()) {
        problems.push_back("content is null and nothing else is there");
    }
}

void messages_block(json::Value block, Message &message, Problems &problems) {
    if (block["type"].equals("text")) {
        message.text += plain(block["text"].text());
        message.spoken = message.text;
        if (block["text"].text().empty()) {
            problems.push_back("an empty text block");
        }
    } else if (block["type"].equals("thinking")) {
        message.reasoning += plain(block["thinking"].text());
        if (!block["signature"].is_string()) {
            problems.push_back("thinking without the member signature");
        }
        if (!block["signature"].text().empty()) {
            message.signatures.push_back(plain(block["signature"].text()));
        }
    } else if (block["type"].equals("redacted_thinking")) {
        message.redacted.push_back(plain(block["data"].text()));
    } else if (block["type"].equals("tool_use")) {
        std::string id = plain(block["id"].text());
        check_messages_call_id(id, problems);
        if (!block["input"].is_object()) {
            problems.push_back("input of a call is no object");
        }
        message.calls.push_back(
            {id, plain(block["name"].text()), std::string(block["input"].raw().bytes)});
    } else {
        message.server_blocks++;
    }
}

}  // namespace

Usage chat_usage(json::Value from) {
    Usage usage;
    usage.known = from.is_object();
    usage.input = count(from["prompt_tokens"]);
    usage.output = count(from["completion_tokens"]);
    usage.cache_read = count(from["prompt_tokens_details"]["cached_tokens"]);
    usage.cache_write = count(from["prompt_tokens_details"]["cache_write_tokens"]);
    usage.reasoning = count(from["completion_tokens_details"]["reasoning_tokens"]);
    return usage;
}

Usage messages_usage(json::Value from, Usage before, Problems &problems) {
    for (std::string_view member : {"input_tokens", "cache_creation_input_tokens",
                                    "cache_read_input_tokens", "output_tokens"}) {
        if (!from[member].as_int() || *from[member].as_int() < 0) {
            problems.push_back("usage lacks " + std::string(member));
        }
    }
    Usage usage = before;
    usage.known = true;
    usage.cache_read = count(from["cache_read_input_tokens"]);
    usage.cache_write = count(from["cache_creation_input_tokens"]);
    usage.input = count(from["input_tokens"]) + usage.cache_read + usage.cache_write;
    usage.output = count(from["output_tokens"]);
    return usage;
}

void check_messages_call_id(std::string_view id, Problems &problems) {
    bool is_good = !id.empty();
    for (char c : id) {
        is_good = is_good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '-');
    }
    if (!is_good) {
        problems.push_back("a call id that the API would refuse: " + shown(id));
    }
}

Answer read_chat_body(std::string_view bytes, Problems &problems) {
    Answer answer;
    json::Reader reader;
    auto root = reader.parse_unpadded(bytes, kLimits);
    if (!root || !root->is_object()) {
        problems.push_back("the body is no JSON object");
        return answer;
    }
    answer.id = plain((*root)["id"].text());
    answer.model = plain((*root)["model"].text());
    if (!(*root)["object"].equals("chat.completion") || answer.id.empty() ||
        !(*root)["created"].as_int() || !(*root)["model"].is_string()) {
        problems.push_back("the body lacks a required member");
    }
    for (json::Value choice : (*root)["choices"].items()) {
        chat_choice(choice, answer, problems);
    }
    answer.usage = chat_usage((*root)["usage"]);
    answer.is_complete = !answer.choices.empty();
    return answer;
}

Answer read_messages_body(std::string_view bytes, Problems &problems) {
    Answer answer;
    json::Reader reader;
    auto root = reader.parse_unpadded(bytes, kLimits);
    if (!root || !root->is_object()) {
        problems.push_back("the body is no JSON object");
        return answer;
    }
    answer.id = plain((*root)["id"].text());
    answer.model = plain((*root)["model"].text());
    if (!(*root)["type"].equals("message") || !(*root)["role"].equals("assistant") ||
        answer.id.empty() || !(*root)["content"].is_array() ||
        !(*root)["stop_reason"].is_string() || (*root)["stop_sequence"].absent()) {
        problems.push_back("the body lacks a required member");
    }
    Message &message = answer.choices[0];
    for (json::Value block : (*root)["content"].items()) {
        messages_block(block, message, problems);
    }
    message.finish = plain((*root)["stop_reason"].text());
    message.stop_sequence = plain((*root)["stop_sequence"].text());
    answer.usage = messages_usage((*root)["usage"], {}, problems);
    answer.is_complete = true;
    return answer;
}

}  // namespace llm::check
