// Legacy completions request -> ir::Request: the prompt becomes a user message.
//
// Entry points: read_envelope, parse_request. Parsing is for providers of other dialects, which
// answer one prompt: several of them, tokens in place of text, an answer that begins with the
// prompt or goes before a suffix cannot be had there and are refused by name. A body that goes
// through as it is needs no more than read_envelope.
#include <algorithm>

#include "translators/dialect/completions.hpp"
#include "translators/dialect/openai_request.hpp"

namespace llm::completions {

namespace {

using json::Value;
using openai::read_flag;
using openai::read_integer;
using openai::read_number;
using openai::read_object;
using openai::read_text;

// Members that parse_request understands; all others are `extra`.
constexpr std::string_view kKnown[] = {
    "model", "prompt",           "max_tokens",        "temperature", "top_p", "top_k",
    "n",     "presence_penalty", "frequency_penalty", "logit_bias",  "seed",  "stop",
    "user",  "stream",           "stream_options",    "suffix",      "echo",  "logprobs",
};

Status check_prompt(Value prompt) {
    if (prompt.is_string() || (prompt.is_array() && prompt.size() > 0)) {
        return {};
    }
    return invalid("prompt must be a string or a non-empty array", "prompt");
}

Status read_prompt(Value prompt, JsonText &text) {
    LLM_TRY(check_prompt(prompt));
    if (prompt.is_string()) {
        text = prompt.text();
        return {};
    }
    for (Value item : prompt.items()) {
        if (item.is_number() || item.is_array()) {
            return unsupported("a prompt of tokens cannot be translated: send its text", "prompt");
        }
        if (!item.is_string()) {
            return invalid("prompt must hold strings", "prompt");
        }
        text = item.text();
    }
    if (prompt.size() > 1) {
        return unsupported("several prompts cannot be translated: send one request for each",
                           "prompt");
    }
    return {};
}

Status read_stop(Value stop, ir::Request &request) {
    if (stop.is_string()) {
        request.stop.push_back(stop.text());
        return {};
    }
    if (!stop.is_unset() && !stop.is_array()) {
        return invalid("must be a string or an array of strings", "stop");
    }
    for (Value entry : stop.items()) {
        if (!entry.is_string()) {
            return invalid("must be a string or an array of strings", "stop");
        }
        request.stop.push_back(entry.text());
    }
    return {};
}

Status read_counts(Value root, ir::Request &request) {
    LLM_TRY(read_integer(root["max_tokens"], "max_tokens", request.max_tokens));
    LLM_TRY(read_integer(root["top_k"], "top_k", request.top_k));
    if (Value n = root["n"]; !n.is_unset()) {
        std::optional<int64_t> count = n.as_int();
        if (!count || *count < 1 || *count > 128) {
            return invalid("must be an integer from 1 to 128", "n");
        }
        request.n = *count;
    }
    // A number of alternatives here, 0 among them; a flag and a number in chat.
    LLM_TRY(read_integer(root["logprobs"], "logprobs", request.top_logprobs));
    request.logprobs = !request.top_logprobs.empty();
    return {};
}

Status read_sampling(Value root, ir::Request &request) {
    LLM_TRY(read_number(root["temperature"], "temperature", request.temperature));
    LLM_TRY(read_number(root["top_p"], "top_p", request.top_p));
    LLM_TRY(read_number(root["seed"], "seed", request.seed));
    LLM_TRY(read_number(root["frequency_penalty"], "frequency_penalty", request.frequency_penalty));
    LLM_TRY(read_number(root["presence_penalty"], "presence_penalty", request.presence_penalty));
    return read_object(root["logit_bias"], "logit_bias", request.logit_bias);
}

}  // namespace

Result<Envelope> read_envelope(Value root) {
    if (!root.is_object()) {
        return invalid("the body must be a JSON object");
    }
    if (std::string_view twice = json::duplicate_key(root); !twice.empty()) {
        return invalid("a member is given twice", twice);
    }
    if (!root["model"].is_string()) {
        return invalid("model must be a string", "model");
    }
    if (Status status = check_prompt(root["prompt"]); !status) {
        return status.error();
    }
    if (Value stream = root["stream"]; !stream.is_unset() && !stream.is_bool()) {
        return invalid("must be a boolean", "stream");
    }
    Envelope envelope;
    envelope.model = root["model"].text();
    envelope.stream = root["stream"].is_true();
    envelope.usage_wanted = root["stream_options"]["include_usage"].is_true();
    envelope.max_tokens = std::max<int64_t>(root["max_tokens"].as_int().value_or(0), 0);
    envelope.answers = std::max<int64_t>(root["n"].as_int().value_or(1), 1);
    return envelope;
}

Status parse_request(Value root, Arena &arena, ir::Request &request) {
    if (!root.is_object()) {
        return invalid("the body must be a JSON object");
    }
    if (!root["model"].is_string()) {
        return invalid("model must be a string", "model");
    }
    request.dialect = DialectId::completions;
    request.model = root["model"].text();
    ir::Text prompt;
    LLM_TRY(read_prompt(root["prompt"], prompt.text));
    request.turns.emplace_back().parts.push_back({prompt});

    JsonText suffix;
    LLM_TRY(read_text(root["suffix"], "suffix", suffix));
    if (!suffix.empty()) {
        return unsupported("text cannot be inserted before a suffix here", "suffix");
    }
    std::optional<bool> echo;
    LLM_TRY(read_flag(root["echo"], "echo", echo));
    if (echo.value_or(false)) {
        return unsupported("the prompt cannot be echoed here", "echo");
    }
    LLM_TRY(read_counts(root, request));
    LLM_TRY(read_sampling(root, request));
    LLM_TRY(read_stop(root["stop"], request));
    LLM_TRY(read_text(root["user"], "user", request.user));
    std::optional<bool> stream;
    LLM_TRY(read_flag(root["stream"], "stream", stream));
    request.stream = stream.value_or(false);
    request.usage_wanted = root["stream_options"]["include_usage"].is_true();
    for (auto [key, value] : root.members()) {
        std::string_view name = json::unescape(key, arena);
        bool is_known = std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown);
        if (!is_known && !value.is_null()) {
            request.extra.push_back({key, value.raw()});
        }
    }
    return {};
}

}  // namespace llm::completions
